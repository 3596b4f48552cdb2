package engine

import (
	"testing"
	"testing/synctest"

	"purser/internal/ledger"
)

// look makes a request that, once it is shown its result, looks at it until the test
// closes seen.
func look(e *Engine, keys ...string) *call {
	c := &call{keys: keys, done: make(chan struct{}), looking: make(chan struct{}, 1), seen: make(chan struct{})}
	cmds := make([]ledger.Command, len(keys))
	for i, key := range keys {
		cmds[i] = *payment(key)
	}
	go func() {
		defer close(c.done)
		if len(cmds) == 1 {
			c.err = e.Execute(&cmds[0], c.takeOne)
		} else {
			c.err = e.ExecuteAll(cmds, c.take)
		}
	}()
	return c
}

func expectReleased(t *testing.T, tk *ticket, want int32) {
	t.Helper()
	synctest.Wait()
	if n := tk.released.Load(); n != want {
		t.Fatalf("released %d times, want %d", n, want)
	}
}

// TestReleaseAwaitsWhoeverLooks: the results, and the entry that they are made of, stay
// as they are for the one who looks longest, whatever others do meanwhile.
func TestReleaseAwaitsWhoeverLooks(t *testing.T) {
	for last := range 3 {
		bubble(t, Options{MaxInFlight: 1}, func(t *testing.T, e *Engine, log *fakeLog) {
			blocker := execute(e, "blocker")
			expectProposed(t, log, 1)
			calls := []*call{look(e, "a"), look(e, "b", "c"), look(e, "d")}
			synctest.Wait()
			read := barrier(e)
			synctest.Wait()
			log.proposed()[0].apply()
			expectApplied(t, blocker, log.proposed()[0])
			expectReleased(t, log.proposed()[0], 1)
			tk := expectProposed(t, log, 2)[1]
			tk.apply()
			expectErr(t, read, nil)
			for i, c := range calls {
				<-c.looking
				if i != last {
					close(c.seen)
				}
			}
			// Entries that would take the memory, if it were free.
			for i := range 8 {
				other := execute(e, "other")
				synctest.Wait()
				tk := log.proposed()[2+i]
				tk.apply()
				expectApplied(t, other, tk)
			}
			expectReleased(t, tk, 0)
			close(calls[last].seen)
			for _, c := range calls {
				expectApplied(t, c, tk)
			}
			expectReleased(t, tk, 1)
		})
	}
}

// TestWhatMissedItsDeadlineIsNotReleased: nobody counts who has given it up.
func TestWhatMissedItsDeadlineIsNotReleased(t *testing.T) {
	bubble(t, Options{Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		c := execute(e, "a")
		tk := expectProposed(t, log, 1)[0]
		pass(deadline)
		expectErr(t, c, ledger.ErrOutcomeUnknown)
		tk.apply()
		expectReleased(t, tk, 0)
		retry := execute(e, "a")
		again := expectProposed(t, log, 2)[1]
		again.apply()
		expectApplied(t, retry, again)
		expectReleased(t, again, 1)
		expectReleased(t, tk, 0)
	})
}

// TestPulseThatMissedItsDeadline has nobody who waits, and nobody but the log answers.
func TestPulseThatMissedItsDeadline(t *testing.T) {
	bubble(t, Options{Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		log.set(func() { log.due = 1 })
		pass(e.opts.PulseEvery)
		tk := expectProposed(t, log, 1)[0]
		log.set(func() { log.due = 0 })
		pass(deadline)
		tk.apply()
		expectReleased(t, tk, 0)
	})
}

// TestReleaseOutlivesTheEngine: one who still looks when the engine is closed.
func TestReleaseOutlivesTheEngine(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, e *Engine, log *fakeLog) {
		c := look(e, "a")
		tk := expectProposed(t, log, 1)[0]
		tk.apply()
		<-c.looking
		e.Drain()
		e.Close()
		expectReleased(t, tk, 0)
		close(c.seen)
		expectApplied(t, c, tk)
		expectReleased(t, tk, 1)
	})
}

// TestPulseIsReleased: nobody waits for one but the engine itself.
func TestPulseIsReleased(t *testing.T) {
	bubble(t, Options{}, func(t *testing.T, e *Engine, log *fakeLog) {
		log.set(func() { log.due = 1 })
		pass(e.opts.PulseEvery)
		tk := expectProposed(t, log, 1)[0]
		log.set(func() { log.due = 0 })
		tk.apply()
		expectReleased(t, tk, 1)
	})
}

// TestBuffersAreUsedAgain: as long as they fit the entries of late, and no more of them
// than are needed.
func TestBuffersAreUsedAgain(t *testing.T) {
	bubble(t, Options{MaxInFlight: 1}, func(t *testing.T, e *Engine, log *fakeLog) {
		for i := range 20 {
			c := execute(e, "a")
			tk := expectProposed(t, log, i+1)[i]
			if i > 0 && &tk.entry[0] != &log.proposed()[0].entry[0] {
				t.Fatalf("entry %d is in a buffer of its own", tk.index)
			}
			tk.apply()
			expectApplied(t, c, tk)
		}
		var calls []*call
		for i := range 10 {
			calls = append(calls, look(e, "a"))
			expectProposed(t, log, 21+i)[20+i].apply()
			synctest.Wait()
		}
		for _, c := range calls {
			close(c.seen)
			expectErr(t, c, nil)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if want := e.opts.MaxInFlight + spareBuffers; len(e.buffers) != want {
			t.Errorf("%d buffers kept, want %d", len(e.buffers), want)
		}
	})
}
