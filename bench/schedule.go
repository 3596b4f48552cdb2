package bench

import "math"

const (
	arrivalsPoisson  = "poisson"
	arrivalsConstant = "constant"
)

// schedule says when the requests of one worker are to start, in nanoseconds
// since the run's start. It is a function of its parameters alone: what the
// server does has no influence on it, which is what makes a loop open.
type schedule struct {
	gap     float64 // mean time between two starts, ns
	poisson bool
	rng     random
	at      float64 // of the next start, ns
	left    int     // starts still to come; negative: no limit
	ends    int64   // no start then or later; 0: no end
}

// newSchedule returns the starts of worker number index of so many, who share
// rate starts per second. Poisson processes with a part of the rate each add up
// to one with all of it; constant ones take turns.
func newSchedule(arrivals string, rate float64, index, workers int, seed uint64) schedule {
	s := schedule{
		gap:     1e9 / rate * float64(workers),
		poisson: arrivals == arrivalsPoisson,
		rng:     newRandom(seed, streamSchedule, uint64(index)),
		left:    -1,
	}
	if s.poisson {
		s.at = s.pause()
	} else {
		s.at = 1e9 / rate * float64(index)
	}
	return s
}

// pause draws the time to the next start.
func (s *schedule) pause() float64 {
	if !s.poisson {
		return s.gap
	}
	return -math.Log(1-s.rng.fraction()) * s.gap
}

// peek returns when the next start is, and whether there is one.
func (s *schedule) peek() (at int64, ok bool) {
	at = int64(s.at)
	return at, s.left != 0 && (s.ends == 0 || at < s.ends)
}

// advance goes on to the start after the next.
func (s *schedule) advance() {
	s.at += s.pause()
	s.left--
}
