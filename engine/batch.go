package engine

import (
	"sync/atomic"
	"time"

	"purser/internal/ledger"
)

// batch is one log entry in the making, and the meeting point of everyone who
// waits for it: a single close wakes them all.
type batch struct {
	pulse bool // opened for no request, to let holds lapse
	ripe  bool // guarded by Engine.mu: a Hold that it waited for has ended

	entry   []byte // header, then the commands; handed to the log when sealed
	count   int    // commands
	waiters int    // commands and barriers, as counted against MaxPending
	opened  time.Time

	// outcome is set once, by whoever wins settled; done is closed right after.
	settled atomic.Bool
	applied *ledger.Applied
	err     error
	done    chan struct{}

	// users are those who may still look at applied, or at entry, of which it has
	// parts: the requests, and the completer. See Engine.leave.
	users atomic.Int32

	deadline *time.Timer
	stamp    ledger.Micros // 0 until proposed, guarded by Engine.mu: from then on the fate is the log's
	resolved chan struct{} // closed when the log has answered, timed out or not
	doubted  bool          // guarded by doubts.mu: its keys are in the set
	repeats  []bool        // of a batch that failed: which commands repeat what is in doubt; nil: none
	engine   *Engine
}

// Bounds of the capacity that a batch's buffer starts with, in bytes. Within
// them it follows the size of recent entries. A fixed 32 KiB cost a lone client
// half its rate (BenchmarkExecute/log=at-once/clients=1: 12 µs, now 6 µs), and
// larger entries a copy at every regrowth.
const (
	minRoom = 1 << 10
	maxRoom = 256 << 10
)

// spareBuffers is how many are kept for entries to come, besides one for each in
// flight: those of entries that are applied and still being answered.
const spareBuffers = 3

// nextRoom returns the capacity for the buffer after one that came to size: a
// little more than the largest of late, which it forgets by a sixteenth at each
// entry.
func nextRoom(room, size int) int {
	return min(max(size+size/8, room-room/16, minRoom), maxRoom)
}

// newBatch makes a batch that has one user, in buffer, which has room for a header.
func newBatch(now time.Time, buffer []byte) *batch {
	entry := buffer[:ledger.EntryHeaderLen]
	ledger.PutEntryHeader(entry, ledger.OldestFormat, 0, 0) // until it is sealed
	b := &batch{
		entry:    entry,
		opened:   now,
		done:     make(chan struct{}),
		resolved: make(chan struct{}),
	}
	b.users.Store(1)
	return b
}

var _ ledger.Work = (*batch)(nil)

// Done implements ledger.Work.
func (b *batch) Done() <-chan struct{} { return b.done }

// Show implements ledger.Work.
func (b *batch) Show(at int, use func(result ledger.Result, index uint64)) error {
	switch {
	case b.err != nil:
		return b.explain(at)
	case at < 0:
		use(ledger.Result{}, b.applied.Index)
	default:
		use(b.applied.Results[at], b.applied.Index)
	}
	b.engine.leave(b)
	return nil
}

// explain tells why the batch failed for the command at a position.
func (b *batch) explain(at int) error {
	if at >= 0 && b.repeats != nil && b.repeats[at] {
		return ledger.ErrInProgress
	}
	return b.err
}

// explainAll tells why the batch failed for all of n commands from a position on.
func (b *batch) explainAll(at, n int) error {
	if b.repeats == nil {
		return b.err
	}
	retries := 0
	for _, repeats := range b.repeats[at : at+n] {
		if repeats {
			retries++
		}
	}
	if retries == 0 || b.err == ledger.ErrOutcomeUnknown && retries < n {
		return b.err
	}
	return ledger.ErrInProgress
}

// settle publishes the outcome unless another one was there first. Commands of a batch
// that failed and repeat a request in doubt are in progress: a refusal could be taken
// for the answer to both.
func (b *batch) settle(applied *ledger.Applied, err error) bool {
	if !b.settled.CompareAndSwap(false, true) {
		return false
	}
	b.applied, b.err = applied, err
	if err != nil {
		b.repeats = b.engine.doubts.repeats(b)
	}
	close(b.done)
	return true
}

// keys calls fn with every idempotency key of the batch.
func (b *batch) keys(fn func(key []byte)) {
	b.commands(func(c *ledger.Command) {
		if len(c.Key) > 0 {
			fn(c.Key)
		}
	})
}

// commands calls fn with every command of the batch. It decodes the entry, so it is
// for the rare path of a missed deadline.
func (b *batch) commands(fn func(c *ledger.Command)) {
	entry, err := ledger.DecodeEntry(b.entry, int(b.entry[0]))
	if err != nil {
		panic("engine: cannot read the entry it wrote: " + err.Error())
	}
	var c ledger.Command
	for range b.count {
		if _, err := entry.Next(&c); err != nil {
			panic("engine: cannot read the entry it wrote: " + err.Error())
		}
		fn(&c)
	}
}
