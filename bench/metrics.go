package bench

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// metrics is what a server counted, by series as Prometheus' text format spells
// them, labels included.
type metrics map[string]float64

// parseMetrics reads the text format. Lines that it cannot read are left out.
func parseMetrics(text string) metrics {
	m := make(metrics)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		if value, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
			m[line[:at]] = value
		}
	}
	return m
}

// since returns what was added since before.
func (m metrics) since(before metrics) metrics {
	added := make(metrics, len(m))
	for series, value := range m {
		added[series] = value - before[series]
	}
	return added
}

// labelled returns the values of the series of a name with one label, by the
// label's value.
func (m metrics) labelled(name, label string) map[string]float64 {
	values := make(map[string]float64)
	for series, value := range m {
		if rest, ok := strings.CutPrefix(series, name+"{"+label+`="`); ok {
			values[strings.TrimSuffix(rest, `"}`)] = value
		}
	}
	return values
}

// time returns a histogram of seconds.
func (m metrics) time(name string) ServerTime {
	t := ServerTime{Count: uint64(m[name+"_count"])}
	if t.Count == 0 {
		return t
	}
	t.Mean = m[name+"_sum"] / m[name+"_count"] * 1e6
	buckets := m.labelled(name+"_bucket", "le")
	t.P50 = quantile(buckets, 0.50) * 1e6
	t.P99 = quantile(buckets, 0.99) * 1e6
	return t
}

// quantile interpolates in the cumulative buckets of a histogram, by upper
// bound, as Prometheus' histogram_quantile does. Beyond the last finite bound it
// returns that.
func quantile(buckets map[string]float64, q float64) float64 {
	type bucket struct{ le, count float64 }
	var sorted []bucket
	for le, count := range buckets {
		if bound, err := strconv.ParseFloat(le, 64); err == nil {
			sorted = append(sorted, bucket{bound, count})
		}
	}
	slices.SortFunc(sorted, func(a, b bucket) int {
		if a.le < b.le {
			return -1
		}
		return 1
	})
	if len(sorted) == 0 {
		return 0
	}
	wanted := q * sorted[len(sorted)-1].count
	var below bucket
	for _, b := range sorted {
		if b.count >= wanted && b.count > below.count {
			if math.IsInf(b.le, 1) {
				return below.le
			}
			return below.le + (b.le-below.le)*(wanted-below.count)/(b.count-below.count)
		}
		below = b
	}
	return below.le
}
