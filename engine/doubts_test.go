package engine

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"purser/internal/ledger"
)

// inDoubt has the log keep an entry of these keys past its deadline.
func inDoubt(t *testing.T, e *Engine, log *fakeLog, keys ...string) *ticket {
	t.Helper()
	before := len(log.proposed())
	c := executeAll(e, keys...)
	tk := expectProposed(t, log, before+1)[before]
	pass(e.opts.Deadline)
	expectErr(t, c, ledger.ErrOutcomeUnknown)
	return tk
}

func TestRetryWaitsForItsFirst(t *testing.T) {
	bubble(t, Options{Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		first := inDoubt(t, e, log, "a", "b")
		retries := []*call{execute(e, "a"), executeAll(e, "x", "b")}
		other := execute(e, "c")
		second := expectProposed(t, log, 2)[1]
		expectWaiting(t, append(retries, other)...)
		if got := second.keys(); len(got) != 1 || got[0] != "c" {
			t.Fatalf("%q was proposed behind what is in doubt", got)
		}
		first.apply()
		for _, c := range retries {
			expectWaiting(t, c)
		}
		applyAll(log)
		for _, c := range append(retries, other) {
			expectErr(t, c, nil)
		}
	})
}

func TestRetryLosesPatience(t *testing.T) {
	bubble(t, Options{Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		first := inDoubt(t, e, log, "a")
		retries := []*call{execute(e, "a"), executeAll(e, "x", "a")}
		expectWaiting(t, retries...)
		pass(deadline - 1)
		expectWaiting(t, retries...)
		pass(1)
		for _, c := range retries {
			expectErr(t, c, ledger.ErrInProgress)
		}
		expectProposed(t, log, 1)
		first.apply()
		synctest.Wait()
		c := execute(e, "a") // nothing is in doubt any more
		tk := expectProposed(t, log, 2)[1]
		tk.apply()
		expectApplied(t, c, tk)
	})
}

// TestRetryBehindItsFirst: both are in flight when the log stalls, and only the
// later one is a retry.
func TestRetryBehindItsFirst(t *testing.T) {
	bubble(t, Options{Deadline: deadline, MaxInFlight: 3}, func(t *testing.T, e *Engine, log *fakeLog) {
		first := execute(e, "a")
		expectProposed(t, log, 1)
		pass(1)
		retry := execute(e, "a")
		expectProposed(t, log, 2)
		pass(1)
		mixed := executeAll(e, "a", "new")
		expectProposed(t, log, 3)
		pass(deadline - 2)
		expectErr(t, first, ledger.ErrOutcomeUnknown)
		pass(1)
		expectErr(t, retry, ledger.ErrInProgress)
		pass(1)
		expectErr(t, mixed, ledger.ErrOutcomeUnknown) // of "new" nothing else is known
		for _, tk := range log.proposed() {
			tk.apply()
		}
		synctest.Wait()
		expectPending(t, e, 0, 0)
	})
}

// TestRetryQueuedBehindItsFirst: it was never proposed, but to refuse it would
// tell the client that the payment is certainly not made.
func TestRetryQueuedBehindItsFirst(t *testing.T) {
	bubble(t, Options{Deadline: deadline, MaxInFlight: 1}, func(t *testing.T, e *Engine, log *fakeLog) {
		first := execute(e, "a")
		expectProposed(t, log, 1)
		pass(1)
		retries := []*call{execute(e, "a"), executeAll(e, "new", "a")}
		other := executeAll(e, "new", "newer")
		synctest.Wait()
		pass(deadline)
		expectErr(t, first, ledger.ErrOutcomeUnknown)
		for _, c := range retries {
			expectErr(t, c, ledger.ErrInProgress)
		}
		expectErr(t, other, ledger.ErrOverloaded)
		applyAll(log)
		expectProposed(t, log, 1)
	})
}

// stamped returns a sealed batch of one command with key a.
func stamped(stamp ledger.Micros) *batch {
	b := newBatch(time.Time{}, make([]byte, minRoom))
	b.entry = ledger.AppendEntryCommand(b.entry, payment("a"))
	b.count, b.stamp = 1, stamp
	ledger.PutEntryHeader(b.entry, ledger.NewestFormat, 1, stamp)
	return b
}

// repeats reports whether the only command of b repeats what is in doubt.
func repeats(d *doubts, b *batch) bool {
	list := d.repeats(b)
	return list != nil && list[0]
}

// TestDoubtBelongsToTheFirstInTheLog: deadlines may run out in any order.
func TestDoubtBelongsToTheFirstInTheLog(t *testing.T) {
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		d := doubts{limit: 1}
		b := [2]*batch{stamped(1), stamped(2)}
		for _, i := range order {
			d.add(b[i])
		}
		if repeats(&d, b[0]) || !repeats(&d, b[1]) {
			t.Errorf("added in order %v, the doubt is not the first batch's", order)
		}
		d.resolve(b[order[0]])
		if order[0] == 0 && repeats(&d, b[1]) {
			t.Error("a resolved batch is still in doubt")
		}
		if order[0] == 1 && !repeats(&d, b[1]) {
			t.Error("the first batch is no longer in doubt because the second is not")
		}
		d.resolve(b[order[1]])
		if n := d.batches.Load(); n != 0 || len(d.set) != 0 {
			t.Errorf("%d batches and %d keys are in doubt", n, len(d.set))
		}
	}
}

// TestFirstIsNotItsRetrysRetry: the log answered it with an unknown outcome while
// a later batch with its key is in doubt.
func TestFirstIsNotItsRetrysRetry(t *testing.T) {
	d := doubts{limit: 1}
	d.add(stamped(2))
	if repeats(&d, stamped(1)) {
		t.Error("the first is in progress because of its retry")
	}
}

// TestDoubtBeginsBeforeTheAnswer: a retry may follow at once.
func TestDoubtBeginsBeforeTheAnswer(t *testing.T) {
	proposed := make(chan *ticket, 1)
	log := &fakeLog{each: func(tk *ticket) { proposed <- tk }}
	e, err := New(Options{Log: log, MaxInFlight: 2, MinPipelined: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	b, _, err := e.join(1, func(entry []byte) []byte { return ledger.AppendEntryCommand(entry, payment("a")) })
	if err != nil {
		t.Fatal(err)
	}
	tk := <-proposed
	e.doubts.mu.Lock()
	expired := inBackground(func() { e.expire(b) })
	for e.doubts.batches.Load() == 0 {
		runtime.Gosched()
	}
	if b.settled.Load() { // but the keys cannot be in the set yet: this test holds it
		t.Error("the outcome was said to be unknown before the key was in doubt")
	}
	e.doubts.mu.Unlock()
	<-expired.done
	if b.err != ledger.ErrOutcomeUnknown {
		t.Errorf("answered with %v", b.err)
	}
	tk.apply()
}

// TestDeadlineAfterTheAnswer: the deadline had begun to run its course when the
// log answered.
func TestDeadlineAfterTheAnswer(t *testing.T) {
	d := doubts{limit: 1}
	b := stamped(1)
	d.resolve(b)
	d.add(b)
	if n := d.batches.Load(); n != 0 || len(d.set) != 0 {
		t.Errorf("%d batches and %d keys are in doubt", n, len(d.set))
	}
	if err := d.await([]byte("a"), 0); err != nil {
		t.Error(err)
	}
}

func TestWaitingRetriesAreBounded(t *testing.T) {
	bubble(t, Options{Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		e.doubts.limit = 2 // MaxPending, without its bound on what is proposed: the two may be so beside "b"
		first := inDoubt(t, e, log, "a")
		waiting := []*call{execute(e, "a"), execute(e, "a")}
		expectWaiting(t, waiting...)
		expectErr(t, execute(e, "a"), ledger.ErrOverloaded)
		other := execute(e, "b")
		tk := expectProposed(t, log, 2)[1]
		first.apply()
		tk.apply()
		expectApplied(t, other, tk)
		applyAll(log)
		for _, c := range waiting {
			expectErr(t, c, nil)
		}
	})
}

func TestRetryOnANodeThatLostTheLead(t *testing.T) {
	bubble(t, Options{Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		inDoubt(t, e, log, "a")
		log.set(func() { log.refusal = ledger.ErrNoLeader })
		expectErr(t, execute(e, "a"), ledger.ErrNoLeader)
	})
}

// TestReadsAreNeverInDoubt: an entry of reads alone has no keys, nor have the
// commands that carry none.
func TestReadsAreNeverInDoubt(t *testing.T) {
	bubble(t, Options{Deadline: deadline, MaxInFlight: 3}, func(t *testing.T, e *Engine, log *fakeLog) {
		read := barrier(e)
		expectProposed(t, log, 1)
		unkeyed := execute(e, "")
		expectProposed(t, log, 2)
		pass(deadline)
		expectErr(t, read, ledger.ErrOutcomeUnknown)
		expectErr(t, unkeyed, ledger.ErrOutcomeUnknown)
		if n := len(e.doubts.set); n != 0 {
			t.Errorf("%d keys in doubt", n)
		}
		again := execute(e, "")
		for _, tk := range expectProposed(t, log, 3) {
			tk.apply()
		}
		expectApplied(t, again, log.proposed()[2])
	})
}
