package chaos

import (
	"context"
	"sync"
	"time"
)

// stalls notices when this machine as a whole stands still, as a virtual one may: no
// process runs then, and a figure that has the time in it says nothing of the nodes.
type stalls struct {
	mu   sync.Mutex
	seen []stall
}

// stall is one time in which nothing ran.
type stall struct {
	until time.Time
	took  time.Duration
}

const (
	stallTick = 20 * time.Millisecond
	// stallFrom is what is a stall: more than a busy machine lets a goroutine wait.
	stallFrom = 300 * time.Millisecond
)

// watch looks at the clock until ctx ends.
func (s *stalls) watch(ctx context.Context) {
	last := time.Now()
	for sleep(ctx, stallTick) == nil {
		now := time.Now()
		if took := now.Sub(last); took >= stallFrom {
			s.mu.Lock()
			s.seen = append(s.seen, stall{now, took})
			s.mu.Unlock()
		}
		last = now
	}
}

// longest returns the longest stall that has ended between two moments.
func (s *stalls) longest(from, to time.Time) (longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.seen {
		if !one.until.Before(from) && one.until.Before(to) {
			longest = max(longest, one.took)
		}
	}
	return longest
}

// sleep returns after d, or with ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
