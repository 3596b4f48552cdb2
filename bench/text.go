package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// Text writes r for people, the verdict first.
func (r Result) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "verdict\t%s\n", r.Verdict.Outcome)
	for _, reason := range r.Verdict.Reasons {
		fmt.Fprintf(t, "\t%s\n", reason)
	}
	fmt.Fprintf(t, "throughput\t%.0f payments/s accepted, of %.0f offered (%s loop)\n", r.Throughput, r.Offered, r.Loop)
	r.Response.line(t, "response time")
	fmt.Fprintf(t, "measured\t%d payments accepted, %d requests, %.2f s\n", r.Accepted, r.Requests, r.Elapsed)
	for _, code := range slices.Sorted(maps.Keys(r.Codes)) {
		fmt.Fprintf(t, "status %s\t%d\t%s\n", code, r.Codes[code], r.Examples[code])
	}
	if u := r.Unknown; u.Requests > 0 {
		fmt.Fprintf(t, "unknown\t%d requests: %d resolved, %d unresolved; %d connections cut\n",
			u.Requests, u.Resolved, u.Unresolved, u.Cut)
	}
	c := r.Config
	fmt.Fprintf(t, "load\t%d connections, batch %d, %d accounts, %s to %s, seed %d\n",
		c.Connections, c.Batch, c.Accounts, c.Source, c.Destination, c.Seed)
	fmt.Fprintf(t, "machine\t%s\n", r.Machine)
	return t.Flush()
}

// line writes l as a line of a table.
func (l Latency) line(w io.Writer, name string) {
	fmt.Fprintf(w, "%s\tp50 %.0f µs, p90 %.0f, p99 %.0f, p99.9 %.0f, max %.0f\n", name, l.P50, l.P90, l.P99, l.P999, l.Max)
}
