package engine

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"purser/internal/ledger"
)

const pulseEvery = 100 * time.Millisecond

func micros(t time.Time) ledger.Micros { return ledger.Micros(t.UnixMicro()) }

func TestPulseOfAnIdleEngine(t *testing.T) {
	bubble(t, Options{PulseEvery: pulseEvery}, func(t *testing.T, e *Engine, log *fakeLog) {
		pass(10 * pulseEvery)
		expectProposed(t, log, 0) // nothing is due, ever
		due := micros(time.Now().Add(5*pulseEvery + time.Microsecond))
		log.set(func() { log.due = due })
		pass(5 * pulseEvery)
		expectProposed(t, log, 0) // not yet
		pass(pulseEvery)
		tk := expectProposed(t, log, 1)[0]
		if len(tk.cmds) != 0 || tk.stamp < due {
			t.Errorf("a pulse of %d commands with stamp %d, due is %d", len(tk.cmds), tk.stamp, due)
		}
		log.set(func() { log.due = 0 })
		tk.apply()
		synctest.Wait()
		expectPending(t, e, 0, 0)
		pass(10 * pulseEvery)
		expectProposed(t, log, 1)
	})
}

// TestPulsesGoOnOneByOne: an entry lets only so many holds lapse, so something
// may stay due for long. The next pulse follows an applied one at once, and
// nothing else: neither one that is under way nor one that failed.
func TestPulsesGoOnOneByOne(t *testing.T) {
	bubble(t, Options{PulseEvery: pulseEvery, MaxInFlight: 4, Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		log.set(func() { log.due = 1 })
		pass(pulseEvery)
		for i := range 5 {
			expectProposed(t, log, i+1)[i].apply()
			synctest.Wait()
		}
		stalled := expectProposed(t, log, 6)[5]
		pass(2 * deadline) // also when nobody waits for the pulse any more
		expectProposed(t, log, 6)
		stalled.apply()
		synctest.Wait()
		expectProposed(t, log, 7)[6].fail(ledger.ErrNoLeader)
		synctest.Wait()
		expectProposed(t, log, 7)
		pass(pulseEvery)
		expectProposed(t, log, 8)
	})
}

func TestNoPulseWhileOthersMoveLogTime(t *testing.T) {
	bubble(t, Options{PulseEvery: pulseEvery}, func(t *testing.T, e *Engine, log *fakeLog) {
		log.set(func() { log.due = 1 })
		c := execute(e, "a")
		tk := expectProposed(t, log, 1)[0]
		pass(3 * pulseEvery)
		expectProposed(t, log, 1)
		tk.apply()
		expectApplied(t, c, tk)
		pass(pulseEvery)
		expectProposed(t, log, 2)
	})
}

func TestNoPulseWithoutTheLead(t *testing.T) {
	bubble(t, Options{PulseEvery: pulseEvery}, func(t *testing.T, e *Engine, log *fakeLog) {
		log.set(func() { log.due, log.refusal = 1, ledger.ErrNoLeader })
		pass(5 * pulseEvery)
		expectProposed(t, log, 0)
		log.set(func() { log.refusal = nil })
		pass(pulseEvery)
		expectProposed(t, log, 1)
	})
}

func TestNoPulseWhenDraining(t *testing.T) {
	bubble(t, Options{PulseEvery: pulseEvery, Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		e.Drain()
		log.set(func() { log.due = 1 })
		pass(5 * pulseEvery)
		expectProposed(t, log, 0)
	})
}

// TestPulseUsesLogTime: a wall clock that went back does not keep holds open
// that log time has passed.
func TestPulseUsesLogTime(t *testing.T) {
	var now atomic.Int64
	now.Store(5000)
	opts := Options{PulseEvery: pulseEvery, Now: func() time.Time { return time.UnixMicro(now.Load()) }}
	bubble(t, opts, func(t *testing.T, e *Engine, log *fakeLog) {
		c := barrier(e)
		tk := expectProposed(t, log, 1)[0]
		tk.apply()
		expectApplied(t, c, tk)
		now.Store(1000)
		log.set(func() { log.due = 5002 })
		pass(pulseEvery)
		expectProposed(t, log, 1)
		log.set(func() { log.due = 5001 })
		pass(pulseEvery)
		if tk := expectProposed(t, log, 2)[1]; tk.stamp != 5001 {
			t.Errorf("pulse with stamp %d", tk.stamp)
		}
	})
}
