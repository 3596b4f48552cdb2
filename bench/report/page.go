package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"purser/bench"
	"purser/bench/compare"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// page is what the template shows.
type page struct {
	Title   string
	Source  string // which results, and when they were measured
	Two     bool   // before is there
	Verdict verdict
	Cards   []card
	Charts  []chart
	Change  *table // nil for one run
	Tables  []table
	Facts   []table // of machine and settings
	Doubts  []string
	Caveat  string
	Style   template.CSS

	before, after run
}

// run is a result with what is drawn of it.
type run struct {
	compare.Run
	buckets []bucket
}

// verdict heads the page.
type verdict struct {
	Class    string // good, bad, or doubtful
	Sign     string
	Outcome  string
	Sentence string
	Reasons  []string
}

// card is a figure at the head of the page.
type card struct {
	Name, Value, Note string
	Class             string // good or bad, of a change
}

// Write writes the page of a run.
func Write(w io.Writer, of compare.Run) error {
	p := &page{after: newRun(of)}
	r := of.Result
	p.Title = fmt.Sprintf("%s payments/s, p99 %s", rate(r.Throughput), micros(r.Response.P99))
	p.Source = source(of)
	p.Verdict = verdictOf(r)
	p.Verdict.Sentence = lead(r)
	p.Cards = cards(r)
	return p.write(w)
}

// WriteTwo writes the page of a run beside an earlier one. Runs that do not
// compare are drawn all the same; the page says why they do not.
func WriteTwo(w io.Writer, before, after compare.Run) error {
	c, err := compare.Compare([]compare.Run{before}, []compare.Run{after}, compare.Options{Force: true})
	if err != nil {
		return err
	}
	p := &page{before: newRun(before), after: newRun(after), Two: true, Doubts: c.Doubts, Caveat: c.Caveat()}
	p.Title = strings.ToLower(string(c.Outcome)) + ": " + before.Name + " and " + after.Name
	p.Source = source(before) + " and " + source(after)
	p.Verdict = verdictOfTwo(c)
	p.Cards = changeCards(c)
	t := changeTable(c)
	p.Change = &t
	return p.write(w)
}

func source(r compare.Run) string {
	return r.Name + ", " + r.Result.Started.UTC().Format("2 January 2006 15:04 UTC")
}

func newRun(r compare.Run) run { return run{r, buckets(r.Result.Series)} }

func (p *page) write(w io.Writer) error {
	p.Style = template.CSS(pageCSS)
	for _, c := range []chart{p.latencyOverTime(), p.percentiles(), p.throughputOverTime()} {
		if len(c.Curves) > 0 {
			p.Charts = append(p.Charts, c)
		}
	}
	p.Tables = p.tables()
	p.Facts = p.facts()
	return pageTemplate.Execute(w, p)
}

// verdictOf shows the verdict that a run came to.
func verdictOf(r bench.Result) verdict {
	v := verdict{Class: "bad", Sign: "✗", Outcome: string(r.Verdict.Outcome), Reasons: r.Verdict.Reasons}
	switch r.Verdict.Outcome {
	case bench.OutcomeOK:
		v.Class, v.Sign = "good", "✓"
	case bench.OutcomeInvalid:
		v.Class, v.Sign = "doubtful", "?"
	}
	return v
}

func verdictOfTwo(c compare.Comparison) verdict {
	v := verdict{Class: "doubtful", Sign: "?", Outcome: string(c.Outcome), Sentence: minus(c.Statement())}
	switch c.Outcome {
	case compare.Better:
		v.Class, v.Sign = "good", "↑"
	case compare.Worse:
		v.Class, v.Sign = "bad", "↓"
	case compare.Same:
		v.Class, v.Sign = "good", "="
	}
	if len(c.Doubts) > 0 {
		v.Class, v.Sign, v.Outcome = "doubtful", "!", "UNLIKE"
		v.Sentence = "These runs differ in more than what was changed, so that their figures do not compare."
	}
	return v
}

// lead says what was measured.
func lead(r bench.Result) string {
	load := fmt.Sprintf("%s connections in a closed loop", count(uint64(r.Config.Connections)))
	if r.Loop == "open" {
		load = fmt.Sprintf("an open loop that offered %s payments/s", rate(r.Offered))
	}
	return fmt.Sprintf("%s payments/s accepted over %s from %s.", rate(r.Throughput), span(r.Elapsed), load)
}

func cards(r bench.Result) []card {
	var failed, sum uint64
	for status, n := range r.Codes {
		sum += n
		if !strings.HasPrefix(status, "2") {
			failed += n
		}
	}
	what := "response time"
	all := []card{
		{Name: "accepted", Value: rate(r.Throughput), Note: "payments/s"},
		{Name: "p50", Value: micros(r.Response.P50), Note: what},
		{Name: "p99", Value: micros(r.Response.P99), Note: what},
		{Name: "p99.9", Value: micros(r.Response.P999), Note: what},
		{Name: "maximum", Value: micros(r.Response.Max), Note: what},
		{Name: "refused or failed", Value: percent(failed, sum), Note: "of " + count(sum)},
	}
	if r.Loop == "open" {
		all = append(all,
			card{Name: "offered", Value: rate(r.Offered), Note: "payments/s"},
			card{Name: "late", Value: count(r.Late), Note: "requests"},
			card{Name: "skipped", Value: count(r.Skipped), Note: "requests"})
	}
	return all
}

// changeCards shows what changed, with the figures of both runs below.
func changeCards(c compare.Comparison) (all []card) {
	for _, f := range c.Figures {
		one := card{Name: f.Name, Value: minus(compare.Percent(f.Change))}
		one.Note = fmt.Sprintf("%s → %s %s", inUnit(f, f.Before.Median), inUnit(f, f.After.Median), unit(f))
		switch f.Outcome {
		case compare.Better:
			one.Class = "good"
		case compare.Worse:
			one.Class = "bad"
		}
		all = append(all, one)
	}
	return all
}

func changeTable(c compare.Comparison) table {
	t := table{Caption: "What changed", Head: []string{"figure", "unit", "before", "after", "change", "interval", "outcome"}}
	for _, f := range c.Figures {
		t.row(f.Name, unit(f), inUnit(f, f.Before.Median), inUnit(f, f.After.Median), minus(compare.Percent(f.Change)),
			minus(f.Interval()), strings.ToLower(string(f.Outcome)))
	}
	return t
}

// inUnit writes a value of f; times have their unit with them.
func inUnit(f compare.Figure, value float64) string {
	switch f.Unit {
	case "µs", "µs per payment":
		return micros(value)
	case "payments/s", "reads/s":
		return rate(value)
	}
	return compare.Number(value)
}

// unit is what inUnit leaves out.
func unit(f compare.Figure) string { return strings.TrimSpace(strings.TrimPrefix(f.Unit, "µs")) }

// minus writes the sign as it is printed.
func minus(text string) string { return strings.ReplaceAll(text, "-", "−") }
