package compare

import (
	"slices"

	"purser/bench"
)

// kind is a figure that results have. Both functions return 0 where a run has
// none; all figures are positive.
type kind struct {
	name, unit string
	higher     bool
	ofRun      func(bench.Result) float64
	ofSecond   func(bench.Second) float64 // nil: only runs have it
}

// kinds are what is compared, the most important first.
var kinds = []kind{
	{"throughput", "payments/s", true,
		func(r bench.Result) float64 { return r.Throughput },
		func(s bench.Second) float64 { return float64(s.Accepted) }},
	{"reads", "reads/s", true, func(r bench.Result) float64 { return r.Reads }, nil},
	{"response p50", "µs", false,
		func(r bench.Result) float64 { return r.Response.P50 },
		func(s bench.Second) float64 { return s.P50 }},
	{"response p99", "µs", false,
		func(r bench.Result) float64 { return r.Response.P99 },
		func(s bench.Second) float64 { return s.P99 }},
	{"response p99.9", "µs", false, func(r bench.Result) float64 { return r.Response.P999 }, nil},
	{"server CPU", "µs per payment", false, perPayment(func(n bench.Node) float64 { return n.CPUPerPayment }), nil},
	{"server allocations", "per payment", false, perPayment(func(n bench.Node) float64 { return n.Allocations }), nil},
}

// perPayment adds up what all nodes spent.
func perPayment(of func(bench.Node) float64) func(bench.Result) float64 {
	return func(r bench.Result) (sum float64) {
		for _, n := range r.Nodes {
			sum += of(n)
		}
		return sum
	}
}

// figure compares one kind; it reports false if not all runs have it.
func (c *Comparison) figure(k kind, before, after []Run) (Figure, bool) {
	b, a := k.ofRuns(before), k.ofRuns(after)
	if slices.Min(b) <= 0 || slices.Min(a) <= 0 {
		return Figure{}, false
	}
	f := Figure{Name: k.name, Unit: k.unit, Higher: k.higher, Before: rangeOf(b), After: rangeOf(a)}
	if c.Basis == "seconds" && k.ofSecond != nil {
		if s, t := k.ofStretches(before), k.ofStretches(after); len(s) > 0 && len(t) > 0 {
			b, a = s, t
		}
	}
	f.Values = [2]int{len(b), len(a)}
	i := change(b, a, c.Confidence)
	if c.Basis == "seconds" {
		// Of the runs, whatever their seconds say.
		i.factor = f.After.Median / f.Before.Median
	}
	f.Change = i.factor - 1
	if i.ok {
		// The ratio of medians may lie outside the bounds of the seconds'.
		f.Bounded = true
		f.Low, f.High = min(i.low-1, f.Change), max(i.high-1, f.Change)
	}
	f.Outcome = f.judge(c.Margin)
	return f, true
}

func (k kind) ofRuns(runs []Run) (values []float64) {
	for _, r := range runs {
		values = append(values, k.ofRun(r.Result))
	}
	return values
}

// stretches is into how many a run is divided: neighbours in time resemble each
// other, and longer stretches do less.
const stretches = 20

// ofStretches returns the medians of the stretches of the measured time of each
// run, without those that have none.
func (k kind) ofStretches(runs []Run) (values []float64) {
	for _, r := range runs {
		seconds := Measured(r.Result)
		length := max(1, (len(seconds)+stretches-1)/stretches)
		for part := range slices.Chunk(seconds, length) {
			var of []float64
			for _, s := range part {
				of = append(of, k.ofSecond(s))
			}
			if m := median(of); m > 0 {
				values = append(values, m)
			}
		}
	}
	return values
}

// Measured returns the seconds of a run's series that lie in its measured time.
func Measured(r bench.Result) []bench.Second {
	from := r.Config.Warmup.Seconds()
	var seconds []bench.Second
	for _, s := range r.Series {
		if at := float64(s.At); at >= from && at+1 <= from+r.Elapsed+0.01 {
			seconds = append(seconds, s)
		}
	}
	return seconds
}

func rangeOf(values []float64) Range {
	return Range{Median: median(values), Min: slices.Min(values), Max: slices.Max(values)}
}

// judge says what a change means.
func (f Figure) judge(margin float64) Outcome {
	switch {
	case f.Change >= -margin && f.Change <= margin && (f.Bounded || f.Change == 0):
		return Same
	case !f.Bounded:
		return Undecided
	case f.Low <= 0 && f.High >= 0:
		return Same
	case (f.Change > 0) == f.Higher:
		return Better
	}
	return Worse
}
