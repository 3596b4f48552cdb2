package engine

import (
	"sync/atomic"
	"time"

	"purser/internal/ledger"
)

// batch is one log entry in the making, and the meeting point of everyone who
// waits for it: a single close wakes them all.
type batch struct {
	entry   []byte // header, then the commands; handed to the log when sealed
	count   int    // commands
	waiters int    // commands and barriers, as counted against MaxPending
	opened  time.Time

	// outcome is set once, by whoever wins settled; done is closed right after.
	settled atomic.Bool
	applied *ledger.Applied
	err     error
	done    chan struct{}

	deadline *time.Timer
	proposed bool          // guarded by Engine.mu: past this, the fate is the log's
	resolved chan struct{} // closed when the log has answered, timed out or not
	doubted  bool          // guarded by doubts.mu: its keys are in the set
}

func newBatch(now time.Time) *batch {
	const typical = 32 << 10
	return &batch{
		entry:    make([]byte, ledger.EntryHeaderLen, typical),
		opened:   now,
		done:     make(chan struct{}),
		resolved: make(chan struct{}),
	}
}

// settle publishes the outcome unless another one was there first.
func (b *batch) settle(applied *ledger.Applied, err error) bool {
	if !b.settled.CompareAndSwap(false, true) {
		return false
	}
	b.applied, b.err = applied, err
	close(b.done)
	return true
}

// keys calls fn with every idempotency key of the batch. It decodes the entry,
// so it is for the rare path of a missed deadline.
func (b *batch) keys(fn func(key []byte)) {
	entry, err := ledger.DecodeEntry(b.entry)
	if err != nil {
		panic("engine: cannot read the entry it wrote: " + err.Error())
	}
	var c ledger.Command
	for range entry.Count {
		if _, err := entry.Next(&c); err != nil {
			panic("engine: cannot read the entry it wrote: " + err.Error())
		}
		if len(c.Key) > 0 {
			fn(c.Key)
		}
	}
}
