package engine

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"purser/internal/ledger"
)

// deadline of the bubbles; time is free there.
const deadline = 10 * time.Second

func TestEntriesGrowWhileTheLogIsBusy(t *testing.T) {
	bubble(t, Options{MaxInFlight: 2, MaxBatch: 3}, func(t *testing.T, e *Engine, log *fakeLog) {
		var calls []*call
		for i := range 10 {
			calls = append(calls, execute(e, fmt.Sprint(i)))
			synctest.Wait() // one after another, so that their order is known
		}
		var got [][]string
		for i := 0; i < len(log.proposed()); i++ {
			tickets := log.proposed()
			if len(tickets)-i > 2 {
				t.Fatalf("%d entries in flight", len(tickets)-i)
			}
			got = append(got, tickets[i].keys())
			tickets[i].apply()
			synctest.Wait()
		}
		want := "[[0] [1] [2 3 4] [5 6 7] [8 9]]"
		if fmt.Sprint(got) != want {
			t.Errorf("entries %v, want %v", got, want)
		}
		for _, c := range calls {
			tk := log.proposed()[slices.IndexFunc(got, func(keys []string) bool { return slices.Contains(keys, c.keys[0]) })]
			expectApplied(t, c, tk)
		}
		expectPending(t, e, 0, 0)
	})
}

func TestExecuteAllStaysTogether(t *testing.T) {
	bubble(t, Options{MaxInFlight: 1, MaxBatch: 3}, func(t *testing.T, e *Engine, log *fakeLog) {
		execute(e, "stall")
		tickets := expectProposed(t, log, 1)
		var calls []*call
		for _, c := range [][]string{{"a", "b"}, {"c", "d"}, {"e"}, {"f", "g", "h", "i", "j"}, {"k"}, {}} {
			calls = append(calls, executeAll(e, c...))
			synctest.Wait()
		}
		tickets[0].apply()
		want := []string{"[a b]", "[c d e]", "[f g h i j]", "[k]"}
		for i, keys := range want {
			tk := expectProposed(t, log, i+2)[i+1]
			if got := fmt.Sprint(tk.keys()); got != keys {
				t.Errorf("entry %d has %s, want %s", i+1, got, keys)
			}
			tk.apply()
		}
		for i, entry := range []int{1, 2, 2, 3, 4, 4} {
			expectApplied(t, calls[i], log.proposed()[entry])
		}
	})
}

func TestBarrierIsNotAnsweredByAnEarlierEntry(t *testing.T) {
	bubble(t, Options{MaxInFlight: 1}, func(t *testing.T, e *Engine, log *fakeLog) {
		before := barrier(e)
		first := expectProposed(t, log, 1)[0]
		reads := []*call{barrier(e), execute(e, "a"), barrier(e)}
		expectWaiting(t, append(reads, before)...)
		first.apply()
		expectApplied(t, before, first)
		second := expectProposed(t, log, 2)[1]
		expectWaiting(t, reads...)
		if len(second.cmds) != 1 {
			t.Errorf("%d commands in the entry of one command and two reads", len(second.cmds))
		}
		second.apply()
		for _, c := range reads {
			expectApplied(t, c, second)
		}
	})
}

// TestBarriersJoinAFullEntry: a read adds nothing to the entry.
func TestBarriersJoinAFullEntry(t *testing.T) {
	bubble(t, Options{MaxInFlight: 1, MaxBatch: 1}, func(t *testing.T, e *Engine, log *fakeLog) {
		execute(e, "stall")
		expectProposed(t, log, 1)
		c := execute(e, "a")
		synctest.Wait()
		reads := []*call{barrier(e), barrier(e)}
		expectWaiting(t, reads...)
		log.proposed()[0].apply()
		tk := expectProposed(t, log, 2)[1]
		tk.apply()
		for _, c := range append(reads, c) {
			expectApplied(t, c, tk)
		}
	})
}

func TestStampsIncreaseWhateverTheClockDoes(t *testing.T) {
	clock := []int64{100, 50, 50, -1, 101, 300, 299, 302}
	want := []ledger.Micros{100, 101, 102, 103, 104, 300, 301, 302}
	var now atomic.Int64
	opts := Options{Now: func() time.Time { return time.UnixMicro(now.Load()) }}
	bubble(t, opts, func(t *testing.T, e *Engine, log *fakeLog) {
		for i, at := range clock {
			now.Store(at)
			c := barrier(e)
			tk := expectProposed(t, log, i+1)[i]
			if tk.stamp != want[i] {
				t.Errorf("entry %d proposed at %d has stamp %d, want %d", i, at, tk.stamp, want[i])
			}
			tk.apply()
			expectApplied(t, c, tk)
		}
	})
}

// TestEntriesHaveTheFormatOfTheCluster: of the moment when they are proposed.
func TestEntriesHaveTheFormatOfTheCluster(t *testing.T) {
	var format atomic.Int64
	opts := Options{MaxInFlight: 1, Format: func() int { return int(format.Load()) }}
	bubble(t, opts, func(t *testing.T, e *Engine, log *fakeLog) {
		for i := range 3 {
			format.Store(int64(i + 1))
			c := execute(e, "a")
			tk := expectProposed(t, log, i+1)[i]
			if int(tk.format) != i+1 {
				t.Errorf("entry %d has format %d", i+1, tk.format)
			}
			tk.apply()
			expectApplied(t, c, tk)
		}
	})
}

func TestLeaderLost(t *testing.T) {
	bubble(t, Options{MaxInFlight: 1}, func(t *testing.T, e *Engine, log *fakeLog) {
		calls := []*call{execute(e, "a")}
		expectProposed(t, log, 1)
		calls = append(calls, execute(e, "b"), barrier(e))
		synctest.Wait()
		log.set(func() { log.refusal = ledger.ErrNoLeader })
		for _, c := range []*call{execute(e, "c"), executeAll(e, "d", "e"), barrier(e)} {
			expectErr(t, c, ledger.ErrNoLeader)
		}
		log.proposed()[0].fail(ledger.ErrOutcomeUnknown)
		expectErr(t, calls[0], ledger.ErrOutcomeUnknown)
		expectProposed(t, log, 2)[1].fail(ledger.ErrNoLeader)
		expectErr(t, calls[1], ledger.ErrNoLeader)
		expectErr(t, calls[2], ledger.ErrNoLeader)
		expectPending(t, e, 0, 0)

		log.set(func() { log.refusal = nil })
		c := execute(e, "a")
		tk := expectProposed(t, log, 3)[2]
		tk.apply()
		expectApplied(t, c, tk)
	})
}

func TestStorageFullRefusesCommandsOnly(t *testing.T) {
	bubble(t, Options{MaxInFlight: 1, PulseEvery: time.Second}, func(t *testing.T, e *Engine, log *fakeLog) {
		accepted := execute(e, "a")
		expectProposed(t, log, 1)
		e.SetStorageFull(true)
		expectErr(t, execute(e, "b"), ledger.ErrStorageFull)
		expectErr(t, executeAll(e, "c", "d"), ledger.ErrStorageFull)
		read := barrier(e)
		expectWaiting(t, read, accepted)
		log.proposed()[0].apply()
		expectApplied(t, accepted, log.proposed()[0])
		tk := expectProposed(t, log, 2)[1]
		tk.apply()
		expectApplied(t, read, tk)

		log.set(func() { log.due = 1 })
		pass(time.Second)
		expectProposed(t, log, 3)[2].apply() // the pulse
		log.set(func() { log.due = 0 })
		e.SetStorageFull(false)
		c := execute(e, "b")
		tk = expectProposed(t, log, 4)[3]
		tk.apply()
		expectApplied(t, c, tk)
	})
}

// TestResultsReachTheirCommands runs many clients at once, for the race detector
// as much as for the check that nobody gets another's result.
func TestResultsReachTheirCommands(t *testing.T) {
	log := &fakeLog{each: func(tk *ticket) { go tk.apply() }}
	e, err := New(Options{Log: log, MaxBatch: 16, MaxInFlight: 3, MinPipelined: 4})
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	for n := range 32 {
		clients.Go(func() {
			for i := range 100 {
				keys := make([]string, i%4)
				cmds := make([]ledger.Command, len(keys))
				for j := range keys {
					keys[j] = fmt.Sprintf("%d-%d-%d", n, i, j)
					cmds[j] = *payment(keys[j])
				}
				var err error
				check := func(results []ledger.Result, index uint64) {
					if index == 0 || len(results) != len(keys) {
						t.Errorf("%d results at index %d", len(results), index)
						return
					}
					for j, key := range keys {
						runtime.Gosched() // others leave meanwhile
						if got := string(results[j].Record.Command.Key); got != key {
							t.Errorf("%q got the result of %q", key, got)
						}
					}
				}
				if len(cmds) == 1 {
					err = e.Execute(&cmds[0], func(res ledger.Result, index uint64) { check([]ledger.Result{res}, index) })
				} else {
					err = e.ExecuteAll(cmds, check)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	expectPending(t, e, 0, 0)
	e.Drain()
	e.Close()
	for _, tk := range log.proposed() {
		if len(tk.cmds) > 16 {
			t.Errorf("an entry of %d commands", len(tk.cmds))
		}
		if n := tk.released.Load(); n != 1 {
			t.Errorf("entry %d was released %d times", tk.index, n)
		}
	}
}

// TestPipelining: while an entry is in flight, another one is proposed once it is
// worth it: large enough, or full.
func TestPipelining(t *testing.T) {
	bubble(t, Options{MaxInFlight: 3, MinPipelined: 3, MaxBatch: 4}, func(t *testing.T, e *Engine, log *fakeLog) {
		calls := []*call{execute(e, "a")}
		first := expectProposed(t, log, 1)[0] // nothing is in flight: at once
		calls = append(calls, execute(e, "b"), execute(e, "c"))
		synctest.Wait()
		expectProposed(t, log, 1)
		calls = append(calls, barrier(e)) // reads count, too
		second := expectProposed(t, log, 2)[1]
		calls = append(calls, executeAll(e, "d", "e"))
		synctest.Wait()
		expectProposed(t, log, 2)
		calls = append(calls, executeAll(e, "f", "g", "h")) // does not fit with d and e, which are full thereby
		third := expectProposed(t, log, 3)[2]
		synctest.Wait()
		expectProposed(t, log, 3) // as many as may be
		first.apply()
		fourth := expectProposed(t, log, 4)[3]
		for _, tk := range []*ticket{second, third, fourth} {
			tk.apply()
		}
		for i, tk := range []*ticket{first, second, second, second, third, fourth} {
			expectApplied(t, calls[i], tk)
		}
	})
}
