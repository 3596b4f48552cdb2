package report

import (
	"fmt"
	"math"
	"slices"

	"purser/bench"
)

// maxBuckets is the most points of a curve over time: more than that is more
// than a screen shows.
const maxBuckets = 240

// bucket is one or more seconds of a run.
type bucket struct {
	from, to float64 // seconds since the start
	accepted float64 // per second
	errors   float64 // per second
	requests uint64
	p50      float64 // µs: the median of its seconds
	p99, max float64 // µs: the worst of its seconds
}

func (b bucket) middle() float64 { return (b.from + b.to) / 2 }

// buckets condenses a series.
func buckets(series []bench.Second) (all []bucket) {
	length := max(1, (len(series)+maxBuckets-1)/maxBuckets)
	for part := range slices.Chunk(series, length) {
		b := bucket{from: float64(part[0].At), to: float64(part[len(part)-1].At + 1)}
		var p50s []float64
		for _, s := range part {
			b.accepted += float64(s.Accepted)
			b.errors += float64(s.Errors)
			b.requests += s.Requests
			b.p99, b.max = max(b.p99, s.P99), max(b.max, s.Max)
			if s.Requests > 0 {
				p50s = append(p50s, s.P50)
			}
		}
		b.accepted /= b.to - b.from
		b.errors /= b.to - b.from
		if len(p50s) > 0 {
			slices.Sort(p50s)
			b.p50 = p50s[len(p50s)/2]
		}
		all = append(all, b)
	}
	return all
}

func points(all []bucket, y func(bucket) float64) (p []point) {
	for _, b := range all {
		p = append(p, point{b.middle(), y(b)})
	}
	return p
}

// timeAxis spans the longest of the runs, in seconds; its labels count minutes
// if that are many.
func (c *chart) timeAxis(runs ...[]bucket) {
	end := 1.0
	for _, r := range runs {
		if len(r) > 0 {
			end = max(end, r[len(r)-1].to)
		}
	}
	unit := 1.0
	c.XTitle = "seconds since the start"
	if end > 600 {
		unit, c.XTitle = 60, "minutes since the start"
	}
	c.x = linearAxis(0, end/unit, 10, false, func(v float64) string { return fmt.Sprintf("%.4g", v) })
	c.x.high *= unit
}

// phases shades what is not measured time, and marks what was done to the
// server.
func (c *chart) phases(r bench.Result) {
	warm := r.Config.Warmup.Seconds()
	end := warm + r.Elapsed
	c.shade(0, warm, "unmeasured", "not measured")
	c.shade(end, c.x.high, "unmeasured", "not measured")
	for _, e := range r.Chaos {
		c.event(e.At, e.Action)
	}
	if o := r.Outage; len(r.Chaos) > 0 && o.MS > 0 {
		c.shade(o.From, o.From+o.MS/1e3, "outage", "no acknowledgement for "+micros(o.MS*1e3))
	}
}

// latencyOverTime draws the response times of the seconds of a run.
func (p *page) latencyOverTime() chart {
	now, then := p.after, p.before
	c := chart{
		ID:    "latency",
		Title: "Response time over time",
		Note:  "Of the requests answered in each second; the scale is logarithmic.",
	}
	low, high := math.Inf(1), 0.0
	for _, b := range slices.Concat(now.buckets, then.buckets) {
		if b.requests > 0 && b.p50 > 0 {
			low, high = min(low, b.p50), max(high, b.p99)
			if !p.Two {
				high = max(high, b.max)
			}
		}
	}
	if high == 0 {
		return c
	}
	c.timeAxis(now.buckets, then.buckets)
	c.y = logAxis(low, high, micros)
	c.phases(now.Result)
	p50, p99 := func(b bucket) float64 { return b.p50 }, func(b bucket) float64 { return b.p99 }
	if p.Two {
		c.line("p99 then", "p99 before", points(then.buckets, p99))
		c.line("p50 then", "p50 before", points(then.buckets, p50))
		c.line("p99", "p99 after", points(now.buckets, p99))
		c.line("p50", "p50 after", points(now.buckets, p50))
	} else {
		c.dots("max", "maximum", points(now.buckets, func(b bucket) float64 { return b.max }))
		c.line("p99", "p99", points(now.buckets, p99))
		c.line("p50", "p50", points(now.buckets, p50))
	}
	for _, b := range now.buckets {
		c.tell(b.from, b.to, fmt.Sprintf("%s: p50 %s, p99 %s, max %s", b.name(), micros(b.p50), micros(b.p99), micros(b.max)))
	}
	r := now.Result.Response
	c.Summary = fmt.Sprintf("Line plot. Over the measured time p50 was %s, p99 %s and the maximum %s. The table below has the figures.",
		micros(r.P50), micros(r.P99), micros(r.Max))
	c.Table = p.secondsTable("Response time by second", []string{"p50", "p99", "max"}, func(b bucket) []string {
		return []string{micros(b.p50), micros(b.p99), micros(b.max)}
	})
	return c
}

// throughputOverTime draws the accepted payments of the seconds of a run.
func (p *page) throughputOverTime() chart {
	now, then := p.after, p.before
	c := chart{
		ID:    "throughput",
		Title: "Throughput over time",
		Note:  "Accepted payments in each second.",
	}
	high, failed := 0.0, false
	for _, b := range slices.Concat(now.buckets, then.buckets) {
		high = max(high, b.accepted)
		failed = failed || b.errors > 0
	}
	if now.Result.Loop == "open" {
		high = max(high, now.Result.Offered)
	}
	if high == 0 {
		return c
	}
	c.timeAxis(now.buckets, then.buckets)
	c.y = linearAxis(0, high*1.02, 5, true, short)
	c.phases(now.Result)
	accepted := func(b bucket) float64 { return b.accepted }
	if now.Result.Loop == "open" && !p.Two {
		c.line("offered", "offered", []point{{0, now.Result.Offered}, {c.x.high, now.Result.Offered}})
	}
	if p.Two {
		c.line("accepted then", "before", points(then.buckets, accepted))
		c.line("accepted", "after", points(now.buckets, accepted))
	} else {
		c.line("accepted", "accepted", points(now.buckets, accepted))
	}
	if failed {
		label := "refused or failed"
		if p.Two {
			label += ", after"
		}
		c.line("errors", label, points(now.buckets, func(b bucket) float64 { return b.errors }))
	}
	for _, b := range now.buckets {
		c.tell(b.from, b.to, fmt.Sprintf("%s: %s accepted/s, %s refused or failed/s", b.name(), rate(b.accepted), rate(b.errors)))
	}
	c.Summary = fmt.Sprintf("Line plot. Over the measured time %s payments/s were accepted. The table below has the figures.",
		rate(now.Result.Throughput))
	c.Table = p.secondsTable("Payments by second", []string{"accepted/s", "refused or failed/s"}, func(b bucket) []string {
		return []string{rate(b.accepted), rate(b.errors)}
	})
	return c
}

// name says which seconds b has.
func (b bucket) name() string {
	if b.to-b.from == 1 {
		return fmt.Sprintf("second %g", b.from)
	}
	return fmt.Sprintf("seconds %g to %g", b.from, b.to-1)
}

// secondsTable has the cells of each bucket, with those of both runs side by
// side if there are two.
func (p *page) secondsTable(caption string, names []string, cells func(bucket) []string) table {
	t := table{Caption: caption, Head: []string{"second"}}
	for _, name := range names {
		if p.Two {
			t.Head = append(t.Head, name+" before", name+" after")
		} else {
			t.Head = append(t.Head, name)
		}
	}
	none := slices.Repeat([]string{"–"}, len(names))
	for i := range max(len(p.after.buckets), len(p.before.buckets)) {
		var row []string
		before, after := none, none
		if i < len(p.before.buckets) {
			row, before = []string{p.before.buckets[i].label()}, cells(p.before.buckets[i])
		}
		if i < len(p.after.buckets) {
			row, after = []string{p.after.buckets[i].label()}, cells(p.after.buckets[i])
		}
		for k := range names {
			if p.Two {
				row = append(row, before[k])
			}
			row = append(row, after[k])
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (b bucket) label() string {
	if b.to-b.from == 1 {
		return fmt.Sprintf("%g", b.from)
	}
	return fmt.Sprintf("%g–%g", b.from, b.to-1)
}
