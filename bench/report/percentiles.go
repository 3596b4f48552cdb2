package report

import (
	"fmt"
	"math"
	"strconv"

	"purser/bench"
)

// nines is the place of a quantile on the axis of percentiles: 90% is 1, 99% is
// 2, 99.9% is 3, so that each step is as long as the last one and ten times as
// rare.
func nines(quantile float64) float64 { return -math.Log10(1 - quantile) }

func quantile(nines float64) float64 { return 1 - math.Pow(10, -nines) }

// distribution is a curve of response times: microseconds over nines.
type distribution []point

// newDistribution reads the whole distribution out of l, or what l says of it
// otherwise.
func newDistribution(l bench.Latency) (d distribution) {
	if l.Count == 0 && l.Max == 0 {
		return nil
	}
	h, err := l.Decode()
	if err != nil {
		return distribution{
			{nines(0.5), l.P50}, {nines(0.9), l.P90}, {nines(0.99), l.P99}, {nines(0.999), l.P999},
		}
	}
	// The last place is that of the one slowest request.
	end := max(1, math.Log10(float64(h.TotalCount())))
	const steps = 160
	for i := 1; i <= steps; i++ { // the few fastest would only stretch the scale
		n := end * float64(i) / steps
		d = append(d, point{n, float64(h.ValueAtQuantile(100*quantile(n))) / 1e3})
	}
	d[len(d)-1].Y = l.Max
	return d
}

func (d distribution) end() float64 {
	if len(d) == 0 {
		return 0
	}
	return d[len(d)-1].X
}

// named is a distribution with the style and the name of its curve.
type named struct {
	class, label string
	d            distribution
}

// percentiles draws the response times by how rare they are.
func (p *page) percentiles() chart {
	now, then := p.after.Result, p.before.Result
	c := chart{
		ID:     "percentiles",
		Title:  "Response time by percentile",
		Note:   "Each step to the right is ten times as rare.",
		XTitle: "percentile of requests",
	}
	response := newDistribution(now.Response)
	curves := []named{{"response", "response", response}}
	switch {
	case p.Two:
		curves = []named{{"response then", "before", newDistribution(then.Response)}, {"response", "after", response}}
	case now.Loop == "open":
		curves = append(curves, named{"service", "service, without the wait for a connection", newDistribution(now.Service)})
	}
	low, high, end := math.Inf(1), 0.0, 1.0
	for _, one := range curves {
		for _, at := range one.d {
			if at.Y > 0 {
				low, high = min(low, at.Y), max(high, at.Y)
			}
		}
		end = max(end, one.d.end())
	}
	if high == 0 {
		return c
	}
	c.x, c.y = percentileAxis(end), logAxis(low, high, micros)
	for _, one := range curves {
		c.line(one.class, one.label, one.d)
	}
	for i := 1; i < len(response); i++ {
		at := response[i]
		c.tell(response[i-1].X, at.X, fmt.Sprintf("p%s: %s", percentName(quantile(at.X)), micros(at.Y)))
	}
	c.Summary = fmt.Sprintf("Line plot. Half of the requests were answered within %s, 99%% within %s, 99.9%% within %s, all within %s.",
		micros(now.Response.P50), micros(now.Response.P99), micros(now.Response.P999), micros(now.Response.Max))
	c.Table = p.percentileTable()
	return c
}

func percentileAxis(end float64) axis {
	a := axis{low: 0, high: end}
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999, 0.9999999} {
		if nines(q) <= end+1e-9 {
			a.tick(nines(q), percentName(q)+"%", q == 0.5 || q > 0.999)
		}
	}
	return a
}

// percentName writes a quantile as a percentage with the digits that it has.
func percentName(q float64) string {
	decimals := max(0, int(math.Ceil(nines(q)-1e-9))-2)
	return strconv.FormatFloat(100*q, 'f', decimals, 64)
}

func (p *page) percentileTable() table {
	t := table{Caption: "Response time", Head: []string{"percentile"}}
	columns := []bench.Latency{p.after.Result.Response}
	switch {
	case p.Two:
		columns = []bench.Latency{p.before.Result.Response, p.after.Result.Response}
		t.Head = append(t.Head, "before", "after")
	case p.after.Result.Loop == "open":
		columns = append(columns, p.after.Result.Service)
		t.Head = append(t.Head, "response", "service")
	default:
		t.Head = append(t.Head, "response")
	}
	for _, line := range []struct {
		name string
		of   func(bench.Latency) float64
	}{
		{"min", func(l bench.Latency) float64 { return l.Min }},
		{"p50", func(l bench.Latency) float64 { return l.P50 }},
		{"p90", func(l bench.Latency) float64 { return l.P90 }},
		{"p99", func(l bench.Latency) float64 { return l.P99 }},
		{"p99.9", func(l bench.Latency) float64 { return l.P999 }},
		{"max", func(l bench.Latency) float64 { return l.Max }},
	} {
		row := []string{line.name}
		for _, l := range columns {
			row = append(row, micros(line.of(l)))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
