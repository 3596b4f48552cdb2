package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Text writes r for people, the verdict first.
func (r Result) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	r.writeVerdict(t)
	r.writeFigures(t)
	r.writeAnswers(t)
	r.writeServer(t)
	r.writeSetting(t)
	return t.Flush()
}

func (r *Result) writeVerdict(w io.Writer) {
	fmt.Fprintf(w, "verdict\t%s\n", r.Verdict.Outcome)
	for _, reason := range r.Verdict.Reasons {
		fmt.Fprintf(w, "\t%s\n", reason)
	}
	for _, s := range r.Verdict.SLOs {
		met := "met"
		if !s.Met {
			met = "missed"
		}
		fmt.Fprintf(w, "objective\t%s: %s (%s)\n", s.Objective, met, s.Measured)
	}
	if v := r.Verification; v != nil {
		fmt.Fprintf(w, "books\t%s; %d lost; checked in %.1f s\n", v.summary(), v.Lost, v.Took)
		for _, what := range v.Unchecked {
			fmt.Fprintf(w, "\tnot checked: %s\n", what)
		}
	}
}

func (r *Result) writeFigures(w io.Writer) {
	reads := ""
	if r.Reads > 0 {
		reads = fmt.Sprintf(" and %.0f reads/s", r.Reads)
	}
	fmt.Fprintf(w, "throughput\t%.0f payments/s accepted%s, of %.0f offered (%s loop)\n", r.Throughput, reads, r.Offered, r.Loop)
	r.Response.line(w, "response time")
	if r.Loop == "open" {
		r.Service.line(w, "service time")
		fmt.Fprintf(w, "schedule\t%d late, %d skipped; generator's lag p99 %.0f µs\n", r.Late, r.Skipped, r.Generator.Lag.P99)
	}
	if len(r.Operations) > 1 {
		for _, o := range r.Operations {
			o.Response.line(w, fmt.Sprintf("%s %d", o.Kind, o.Accepted))
		}
	}
	fmt.Fprintf(w, "measured\t%d payments accepted, %d requests, %.2f s\n", r.Accepted, r.Requests, r.Elapsed)
}

func (r *Result) writeAnswers(w io.Writer) {
	for _, code := range slices.Sorted(maps.Keys(r.Codes)) {
		fmt.Fprintf(w, "status %s\t%d\t%s\n", code, r.Codes[code], r.Examples[code])
	}
	if d := r.Duplicates; d.Sent > 0 {
		fmt.Fprintf(w, "duplicates\t%d sent, %d replayed, %d wrong\n", d.Sent, d.Replayed, d.Wrong)
	}
	if u := r.Unknown; u.Requests > 0 {
		fmt.Fprintf(w, "unknown\t%d requests: %d resolved, %d unresolved; %d connections cut\n",
			u.Requests, u.Resolved, u.Unresolved, u.Cut)
	}
	for _, e := range r.Chaos {
		outcome := e.Detail
		if e.Error != "" {
			outcome = "failed: " + e.Error
		}
		fmt.Fprintf(w, "chaos\t%s at %.1f s: %s; outage %.0f ms\n", e.Action, e.At, outcome, e.Outage.MS)
	}
	if len(r.Chaos) > 0 {
		fmt.Fprintf(w, "outage\t%.0f ms without an acknowledgement, from %.3f s\n", r.Outage.MS, r.Outage.From)
	}
}

func (r *Result) writeServer(w io.Writer) {
	for _, n := range r.Nodes {
		fmt.Fprintf(w, "node %s\t%s, version %s, %d shards; %.2f CPUs, %.0f MB\n", n.ID, n.Role, n.Version, n.Shards, n.CPU, n.Resident/1e6)
		if n.Commit.Count > 0 {
			fmt.Fprintf(w, "\tcommit p50 %.0f µs, p99 %.0f; fsync p50 %.0f, p99 %.0f; %.0f commands per entry\n",
				n.Commit.P50, n.Commit.P99, n.Sync.P50, n.Sync.P99, n.EntryCommands)
			fmt.Fprintf(w, "\tper payment %.1f µs of CPU, %.1f allocations\n", n.CPUPerPayment, n.Allocations)
		}
	}
}

func (r *Result) writeSetting(w io.Writer) {
	c := r.Config
	load := []string{fmt.Sprintf("%d connections", c.Connections)}
	if c.open() {
		load = append(load, fmt.Sprintf("rate %.0f/s (%s)", c.Rate, c.Arrivals))
	}
	load = append(load, fmt.Sprintf("batch %d, %s", c.Batch, c.Mix), fmt.Sprintf("%d accounts (%s), %s to %s", c.Accounts, c.Skew, c.Source, c.Destination))
	if c.Hot > 0 {
		load = append(load, fmt.Sprintf("%d hot for %.0f%%", c.Hot, c.HotPercent))
	}
	fmt.Fprintf(w, "load\t%s, seed %d\n", strings.Join(load, ", "), c.Seed)
	g := r.Generator
	fmt.Fprintf(w, "generator\t%s, %d threads, %.0f%% busy, %.0f%% waiting for a processor", g.Version, g.Threads, g.CPU*100, g.Waited*100)
	if g.Others > 0 {
		fmt.Fprintf(w, "; others used %.0f%% of the machine", g.Others*100)
	}
	fmt.Fprintln(w)
	fmt.Fprintf(w, "machine\t%s\n", r.Machine)
}

// line writes l as a line of a table.
func (l Latency) line(w io.Writer, name string) {
	fmt.Fprintf(w, "%s\tp50 %.0f µs, p90 %.0f, p99 %.0f, p99.9 %.0f, max %.0f\n", name, l.P50, l.P90, l.P99, l.P999, l.Max)
}
