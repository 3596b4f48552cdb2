package bench

import "math/bits"

// moments is the set of milliseconds of a run in which a payment was
// acknowledged: 450 KB an hour, whatever the rate.
type moments struct{ words []uint64 }

const msPerWord = 64

// add notes an acknowledgement at ns since the start.
func (m *moments) add(ns int64) {
	ms := uint64(max(ns, 0)) / 1e6
	for ms/msPerWord >= uint64(len(m.words)) {
		m.words = append(m.words, 0)
	}
	m.words[ms/msPerWord] |= 1 << (ms % msPerWord)
}

func (m *moments) merge(o *moments) {
	for len(m.words) < len(o.words) {
		m.words = append(m.words, 0)
	}
	for i, w := range o.words {
		m.words[i] |= w
	}
}

// next returns the first millisecond of the set that is ms or later, or end if
// there is none before that.
func (m *moments) next(ms, end int64) int64 {
	for ms < end && ms/msPerWord < int64(len(m.words)) {
		if rest := m.words[ms/msPerWord] >> (ms % msPerWord); rest != 0 {
			return min(end, ms+int64(bits.TrailingZeros64(rest)))
		}
		ms = (ms/msPerWord + 1) * msPerWord
	}
	return end
}

// outage returns the longest time without an acknowledgement within from and
// to, in nanoseconds since the start.
func (m *moments) outage(from, to int64) Outage {
	var longest, begin int64
	at, end := from/1e6, to/1e6
	for at < end {
		next := m.next(at, end)
		if next-at > longest {
			longest, begin = next-at, at
		}
		at = next + 1
	}
	return Outage{MS: float64(longest), From: float64(begin) / 1e3}
}
