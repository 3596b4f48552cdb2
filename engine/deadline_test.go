package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"purser/internal/ledger"
)

func TestDeadlineOfAProposedEntryIsUnknown(t *testing.T) {
	bubble(t, Options{Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		c := execute(e, "a")
		tk := expectProposed(t, log, 1)[0]
		pass(deadline - 1)
		expectWaiting(t, c)
		pass(1)
		expectErr(t, c, ledger.ErrOutcomeUnknown)
		expectPending(t, e, 1, commandBytes("a")) // it may still be applied
		if n := testutil.ToFloat64(e.metrics.unknown); n != 1 {
			t.Errorf("%v unknown outcomes counted", n)
		}
		tk.apply()
		synctest.Wait()
		expectPending(t, e, 0, 0)
	})
}

func TestDeadlineOfAWaitingEntryIsARefusal(t *testing.T) {
	bubble(t, Options{Deadline: deadline, MaxInFlight: 1, MaxBatch: 1}, func(t *testing.T, e *Engine, log *fakeLog) {
		proposed := execute(e, "a")
		expectProposed(t, log, 1)
		pass(deadline / 2)
		first, second := execute(e, "b"), execute(e, "c")
		synctest.Wait()
		pass(deadline / 4)
		third := execute(e, "d")
		synctest.Wait()
		pass(deadline / 4)
		expectErr(t, proposed, ledger.ErrOutcomeUnknown)
		expectWaiting(t, first, second, third)
		pass(deadline / 2)
		expectErr(t, first, ledger.ErrOverloaded)
		expectErr(t, second, ledger.ErrOverloaded)
		expectWaiting(t, third)
		expectPending(t, e, 2, 2*commandBytes("a"))

		log.proposed()[0].apply()
		tk := expectProposed(t, log, 2)[1] // b and c never are
		tk.apply()
		expectApplied(t, third, tk)
		pass(2 * deadline)
		expectProposed(t, log, 2)
		expectPending(t, e, 0, 0)
	})
}

// TestNothingWaitingIsLeftAfterItsDeadline: the proposer finds an empty queue
// when at last it gets the slot that it waited for.
func TestNothingWaitingIsLeftAfterItsDeadline(t *testing.T) {
	bubble(t, Options{Deadline: deadline, MaxInFlight: 1}, func(t *testing.T, e *Engine, log *fakeLog) {
		execute(e, "a")
		expectProposed(t, log, 1)
		b := execute(e, "b")
		synctest.Wait()
		pass(deadline)
		expectErr(t, b, ledger.ErrOverloaded)
		log.proposed()[0].apply()
		expectProposed(t, log, 1)

		c := execute(e, "c") // the slot was given back
		tk := expectProposed(t, log, 2)[1]
		tk.apply()
		expectApplied(t, c, tk)
	})
}

// TestAnswerAtTheDeadline lets the log's answer and the deadline meet, many
// times: whichever wins, there is one answer, and the books are balanced.
func TestAnswerAtTheDeadline(t *testing.T) {
	opts := Options{Deadline: deadline, MaxInFlight: 2, MaxBatch: 4}
	bubble(t, opts, func(t *testing.T, e *Engine, log *fakeLog) {
		log.set(func() {
			log.each = func(tk *ticket) {
				go func() {
					time.Sleep(deadline)
					tk.apply()
				}()
			}
		})
		for range 200 {
			first, retry := execute(e, "a"), execute(e, "b")
			time.Sleep(deadline)
			again := execute(e, "a")
			<-first.done
			<-retry.done
			<-again.done
			time.Sleep(2 * deadline)
			for _, c := range []*call{first, retry, again} {
				switch c.err {
				case nil, ledger.ErrOutcomeUnknown, ledger.ErrOverloaded:
				default:
					t.Fatalf("answered with %v", c.err)
				}
			}
			expectPending(t, e, 0, 0)
			if n := e.doubts.batches.Load(); n != 0 || len(e.doubts.set) != 0 {
				t.Fatalf("%d batches and %d keys are in doubt", n, len(e.doubts.set))
			}
		}
	})
}
