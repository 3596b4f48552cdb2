package engine

import (
	"slices"
	"time"

	"purser/internal/ledger"
)

// propose is the goroutine that seals batches, stamps them and hands them to the
// log, at most MaxInFlight at a time. While all slots are taken the open batch
// grows: that is what makes batches large exactly when the log is the
// bottleneck, and no request ever waits for a batch to fill.
func (e *Engine) propose() {
	defer e.done.Done()
	defer close(e.inFlight)
	pulse := time.NewTicker(e.opts.PulseEvery)
	defer pulse.Stop()
	for {
		select {
		case <-e.stop:
			e.abandon()
			return
		case <-pulse.C:
			e.pulse()
		case <-e.wake:
		}
		for e.proposeNext() {
		}
	}
}

// proposeNext waits for a slot, then proposes the oldest batch; false when there
// is none.
func (e *Engine) proposeNext() bool {
	e.mu.Lock()
	empty := len(e.queue) == 0
	e.mu.Unlock()
	if empty {
		return false
	}
	select {
	case e.slots <- struct{}{}:
	case <-e.stop:
		return false
	}
	sent := e.opts.Now()
	b := e.seal(ledger.Micros(sent.UnixMicro()))
	if b == nil { // its deadline passed while it waited for the slot
		<-e.slots
		return true
	}
	e.inFlight <- &inFlight{batch: b, proposal: e.opts.Log.Propose(b.entry), sent: sent}
	return true
}

// seal takes the oldest batch off the queue and stamps it: now, or just after
// the stamp before when the wall clock stood still or went back.
func (e *Engine) seal(now ledger.Micros) *batch {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == 0 {
		return nil
	}
	b := e.queue[0]
	e.queue[0] = nil
	e.queue = e.queue[1:]
	e.lastStamp = max(e.lastStamp+1, now)
	ledger.PutEntryHeader(b.entry, b.count, e.lastStamp)
	b.proposed = true
	return b
}

// abandon answers what was never proposed.
func (e *Engine) abandon() {
	e.mu.Lock()
	queue := e.queue
	e.queue = nil
	e.mu.Unlock()
	for _, b := range queue {
		b.deadline.Stop()
		if b.settle(nil, ledger.ErrDraining) {
			e.release(b)
		}
	}
}

// pulse opens an empty batch when a hold is overdue and nobody else moves log
// time on.
func (e *Engine) pulse() {
	due, ok := e.opts.Log.NextDue()
	if !ok || due > ledger.Micros(e.opts.Now().UnixMicro()) || e.opts.Log.Ready() != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuse(1) != nil {
		return
	}
	b, _ := e.openBatch(0)
	b.waiters++
	e.pending++
}

// complete is the goroutine that awaits proposals, in log order, and wakes
// whoever waits for them.
func (e *Engine) complete() {
	defer e.done.Done()
	for f := range e.inFlight {
		applied, err := f.proposal.Wait()
		<-e.slots
		e.metrics.observe(f, e.opts.Now())
		f.batch.deadline.Stop()
		f.batch.settle(applied, err)
		e.release(f.batch)
	}
}

// release takes a batch that has its outcome off the books.
func (e *Engine) release(b *batch) {
	e.doubts.resolve(b)
	e.mu.Lock()
	e.pending -= b.waiters
	e.pendingBytes -= len(b.entry) - ledger.EntryHeaderLen
	e.mu.Unlock()
	select {
	case e.idle <- struct{}{}:
	default:
	}
}

// expire answers a batch whose deadline has passed. One that was not proposed
// yet was certainly not applied; any other may be.
func (e *Engine) expire(b *batch) {
	e.mu.Lock()
	at := slices.Index(e.queue, b)
	if at >= 0 {
		e.queue = slices.Delete(e.queue, at, at+1)
	}
	proposed := b.proposed
	e.mu.Unlock()
	if proposed {
		e.metrics.unknown.Add(float64(b.count))
		e.doubts.add(b)
		b.settle(nil, ledger.ErrOutcomeUnknown)
		return
	}
	if b.settle(nil, ledger.ErrOverloaded) {
		e.release(b)
	}
}
