package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"purser/bench"
)

// report writes the table of medians. A ratio is the median of the rounds'
// ratios.
func report(w io.Writer, d *database, rows []*row) error {
	fmt.Fprintf(w, "\nmachine: %s; generator and both servers on it\n", rows[0].purser[0].Machine)
	fmt.Fprintf(w, "PostgreSQL: %s\n", strings.Join(d.settings, " "))
	fmt.Fprintf(w, "medians of %d rounds, payments/s and latency in ms\n\n", len(rows[0].purser))

	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "load\tconnections\tPostgreSQL/s\tp50\tp99\tpool\tPurser/s\tp50\tp99\tratio\trounds\t\n")
	for _, r := range rows {
		ratios := r.ratios()
		fmt.Fprintf(t, "%s\t%d\t%.0f\t%.1f\t%.1f\t%d\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f to %.1f\t\n", r.load.name, r.connections,
			of(r.postgres, throughput), of(r.postgres, p50), of(r.postgres, p99), r.pool,
			of(r.purser, throughput), of(r.purser, p50), of(r.purser, p99),
			median(ratios), slices.Min(ratios), slices.Max(ratios))
	}
	return t.Flush()
}

func throughput(m bench.Result) float64 { return m.Throughput }
func p50(m bench.Result) float64        { return m.Response.P50 / 1e3 }
func p99(m bench.Result) float64        { return m.Response.P99 / 1e3 }

func (r *row) ratios() []float64 {
	var ratios []float64
	for i := range r.purser {
		ratios = append(ratios, r.purser[i].Throughput/r.postgres[i].Throughput)
	}
	return ratios
}

// of is the median of a figure of the runs.
func of(runs []bench.Result, figure func(bench.Result) float64) float64 {
	var values []float64
	for _, m := range runs {
		values = append(values, figure(m))
	}
	return median(values)
}

// median returns the middle value, or the mean of the two.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
