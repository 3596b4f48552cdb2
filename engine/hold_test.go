package engine

import (
	"testing"
	"testing/synctest"

	"purser/internal/ledger"
)

// TestHeldRequestsShareAnEntry: what is submitted between Hold and Release is
// proposed together, although the log has nothing to do meanwhile.
func TestHeldRequestsShareAnEntry(t *testing.T) {
	bubble(t, Options{MinPipelined: 100}, func(t *testing.T, e *Engine, log *fakeLog) {
		e.Hold()
		var calls []*call
		for _, key := range []string{"a", "b", "c"} {
			calls = append(calls, execute(e, key))
			synctest.Wait()
		}
		expectProposed(t, log, 0)
		e.Release()
		tk := expectProposed(t, log, 1)[0]
		if got := tk.keys(); len(got) != 3 {
			t.Errorf("proposed %q", got)
		}
		tk.apply()
		for _, c := range calls {
			expectErr(t, c, nil)
		}
	})
}

// TestNobodyWaitsForTwoReleases: each loop of a server has Holds of its own, and one
// after another; they may overlap for ever.
func TestNobodyWaitsForTwoReleases(t *testing.T) {
	bubble(t, Options{MinPipelined: 100}, func(t *testing.T, e *Engine, log *fakeLog) {
		e.Hold()
		e.Hold()
		for i, key := range []string{"a", "b", "c"} {
			c := execute(e, key)
			synctest.Wait()
			expectProposed(t, log, i)
			e.Release()
			e.Hold() // before the proposer looks
			expectProposed(t, log, i+1)[i].apply()
			expectErr(t, c, nil)
		}
	})
}

// TestHeldBatchGoesWhenItIsFull: a Hold bounds nothing, and keeps nothing waiting
// that is worth an entry.
func TestHeldBatchGoesWhenItIsFull(t *testing.T) {
	bubble(t, Options{MaxBatch: 2, MinPipelined: 100}, func(t *testing.T, e *Engine, log *fakeLog) {
		e.Hold()
		calls := []*call{executeAll(e, "a", "b")}
		synctest.Wait()
		expectProposed(t, log, 0)
		calls = append(calls, execute(e, "c"))
		expectProposed(t, log, 1)[0].apply()
		e.Release()
		expectProposed(t, log, 2)[1].apply()
		for _, c := range calls {
			expectErr(t, c, nil)
		}
	})
}

// TestSubmitThatIsNotPatientNeverWaits: neither for the outcome of an earlier request
// with the key, nor for its own.
func TestSubmitThatIsNotPatientNeverWaits(t *testing.T) {
	bubble(t, Options{Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		first := inDoubt(t, e, log, "a")
		if _, err := e.Submit(payment("a"), false); err != ledger.ErrWouldWait {
			t.Errorf("a retry of what is in doubt got %v", err)
		}
		first.apply()
		synctest.Wait()
		p, err := e.Submit(payment("b"), false)
		if err != nil {
			t.Fatal(err)
		}
		expectProposed(t, log, 2)[1].apply()
		shown := false
		if err := p.Wait(func(ledger.Result, uint64) { shown = true }); err != nil || !shown {
			t.Errorf("answered with %v, shown: %v", err, shown)
		}
	})
}

// TestWhyABatchFailed: each of its commands hears whether it repeats what is in doubt,
// also when the batch was never proposed.
func TestWhyABatchFailed(t *testing.T) {
	bubble(t, Options{Deadline: deadline, MaxInFlight: 1}, func(t *testing.T, e *Engine, log *fakeLog) {
		var waits []ledger.Pending
		submit := func(key string) {
			p, err := e.Submit(payment(key), false)
			if err != nil {
				t.Fatal(err)
			}
			waits = append(waits, p)
		}
		submit("a")
		first := expectProposed(t, log, 1)[0]
		pass(deadline / 2)
		submit("b") // waits for its turn
		submit("a")
		pass(deadline)
		want := []error{ledger.ErrOutcomeUnknown, ledger.ErrOverloaded, ledger.ErrInProgress}
		for i, p := range waits {
			if err := p.Wait(func(ledger.Result, uint64) { t.Errorf("%d was shown a result", i) }); err != want[i] {
				t.Errorf("%d was answered with %v, want %v", i, err, want[i])
			}
		}
		first.apply()
	})
}
