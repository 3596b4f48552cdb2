package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"purser/bench"
	"purser/bench/compare"
)

// tables has the figures of the run that no plot shows.
func (p *page) tables() (all []table) {
	r := p.after.Result
	for _, t := range []table{
		objectives(r), operations(r), answers(r), servers(r), books(r), retries(r), events(r),
	} {
		if len(t.Rows) == 0 {
			continue
		}
		if p.Two {
			t.Caption += ", after"
		}
		all = append(all, t)
	}
	return all
}

func objectives(r bench.Result) table {
	t := table{Caption: "Objectives", Small: true, Head: []string{"objective", "measured", "outcome"}}
	for _, o := range r.Verdict.SLOs {
		outcome := "✓ met"
		if !o.Met {
			outcome = "✗ missed"
		}
		t.row(o.Objective, o.Measured, outcome)
	}
	return t
}

func operations(r bench.Result) table {
	t := table{
		Caption: "Response times",
		Head:    []string{"requests", "answered", "accepted", "min", "mean", "p50", "p90", "p99", "p99.9", "max"},
	}
	line := func(name, accepted string, l bench.Latency) {
		t.row(name, count(l.Count), accepted, micros(l.Min), micros(l.Mean), micros(l.P50), micros(l.P90),
			micros(l.P99), micros(l.P999), micros(l.Max))
	}
	line("all", count(r.Accepted), r.Response)
	if r.Loop == "open" {
		line("all, service time", "–", r.Service)
	}
	for _, o := range r.Operations {
		line(o.Kind, count(o.Accepted), o.Response)
	}
	return t
}

func answers(r bench.Result) table {
	t := table{Caption: "Answers", Head: []string{"status", "payments", "share"}}
	if len(r.Examples) > 0 {
		t.Head = append(t.Head, "for example")
	}
	var sum uint64
	for _, n := range r.Codes {
		sum += n
	}
	for _, status := range slices.Sorted(maps.Keys(r.Codes)) {
		row := []string{status, count(r.Codes[status]), percent(r.Codes[status], sum), r.Examples[status]}
		t.Rows = append(t.Rows, row[:len(t.Head)])
	}
	return t
}

// servers has a column for each node.
func servers(r bench.Result) table {
	if len(r.Nodes) == 0 {
		return table{}
	}
	t := table{Caption: "Servers", Head: []string{"node"}, Small: len(r.Nodes) == 1}
	for _, n := range r.Nodes {
		t.Head = append(t.Head, n.ID)
	}
	both := func(of func(bench.Node) bench.ServerTime) func(bench.Node) string {
		return func(n bench.Node) string { return micros(of(n).P50) + ", " + micros(of(n).P99) }
	}
	for _, line := range []struct {
		name string
		of   func(bench.Node) string
	}{
		{"role after the run", func(n bench.Node) string { return n.Role }},
		{"version", func(n bench.Node) string { return n.Version }},
		{"shards", func(n bench.Node) string { return fmt.Sprint(n.Shards) }},
		{"commit of an entry, p50 and p99", both(func(n bench.Node) bench.ServerTime { return n.Commit })},
		{"wait for an entry, p50 and p99", both(func(n bench.Node) bench.ServerTime { return n.Queue })},
		{"fdatasync, p50 and p99", both(func(n bench.Node) bench.ServerTime { return n.Sync })},
		{"commands in an entry", func(n bench.Node) string { return compare.Number(n.EntryCommands) }},
		{"CPUs in use", func(n bench.Node) string { return compare.Number(n.CPU) }},
		{"CPU per payment", func(n bench.Node) string { return micros(n.CPUPerPayment) }},
		{"allocations per payment", func(n bench.Node) string { return compare.Number(n.Allocations) }},
		{"resident memory", func(n bench.Node) string { return size(n.Resident) }},
		{"refused", refused},
	} {
		row := []string{line.name}
		for _, n := range r.Nodes {
			row = append(row, line.of(n))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func refused(n bench.Node) string {
	var all []string
	for _, reason := range slices.Sorted(maps.Keys(n.Refused)) {
		all = append(all, reason+" "+count(n.Refused[reason]))
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

func books(r bench.Result) table {
	t := table{Caption: "Books", Small: true}
	v := r.Verification
	if v == nil {
		return t
	}
	t.row("acknowledged, whole run", count(v.Acknowledged))
	t.row("of them found exactly once", count(v.Found))
	t.row("lost", count(v.Lost))
	t.row("made twice", count(v.Twice))
	t.row("made for nobody", count(v.Unasked))
	t.row("unknown, resolved by key", fmt.Sprintf("%s made, %s not", count(v.ResolvedMade), count(v.ResolvedNot)))
	t.row("accounts, journal rows", count(v.Accounts)+", "+count(v.Entries))
	for _, what := range v.Unchecked {
		t.row("not checked", what)
	}
	for _, fault := range v.Faults {
		t.row("fault", fault)
	}
	return t
}

func retries(r bench.Result) table {
	t := table{Caption: "Retries", Small: true}
	if d := r.Duplicates; d.Sent > 0 {
		t.row("sent again on purpose", count(d.Sent))
		t.row("answered like the first time", count(d.Replayed))
		t.row("answered otherwise", count(d.Wrong))
	}
	if u := r.Unknown; u.Requests > 0 {
		t.row("outcome unknown for a while", count(u.Requests))
		t.row("resolved by their keys", count(u.Resolved))
		t.row("not resolved", count(u.Unresolved))
	}
	return t
}

func events(r bench.Result) table {
	t := table{Caption: "Events", Head: []string{"action", "at", "took", "longest time without an acknowledgement", "said"}}
	for _, e := range r.Chaos {
		said := e.Detail
		if e.Error != "" {
			said = "failed: " + e.Error
		}
		t.row(e.Action, span(e.At), micros(e.Took*1e3), micros(e.Outage.MS*1e3), said)
	}
	return t
}

// facts has what is needed to repeat the run, and to judge where it was made.
func (p *page) facts() []table {
	runs, names, head := []bench.Result{p.after.Result}, []string{p.after.Name}, []string(nil)
	if p.Two {
		runs = []bench.Result{p.before.Result, p.after.Result}
		names = []string{p.before.Name, p.after.Name}
		head = []string{"", "before", "after"}
	}
	where := table{Caption: "Run", Head: head, Text: true}
	where.row(append([]string{"result"}, names...)...)
	for _, line := range []struct {
		name string
		of   func(bench.Result) string
	}{
		{"started", func(r bench.Result) string { return r.Started.UTC().Format("2006-01-02 15:04:05 UTC") }},
		{"server", versions},
		{"generator", func(r bench.Result) string { return r.Generator.Version }},
		{"generator's CPU", func(r bench.Result) string {
			return fmt.Sprintf("%.0f%% of %d threads", 100*r.Generator.CPU, r.Generator.Threads)
		}},
		{"seed", func(r bench.Result) string { return fmt.Sprint(r.Config.Seed) }},
		{"loop", func(r bench.Result) string { return r.Loop }},
	} {
		where.row(cells(line.name, runs, line.of)...)
	}
	return []table{where, settings("Machine", "machine.", head, runs), settings("Load", "config.", head, runs)}
}

func cells(name string, runs []bench.Result, of func(bench.Result) string) []string {
	row := []string{name}
	for _, r := range runs {
		row = append(row, of(r))
	}
	return row
}

func versions(r bench.Result) string {
	var all []string
	for _, n := range r.Nodes {
		if !slices.Contains(all, n.Version) {
			all = append(all, n.Version)
		}
	}
	if len(all) == 0 {
		return "not asked"
	}
	return strings.Join(all, ", ")
}

// settings lists what the results say under a prefix, by the names that they
// have there.
func settings(caption, prefix string, head []string, runs []bench.Result) table {
	t := table{Caption: caption, Head: head, Text: true}
	flat := make([]map[string]string, len(runs))
	names := map[string]bool{}
	for i, r := range runs {
		flat[i] = compare.Settings(r)
		for name := range flat[i] {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		short, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		row := []string{""}
		for i := range runs {
			var value string
			row[0], value = setting(short, flat[i][name])
			row = append(row, value)
		}
		if strings.Join(row[1:], "") != "" {
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}
