package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"purser/bench"
	"purser/bench/compare"
)

func written(t *testing.T, write func(w io.Writer) error) string {
	t.Helper()
	var page bytes.Buffer
	if err := write(&page); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

// A page names nothing that it would have to fetch, and what servers said is
// text in it, whatever they said.
func TestPageIsOneFile(t *testing.T) {
	r := sample("<b>run</b>.json", 1, 1)
	r.Result.Nodes[0].Version = `"><img src=http://example.com/x.png>`
	for name, page := range map[string]string{
		"one": written(t, func(w io.Writer) error { return Write(w, r) }),
		"two": written(t, func(w io.Writer) error { return WriteTwo(w, r, r) }),
	} {
		if found := regexp.MustCompile(`(?i)<script|<link|<img|<iframe|@import|url\(|\b(src|href|on\w+)="`).FindString(page); found != "" {
			t.Errorf("%s: the page has %s", name, found)
		}
		for _, want := range []string{"&lt;b&gt;run&lt;/b&gt;.json", "&lt;No leader&gt;", "&lt;img src=http"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page does not have %s", name, want)
			}
		}
		// What a template cannot make sense of, it replaces by this.
		if strings.Contains(page, "ZgotmplZ") || strings.Contains(page, "NaN") || strings.Contains(page, "Inf") {
			t.Errorf("%s: the page has a value that cannot be drawn", name)
		}
	}
}

func TestPageIsTheSameForTheSameResult(t *testing.T) {
	write := func(w io.Writer) error { return Write(w, sample("run.json", 1, 1)) }
	first := written(t, write)
	if second := written(t, write); second != first {
		t.Fatal("two pages of one result differ")
	}
}

// The verdict is the first that is read, and what a run needs to be repeated is
// on the page.
func TestPageTells(t *testing.T) {
	page := written(t, func(w io.Writer) error { return Write(w, sample("run.json", 17, 1)) })
	verdict, plots := strings.Index(page, "SLO MISSED"), strings.Index(page, "<main>")
	if verdict < 0 || plots < verdict {
		t.Error("the verdict does not come first")
	}
	for _, want := range []string{
		"p99.9&lt;20ms: measured 24.9ms", "v0.9.17", "Example CPU at 2.4 GHz", ">seed</th><td>17<", ">connections</th><td>256<",
		">duration</th><td>1m<", "n2 leads term 3", ">go</th><td>go1.26.8<", "4 March 2026 05:06 UTC",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
}

// Runs of unlike machines are drawn, under a warning that says why they do not
// compare.
func TestPageOfUnlikeRunsWarns(t *testing.T) {
	before, after := sample("before.json", 1, 1), sample("after.json", 2, 2)
	after.Result.Machine.CPUs = 64
	page := written(t, func(w io.Writer) error { return WriteTwo(w, before, after) })
	for _, want := range []string{"<h1>UNLIKE</h1>", "machine.cpus: 2 against 64 (before.json, after.json)"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
}

// A result may have next to nothing: a run that was stopped at once.
func TestPageOfAlmostNothing(t *testing.T) {
	page := written(t, func(w io.Writer) error {
		return Write(w, compare.Run{Name: "r.json", Result: bench.Result{Format: 1, Verdict: bench.Verdict{Outcome: bench.OutcomeInvalid}}})
	})
	if !strings.Contains(page, "INVALID") || strings.Contains(page, "<svg viewBox=\"0 0 1000") {
		t.Error("want a verdict and no plots")
	}
	one := bench.Second{At: 0, Accepted: 5, Requests: 5, P50: 100, P99: 100, Max: 100}
	page = written(t, func(w io.Writer) error {
		return Write(w, compare.Run{Result: bench.Result{Format: 1, Series: []bench.Second{one}, Elapsed: 1}})
	})
	if strings.Count(page, "<svg viewBox=\"0 0 1000") != 2 || !strings.Contains(page, "h0\"") {
		t.Error("want two plots with a dot for the only second")
	}
}

func TestFormats(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1,000"}, {count(12345678), "12,345,678"},
		{rate(0), "0"}, {rate(0.25), "0.25"}, {rate(78480.4), "78,480"},
		{short(500), "500"}, {short(50_000), "50k"}, {short(1_250_000), "1.25M"},
		{micros(0), "0"}, {micros(0.5), "0.5 µs"}, {micros(999.4), "999 µs"}, {micros(999.6), "1 ms"}, {micros(2410), "2.41 ms"},
		{micros(50_000), "50 ms"}, {micros(999_600), "1 s"}, {micros(61e6), "61 s"},
		{span(34.5), "34.5 s"}, {span(7200), "2h"}, {span(90 * 60), "1h30m"}, {span(125), "2m5s"},
		{size(412 << 20), "412 MiB"}, {size(3), "3 bytes"},
		{percent(0, 0), "–"}, {percent(0, 7), "0%"}, {percent(7, 7), "100%"}, {percent(1, 3), "33.3%"},
		{percent(999_999, 1_000_000), "99.999%"}, {percent(9_999_999, 10_000_000), "99.999%"}, {percent(1, 1_000_000_000), "<0.001%"},
		{percentName(0.5), "50"}, {percentName(0.9), "90"}, {percentName(0.999), "99.9"}, {percentName(0.99999), "99.999"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

func TestAxes(t *testing.T) {
	labels := func(a axis) (text string) {
		for _, at := range a.ticks {
			text += at.Label + " "
		}
		return strings.TrimSpace(text)
	}
	plain := func(v float64) string { return fmt.Sprint(v) }
	for _, test := range []struct {
		axis      axis
		low, high float64
		labels    string
	}{
		{linearAxis(0, 81_000, 5, true, short), 0, 100_000, "0 20k 40k 60k 80k 100k"},
		{linearAxis(0, 67, 10, false, plain), 0, 67, "0 10 20 30 40 50 60"},
		{linearAxis(0, 0, 5, true, plain), 0, 1, "0 0.2 0.4 0.6000000000000001 0.8 1"},
		{logAxis(2400, 93_000, micros), 2000, 100_000, "2 ms 5 ms 10 ms 20 ms 50 ms 100 ms"},
		{logAxis(100, 100, micros), 100, 200, "100 µs 200 µs"},
		{logAxis(30, 9e6, micros), 20, 1e7, "100 µs 1 ms 10 ms 100 ms 1 s 10 s"},
	} {
		if got := labels(test.axis); got != test.labels || math.Abs(test.axis.low-test.low) > 1e-9 || math.Abs(test.axis.high/test.high-1) > 1e-9 {
			t.Errorf("axis from %v to %v with %q, want %v to %v with %q", test.axis.low, test.axis.high, got, test.low, test.high, test.labels)
		}
	}
	a := logAxis(1, 100, micros)
	for v, want := range map[float64]float64{0.1: 0, 1: 0, 10: 0.5, 100: 1, 1000: 1} {
		if got := a.at(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v is at %v, want %v", v, got, want)
		}
	}
}

// A second without answers is a gap in a curve, not a zero.
func TestCurvesHaveGaps(t *testing.T) {
	c := chart{x: axis{low: 0, high: 10}, y: axis{low: 1, high: 100, log: true}}
	c.line("p50", "p50", []point{{0, 1}, {1, 10}, {2, 0}, {3, 100}, {4, 0}, {5, 10}, {6, 10}})
	if want := "M0.0 1000.0L100.0 500.0M300.0 0.0h0M500.0 500.0L600.0 500.0"; c.Curves[0].Path != want {
		t.Errorf("path %s, want %s", c.Curves[0].Path, want)
	}
}

// Many seconds are drawn as few points; none of the worst is lost.
func TestBucketsKeepTheWorst(t *testing.T) {
	var series []bench.Second
	for at := range 1000 {
		series = append(series, bench.Second{At: at, Accepted: 10, Requests: 10, P50: 1, P99: 2, Max: 3})
	}
	series[777].P99, series[778].Max, series[779].Errors = 50, 90, 20
	all := buckets(series)
	if len(all) > maxBuckets || all[0].from != 0 || all[len(all)-1].to != 1000 {
		t.Fatalf("%d buckets from %v to %v", len(all), all[0].from, all[len(all)-1].to)
	}
	var p99, slowest, errors float64
	for i, b := range all {
		if i > 0 && b.from != all[i-1].to {
			t.Errorf("bucket %d begins at %v, the one before ends at %v", i, b.from, all[i-1].to)
		}
		if b.accepted != 10 {
			t.Errorf("bucket %d accepts %v/s", i, b.accepted)
		}
		p99, slowest, errors = max(p99, b.p99), max(slowest, b.max), errors+b.errors*(b.to-b.from)
	}
	if p99 != 50 || slowest != 90 || math.Abs(errors-20) > 1e-9 {
		t.Errorf("p99 %v, maximum %v, %v errors", p99, slowest, errors)
	}
}

// Labels of events close to each other get rows of their own.
func TestEventsDoNotCoverEachOther(t *testing.T) {
	c := chart{x: axis{low: 0, high: 100}}
	for _, at := range []float64{10, 12, 13, 95} {
		c.event(at, "event")
	}
	if c.Rows != 3 {
		t.Errorf("%d rows", c.Rows)
	}
	for i, m := range c.Marks[:3] {
		if m.Row != i || m.Left {
			t.Errorf("mark %d: %+v", i, m)
		}
	}
	if last := c.Marks[3]; last.Row != 0 || !last.Left {
		t.Errorf("the last mark: %+v", last)
	}
}
