package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"purser/internal/ledger"
)

// doubts remembers the idempotency keys of batches that missed their deadline
// and still have no outcome. A retry with such a key waits for it rather than
// going into the log behind it. The set is empty unless the log stalls, and then
// it is bounded by what may be in flight.
type doubts struct {
	batches atomic.Int64 // batches in the set; 0 is the fast path

	mu  sync.Mutex
	set map[string]*batch // key -> first batch that has it
}

// add puts the keys of b into the set, unless the log answers first: either add
// sees b resolved, or resolve sees that the set is not empty.
func (d *doubts) add(b *batch) {
	d.batches.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-b.resolved:
		d.batches.Add(-1)
		return
	default:
	}
	if d.set == nil {
		d.set = make(map[string]*batch)
	}
	b.doubted = true
	b.keys(func(key []byte) {
		if _, ok := d.set[string(key)]; !ok {
			d.set[string(key)] = b
		}
	})
}

// resolve marks b as answered by the log, takes its keys out of the set and
// wakes the retries that wait for them.
func (d *doubts) resolve(b *batch) {
	close(b.resolved)
	if d.batches.Load() == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !b.doubted {
		return
	}
	b.keys(func(key []byte) {
		if d.set[string(key)] == b {
			delete(d.set, string(key))
		}
	})
	d.batches.Add(-1)
}

// await returns once no earlier request with key is unresolved, or
// ledger.ErrInProgress when patience runs out.
func (d *doubts) await(key []byte, patience time.Duration) error {
	if len(key) == 0 || d.batches.Load() == 0 {
		return nil
	}
	d.mu.Lock()
	b := d.set[string(key)]
	d.mu.Unlock()
	if b == nil {
		return nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-b.resolved:
		return nil
	case <-timer.C:
		return ledger.ErrInProgress
	}
}

// earlier reports whether another batch than b holds key in doubt.
func (d *doubts) earlier(key []byte, b *batch) bool {
	if len(key) == 0 || d.batches.Load() == 0 {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	other := d.set[string(key)]
	return other != nil && other != b
}
