package engine

import (
	"fmt"
	"testing"
	"testing/synctest"

	"purser/internal/ledger"
)

func TestMaxPendingBoundsCommandsAndReads(t *testing.T) {
	bubble(t, Options{MaxInFlight: 1, MaxBatch: 2, MaxPending: 6}, func(t *testing.T, e *Engine, log *fakeLog) {
		calls := []*call{execute(e, "a")}
		expectProposed(t, log, 1)
		calls = append(calls, executeAll(e, "b", "c"), barrier(e), barrier(e))
		synctest.Wait()
		expectErr(t, executeAll(e, "d", "e"), ledger.ErrOverloaded)
		calls = append(calls, barrier(e))
		expectWaiting(t, calls...)
		expectPending(t, e, 6, 3*commandBytes("a"))
		expectErr(t, execute(e, "f"), ledger.ErrOverloaded)
		expectErr(t, barrier(e), ledger.ErrOverloaded)

		log.proposed()[0].apply() // frees one
		expectProposed(t, log, 2)
		expectErr(t, executeAll(e, "g", "h"), ledger.ErrOverloaded)
		calls = append(calls, execute(e, "i"))
		expectWaiting(t, calls[1:]...)
		log.proposed()[1].apply()
		expectProposed(t, log, 3)[2].apply()
		for i, entry := range []int{0, 1, 1, 1, 1, 2} {
			expectApplied(t, calls[i], log.proposed()[entry])
		}
		expectPending(t, e, 0, 0)
	})
}

func TestIdleEngineTakesACallOfAnySize(t *testing.T) {
	opts := Options{MaxInFlight: 1, MaxBatch: 2, MaxPending: 3, MaxPendingBytes: 1}
	bubble(t, opts, func(t *testing.T, e *Engine, log *fakeLog) {
		for round := range 2 {
			c := executeAll(e, "a", "b", "c", "d", "e")
			tk := expectProposed(t, log, round+1)[round]
			expectErr(t, barrier(e), ledger.ErrOverloaded)
			tk.apply()
			expectApplied(t, c, tk)
		}
	})
}

func TestMaxPendingBytesIsExceededByOneCallAtMost(t *testing.T) {
	size := commandBytes("0")
	bubble(t, Options{MaxInFlight: 1, MaxPendingBytes: 3 * size}, func(t *testing.T, e *Engine, log *fakeLog) {
		var calls []*call
		for i := range 4 {
			calls = append(calls, execute(e, fmt.Sprint(i)))
			expectWaiting(t, calls...)
		}
		expectPending(t, e, 4, 4*size)
		expectErr(t, execute(e, "x"), ledger.ErrOverloaded)
		expectErr(t, barrier(e), ledger.ErrOverloaded)
		log.proposed()[0].apply()
		tk := expectProposed(t, log, 2)[1]
		tk.apply()
		synctest.Wait()
		expectPending(t, e, 0, 0)
	})
}

// TestPendingIncludesWhatNobodyWaitsFor: an entry whose deadline passed is still
// in memory, and the bound is there for memory.
func TestPendingIncludesWhatNobodyWaitsFor(t *testing.T) {
	bubble(t, Options{Deadline: deadline, MaxPending: 2}, func(t *testing.T, e *Engine, log *fakeLog) {
		a, b := execute(e, "a"), execute(e, "b")
		synctest.Wait()
		pass(deadline)
		expectErr(t, a, ledger.ErrOutcomeUnknown)
		expectErr(t, b, ledger.ErrOutcomeUnknown)
		expectErr(t, barrier(e), ledger.ErrOverloaded)
		expectErr(t, execute(e, "c"), ledger.ErrOverloaded)
		for _, tk := range log.proposed() {
			tk.apply()
		}
		synctest.Wait()
		expectPending(t, e, 0, 0)
	})
}

func TestBufferFollowsTheSizeOfRecentEntries(t *testing.T) {
	room := minRoom
	for _, c := range []struct{ size, want int }{
		{16, minRoom},
		{8000, 9000},
		{8000, 9000},
		{100, 8438},
		{1 << 20, maxRoom},
		{100, maxRoom - maxRoom/16},
	} {
		if room = nextRoom(room, c.size); room != c.want {
			t.Errorf("after an entry of %d bytes room for %d, want %d", c.size, room, c.want)
		}
	}
	for range 200 {
		room = nextRoom(room, 16)
	}
	if room != minRoom {
		t.Errorf("room for %d bytes after 200 small entries, want %d", room, minRoom)
	}
	bubble(t, Options{MaxInFlight: 1}, func(t *testing.T, e *Engine, log *fakeLog) {
		executeAll(e, make([]string, 100)...)
		expectProposed(t, log, 1)
		barrier(e)
		synctest.Wait()
		e.mu.Lock()
		defer e.mu.Unlock()
		if c := cap(e.queue[0].entry); c < 100*commandBytes("") {
			t.Errorf("room for %d bytes after an entry of %d", c, 100*commandBytes(""))
		}
	})
}

// TestJoiningAnEntryAllocatesNothing: what a request costs beyond its entry's
// share is the copy of its bytes.
func TestJoiningAnEntryAllocatesNothing(t *testing.T) {
	log := &fakeLog{}
	e, err := New(Options{Log: log, MaxInFlight: 1, MaxBatch: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	defer log.close()
	cmd := payment("0123456789abcdef0123456789abcdef")
	join := func() {
		if err := e.admit(cmd, true); err != nil {
			t.Fatal(err)
		}
		if _, _, err := e.join(1, func(entry []byte) []byte { return ledger.AppendEntryCommand(entry, cmd) }); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(10_000, join); n != 0 {
		t.Errorf("%v allocations to join an entry", n)
	}
}

// TestEntryAllocations bounds what an entry of one request allocates, the fake
// log's two allocations included.
func TestEntryAllocations(t *testing.T) {
	e, _ := startPrompt(t, false)
	cmd := payment("0123456789abcdef0123456789abcdef")
	n := testing.AllocsPerRun(1000, func() {
		if err := e.Execute(cmd, func(ledger.Result, uint64) {}); err != nil {
			t.Fatal(err)
		}
	})
	if n > 9 {
		t.Errorf("%v allocations for an entry of one command", n)
	}
}

// TestCrowded: from a refusal with hardly any room until there is some.
func TestCrowded(t *testing.T) {
	bubble(t, Options{MaxInFlight: 1, MaxPending: 4}, func(t *testing.T, e *Engine, log *fakeLog) {
		calls := []*call{execute(e, "a"), executeAll(e, "b", "c")}
		synctest.Wait()
		expectErr(t, executeAll(e, "d", "e"), ledger.ErrOverloaded) // too large for what is left
		if e.Crowded() {
			t.Error("crowded with room left")
		}
		calls = append(calls, barrier(e))
		synctest.Wait()
		expectErr(t, barrier(e), ledger.ErrOverloaded)
		if !e.Crowded() {
			t.Error("not crowded after a refusal without room")
		}
		applyAll(log)
		for _, c := range calls {
			expectErr(t, c, nil)
		}
		if e.Crowded() {
			t.Error("crowded with nothing pending")
		}
	})
}

// TestCrowdedByBytes: as for requests.
func TestCrowdedByBytes(t *testing.T) {
	bubble(t, Options{MaxInFlight: 1, MaxPendingBytes: 1}, func(t *testing.T, e *Engine, log *fakeLog) {
		a := execute(e, "a")
		tk := expectProposed(t, log, 1)[0]
		expectErr(t, execute(e, "b"), ledger.ErrOverloaded)
		if !e.Crowded() {
			t.Error("not crowded")
		}
		tk.apply()
		expectApplied(t, a, tk)
	})
}

// TestNotCrowdedWithRequestsInDoubt: a retry of one must not hear that it certainly
// was not applied.
func TestNotCrowdedWithRequestsInDoubt(t *testing.T) {
	bubble(t, Options{MaxInFlight: 1, MaxPending: 2, Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		a := executeAll(e, "a", "b")
		synctest.Wait()
		expectErr(t, execute(e, "c"), ledger.ErrOverloaded)
		if !e.Crowded() {
			t.Error("not crowded")
		}
		pass(deadline)
		expectErr(t, a, ledger.ErrOutcomeUnknown)
		expectErr(t, executeAll(e, "x", "y"), ledger.ErrOverloaded)
		if e.Crowded() {
			t.Error("crowded with a request in doubt")
		}
	})
}
