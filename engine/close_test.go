package engine

import (
	"testing"
	"testing/synctest"

	"purser/internal/ledger"
)

// inBackground runs fn and returns what is closed when it has returned.
func inBackground(fn func()) *call {
	c := &call{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		fn()
	}()
	return c
}

func TestDrainWaitsForWhatWasAccepted(t *testing.T) {
	bubble(t, Options{MaxInFlight: 1, MaxBatch: 1, Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		accepted := []*call{execute(e, "a")}
		expectProposed(t, log, 1)
		accepted = append(accepted, execute(e, "b"))
		synctest.Wait()
		drains := []*call{inBackground(e.Drain), inBackground(e.Drain)}
		expectWaiting(t, append(drains, accepted...)...)
		for _, c := range []*call{execute(e, "c"), executeAll(e, "d", "e"), barrier(e)} {
			expectErr(t, c, ledger.ErrDraining)
		}
		log.proposed()[0].apply()
		expectApplied(t, accepted[0], log.proposed()[0])
		tk := expectProposed(t, log, 2)[1]
		expectWaiting(t, drains...)
		tk.apply()
		expectApplied(t, accepted[1], tk)
		synctest.Wait()
		for _, c := range drains {
			if !c.finished() {
				t.Error("a drain goes on though nothing is pending")
			}
		}
		e.Drain() // again, with nothing to do
	})
}

func TestDrainOfADeadLog(t *testing.T) {
	bubble(t, Options{MaxInFlight: 1, Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		proposed := execute(e, "a")
		expectProposed(t, log, 1)
		queued := execute(e, "b")
		synctest.Wait()
		pass(1)
		drain := inBackground(e.Drain)
		pass(deadline - 1)
		expectErr(t, proposed, ledger.ErrOutcomeUnknown)
		expectErr(t, queued, ledger.ErrOverloaded)
		expectWaiting(t, drain)
		pass(1)
		if !drain.finished() {
			t.Error("the drain goes on though nobody waits any more")
		}
	})
}

func TestCloseAnswersWhatWasNotProposed(t *testing.T) {
	bubble(t, Options{MaxInFlight: 1, MaxBatch: 1, Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		proposed := execute(e, "a")
		tk := expectProposed(t, log, 1)[0]
		queued := []*call{execute(e, "b"), executeAll(e, "c", "d"), barrier(e)}
		synctest.Wait()
		closes := []*call{inBackground(e.Close), inBackground(e.Close)}
		for _, c := range queued {
			expectErr(t, c, ledger.ErrDraining)
		}
		expectWaiting(t, append(closes, proposed)...) // the log still owes an answer
		expectErr(t, execute(e, "e"), ledger.ErrDraining)
		tk.apply()
		expectApplied(t, proposed, tk)
		synctest.Wait()
		for _, c := range closes {
			if !c.finished() {
				t.Error("Close goes on though the log has answered")
			}
		}
		expectProposed(t, log, 1)
		pass(2 * deadline) // no timer is left to fire
		expectPending(t, e, 0, 0)
		e.Drain()
		expectErr(t, execute(e, "f"), ledger.ErrDraining)
	})
}

// TestDeadlineOfWhatCloseHasTaken: it is off the queue and not proposed, and
// Close is about to answer it.
func TestDeadlineOfWhatCloseHasTaken(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, e *Engine, log *fakeLog) {
		b := newBatch(e.opts.Now(), make([]byte, minRoom))
		e.expire(b)
		if b.settled.Load() {
			t.Errorf("answered with %v", b.err)
		}
	})
}

// TestCloseOfADeadLog: the clients do not wait for it, whatever Close does.
func TestCloseOfADeadLog(t *testing.T) {
	bubble(t, Options{Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		c := execute(e, "a")
		expectProposed(t, log, 1)
		closed := inBackground(e.Close)
		pass(deadline)
		expectErr(t, c, ledger.ErrOutcomeUnknown)
		expectWaiting(t, closed)
		log.close()
		synctest.Wait()
		if !closed.finished() {
			t.Error("Close goes on though the log was closed")
		}
	})
}
