package engine

import (
	"slices"
	"time"

	"purser/internal/ledger"
)

// propose is the goroutine that seals batches, stamps them and hands them to the
// log, at most MaxInFlight at a time, unless another one does so by proposeHere. While one is in flight the open batch grows
// until it is worth another: that is what makes batches large exactly when the log
// is the bottleneck, and no request ever waits for a batch to fill.
func (e *Engine) propose() {
	defer e.done.Done()
	pulse := time.NewTicker(e.opts.PulseEvery)
	defer pulse.Stop()
	for {
		select {
		case <-e.stop:
			e.proposing.Lock()
			defer e.proposing.Unlock()
			e.abandon() // and nothing more is taken
			close(e.inFlight)
			return
		case <-pulse.C:
			e.pulse()
		case <-e.pulsed:
			e.pulse()
		case <-e.wake:
		}
		e.proposing.Lock()
		for e.proposeNext() {
		}
		e.proposing.Unlock()
	}
}

// proposeHere proposes what is due on the caller's goroutine: to hand it to another one
// would take a lone client longer than all else but the fdatasync. If that one is at it
// already, it is told to look again.
func (e *Engine) proposeHere() {
	if !e.proposing.TryLock() {
		e.signal()
		return
	}
	defer e.proposing.Unlock()
	for e.proposeNext() {
	}
}

// proposeNext proposes the oldest batch, and reports whether it did. The caller holds
// proposing. It does not block: there is room for all that may be in flight.
func (e *Engine) proposeNext() bool {
	sent := e.opts.Now()
	b := e.seal(ledger.Micros(sent.UnixMicro()))
	if b == nil {
		return false
	}
	e.inFlight <- inFlight{batch: b, proposal: e.opts.Log.Propose(b.entry), sent: sent}
	return true
}

// seal takes the oldest batch off the queue and stamps it; nil if none is to be
// proposed now. What it takes is in flight.
func (e *Engine) seal(now ledger.Micros) *batch {
	format := e.opts.Format()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.due() {
		return nil
	}
	b := e.queue[0]
	e.queue[0] = nil
	e.queue = e.queue[1:]
	e.flying++
	e.lastStamp = e.stampAt(now)
	b.stamp = e.lastStamp
	ledger.PutEntryHeader(b.entry, format, b.count, b.stamp)
	e.room = nextRoom(e.room, len(b.entry))
	return b
}

// due reports whether the oldest batch is to be proposed now. The caller holds mu.
func (e *Engine) due() bool {
	switch {
	case len(e.queue) == 0 || e.flying >= e.opts.MaxInFlight:
		return false
	case len(e.queue) > 1: // it is full
		return true
	case e.flying == 0 && (e.held == 0 || e.queue[0].ripe): // there is nothing to wait for
		return true
	}
	return e.queue[0].waiters >= e.opts.MinPipelined
}

// stampAt is the stamp of an entry proposed now: the time, or just after the
// stamp before when the wall clock stood still or went back. The caller holds mu.
func (e *Engine) stampAt(now ledger.Micros) ledger.Micros { return max(e.lastStamp+1, now) }

// abandon answers what was never proposed.
func (e *Engine) abandon() {
	e.mu.Lock()
	queue := e.queue
	e.queue = nil
	e.mu.Unlock()
	for _, b := range queue {
		b.deadline.Stop()
		e.metrics.draining.Add(float64(b.waiters))
		e.resolve(b, nil, ledger.ErrDraining)
	}
}

// pulse opens an empty batch when a hold is overdue and nothing else moves log
// time on: what is pending does, the pulse before included, so that no two are
// under way at once.
func (e *Engine) pulse() {
	if e.opts.Log.Ready() != nil {
		return
	}
	due, ok := e.opts.Log.NextDue()
	if !ok {
		return
	}
	now := ledger.Micros(e.opts.Now().UnixMicro())
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.draining || e.pending > 0 || due > e.stampAt(now) {
		return
	}
	b := e.openBatch(0)
	b.pulse = true
	b.waiters++
	e.pending++
}

// complete is the goroutine that awaits proposals, in log order, and wakes
// whoever waits for them.
func (e *Engine) complete() {
	defer e.done.Done()
	for f := range e.inFlight {
		applied, err := f.proposal.Wait()
		e.landed()
		e.metrics.observe(f, e.opts.Now())
		f.batch.deadline.Stop()
		if e.resolve(f.batch, applied, err) {
			e.leave(f.batch)
		}
		if f.batch.pulse && err == nil {
			// One entry lets a bounded number of holds lapse: look again at once.
			select {
			case e.pulsed <- struct{}{}:
			default:
			}
		}
	}
}

// landed notes that an entry in flight has an outcome, so that another may go.
func (e *Engine) landed() {
	e.mu.Lock()
	e.flying--
	due := e.due()
	e.mu.Unlock()
	if due {
		e.proposeHere()
	}
}

// resolve ends a batch: nothing better will be known of it. It is off the books
// before anyone hears of it, so that nobody is refused for the sake of work that
// is done, and Drain returns after everyone has. Whoever took the batch off the
// queue calls it, once. It reports whether anyone hears of it: they may have been told
// that the outcome is unknown.
func (e *Engine) resolve(b *batch, applied *ledger.Applied, err error) (told bool) {
	e.doubts.resolve(b)
	e.mu.Lock()
	e.pending -= b.waiters
	e.pendingBytes -= len(b.entry) - ledger.EntryHeaderLen
	e.crowded.Store(false)
	e.mu.Unlock()
	told = b.settle(applied, err)
	e.mu.Lock()
	e.batches--
	if e.draining && e.batches == 0 {
		close(e.drained)
	}
	e.mu.Unlock()
	return told
}

// expire answers a batch whose deadline has passed. One that still waits in the
// queue is taken off it, so it was certainly not applied and never will be; one
// that was proposed may be.
func (e *Engine) expire(b *batch) {
	e.mu.Lock()
	at := slices.Index(e.queue, b)
	if at >= 0 {
		e.queue = slices.Delete(e.queue, at, at+1)
	}
	proposed := b.stamp != 0
	e.mu.Unlock()
	switch {
	case at >= 0:
		e.metrics.overloaded.Add(float64(b.waiters))
		e.resolve(b, nil, ledger.ErrOverloaded)
	case proposed:
		e.doubts.add(b) // before a client can know of it, and retry
		if b.settle(nil, ledger.ErrOutcomeUnknown) {
			e.metrics.unknown.Add(float64(b.count))
		}
	}
}
