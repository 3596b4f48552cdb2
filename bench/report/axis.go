package report

import "math"

// Down is the distance from the other end, where SVG begins to count.
func (t tick) Down() float64 { return 100 - t.At }

// axis maps values to places: 0 at its start, 1 at its end.
type axis struct {
	low, high float64
	log       bool // places go by the logarithm; low is positive
	ticks     []tick
}

// tick is a labelled place on an axis, in percent of its length.
type tick struct {
	At    float64
	Label string
	Minor bool // left out where there is little room
}

// at returns the place of v; what lies outside is moved to the nearer end.
func (a axis) at(v float64) float64 {
	v = min(max(v, a.low), a.high)
	if a.log {
		return math.Log(v/a.low) / math.Log(a.high/a.low)
	}
	return (v - a.low) / (a.high - a.low)
}

func (a *axis) tick(v float64, label string, minor bool) {
	a.ticks = append(a.ticks, tick{100 * a.at(v), label, minor})
}

// linearAxis goes from low to high, or to the next round step above it. It has
// about as many ticks as given.
func linearAxis(low, high float64, ticks int, round bool, label func(float64) string) axis {
	if high <= low {
		high = low + 1
	}
	step := niceStep((high - low) / float64(ticks))
	a := axis{low: low, high: high}
	if round {
		a.high = low + math.Ceil((high-low)/step-1e-9)*step
	}
	for i := 0; ; i++ {
		v := low + float64(i)*step
		if v > a.high+step*1e-9 {
			return a
		}
		a.tick(v, label(v), i%2 == 1)
	}
}

// niceStep returns the least of 1, 2 and 5 times a power of ten that is not
// below x.
func niceStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, nice := range []float64{1, 2, 5} {
		if nice*power >= x*(1-1e-9) {
			return nice * power
		}
	}
	return 10 * power
}

// logAxis spans low to high, widened to steps of 1, 2, 5, 10 and so on, each of
// which is a tick; if that would be many, only powers of ten are.
func logAxis(low, high float64, label func(float64) string) axis {
	a := axis{low: below(low), high: niceStep(max(high, 2*low)), log: true}
	many := math.Log10(a.high/a.low) > 3
	for v := a.low; v < a.high*(1+1e-6); v = niceStep(1.5 * v) {
		exponent := math.Log10(v)
		decade := math.Abs(exponent-math.Round(exponent)) < 1e-6
		if decade || !many {
			a.tick(v, label(v), !decade)
		}
	}
	return a
}

// below returns the greatest of 1, 2 and 5 times a power of ten that is not
// above x.
func below(x float64) float64 { return 1 / niceStep(1/x) }
