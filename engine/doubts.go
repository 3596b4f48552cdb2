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
//
// The log recognizes a retry on its own: the set decides only where a retry
// waits and how it is answered, never whether it is applied.
type doubts struct {
	limit   int          // retries that may wait
	batches atomic.Int64 // batches in the set; 0 is the fast path

	mu      sync.Mutex
	set     map[string]*batch // key -> first batch in log order that has it
	waiting int
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
		if first := d.set[string(key)]; first == nil || b.stamp < first.stamp {
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

// await returns once no earlier request with key is unresolved,
// ledger.ErrInProgress when patience runs out first, ledger.ErrOverloaded at once when
// too many retries wait already, or ledger.ErrWouldWait at once without patience.
func (d *doubts) await(key []byte, patience time.Duration) error {
	if len(key) == 0 || d.batches.Load() == 0 {
		return nil
	}
	d.mu.Lock()
	b, full := d.set[string(key)], d.waiting >= d.limit
	if b != nil && !full && patience > 0 {
		d.waiting++
	}
	d.mu.Unlock()
	switch {
	case b == nil:
		return nil
	case patience == 0:
		return ledger.ErrWouldWait
	case full:
		return ledger.ErrOverloaded
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var err error
	select {
	case <-b.resolved:
	case <-timer.C:
		err = ledger.ErrInProgress
	}
	d.mu.Lock()
	d.waiting--
	d.mu.Unlock()
	return err
}

// repeats reports which commands of b have a key that a batch before b in the log holds
// in doubt; nil if none has. A batch that was never proposed is behind all others.
func (d *doubts) repeats(b *batch) (list []bool) {
	if d.batches.Load() == 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	i := 0
	b.commands(func(c *ledger.Command) {
		if first := d.set[string(c.Key)]; first != nil && (b.stamp == 0 || first.stamp < b.stamp) {
			if list == nil {
				list = make([]bool, b.count)
			}
			list[i] = true
		}
		i++
	})
	return list
}
