package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// window is what one worker, or all, counted in one second.
type window struct {
	accepted, requests, errors uint64
	times                      *hdrhistogram.Histogram // response times, to two digits: about 30 KiB
}

func newWindow() *window {
	return &window{times: hdrhistogram.New(1000, maxLatency, 2)}
}

func (w *window) record(ns int64) {
	_ = w.times.RecordValue(min(max(ns, 1000), maxLatency)) // within range
}

func (w *window) merge(o *window) {
	w.accepted += o.accepted
	w.requests += o.requests
	w.errors += o.errors
	w.times.Merge(o.times)
}

func (w *window) reset() {
	w.accepted, w.requests, w.errors = 0, 0, 0
	w.times.Reset()
}

// Progress is a second of a run that just ended, or of its verification.
type Progress struct {
	Second
	// Verifying says that the load is over: only Entries means something then, the
	// rows of journals that were checked so far.
	Verifying bool
	Entries   uint64
	Of        time.Duration // of the whole run; 0: it ends after Config.Requests
	Warming   bool          // the second was before the measured time
}

// series puts the seconds of all workers together. Workers hand over each
// second when it has passed; it is complete when all of them have.
type series struct {
	workers int

	mu      sync.Mutex
	seconds []Second
	open    map[int]*merging
}

// merging is a second that some workers have handed over.
type merging struct {
	window *window
	parts  int
}

func newSeries(workers int) *series {
	return &series{workers: workers, open: make(map[int]*merging)}
}

// add takes a worker's part of second at. The worker keeps its window. Every
// worker hands over all seconds from 0 to its last, in order.
func (s *series) add(at int, w *window) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.open[at]
	if m == nil {
		m = &merging{window: newWindow()}
		s.open[at] = m
	}
	m.window.merge(w)
	if m.parts++; m.parts == s.workers {
		s.finish(at, m)
	}
}

func (s *series) finish(at int, m *merging) {
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	s.seconds = append(s.seconds, Second{
		At:       at,
		Accepted: m.window.accepted,
		Requests: m.window.requests,
		Errors:   m.window.errors,
		P50:      us(m.window.times.ValueAtQuantile(50)),
		P99:      us(m.window.times.ValueAtQuantile(99)),
		Max:      us(m.window.times.Max()),
	})
	delete(s.open, at)
}

// done returns the complete seconds. They grow and never change.
func (s *series) done() []Second {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seconds
}

// close completes what only some workers reached and returns all seconds.
func (s *series) close() []Second {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := len(s.seconds); len(s.open) > 0; at++ {
		if m := s.open[at]; m != nil {
			s.finish(at, m)
		}
	}
	return s.seconds
}
