package engine

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"purser/internal/ledger"
)

// step is one event of a random schedule. What it does with n depends on it.
type step struct {
	what string
	n    int
}

var stepKinds = []string{
	"execute", "execute", "execute", "execute all", "barrier", "barrier",
	"apply", "apply", "apply", "apply later", "refuse", "lose", "pass", "pass",
	"lead", "storage", "due", "clock",
}

// TestSchedules runs random schedules of requests, answers of the log and time,
// and checks every answer against what the log knows.
func TestSchedules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		opts := Options{
			Deadline:        8 * time.Second,
			PulseEvery:      time.Second,
			MaxInFlight:     rapid.IntRange(1, 3).Draw(rt, "in flight"),
			MinPipelined:    rapid.IntRange(1, 6).Draw(rt, "pipelined"),
			MaxBatch:        rapid.IntRange(1, 4).Draw(rt, "batch"),
			MaxPending:      rapid.IntRange(1, 40).Draw(rt, "pending"),
			MaxPendingBytes: rapid.IntRange(100, 4000).Draw(rt, "bytes"),
		}
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{rapid.SampledFrom(stepKinds).Draw(rt, "what"), rapid.IntRange(0, 15).Draw(rt, "n")}
		}), 30, 100).Draw(rt, "steps")
		var faults []string
		synctest.Test(t, func(t *testing.T) {
			s := &schedule{opts: opts}
			faults = s.run(t, steps)
		})
		if len(faults) > 0 {
			rt.Fatalf("%s", strings.Join(faults, "\n"))
		}
	})
}

// schedule is a run under way. A request is known by the Reference of its
// commands, which no two share; keys are few, so that there are retries.
type schedule struct {
	opts    Options
	log     *fakeLog
	e       *Engine
	skew    atomic.Int64 // minutes by which the engine's wall clock is off
	calls   []*request
	largest int // commands of the largest call
	faults  []string
}

type request struct {
	call
	refs   []string
	before int // entries proposed when it began
	limit  time.Duration
	took   time.Duration
}

func (s *schedule) fault(format string, args ...any) {
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

func (s *schedule) run(t *testing.T, steps []step) []string {
	s.log = &fakeLog{}
	s.opts.Log = s.log
	s.opts.Now = func() time.Time { return time.Now().Add(time.Duration(s.skew.Load()) * time.Minute) }
	e, err := New(s.opts)
	if err != nil {
		t.Fatal(err)
	}
	s.e = e
	for _, st := range steps {
		s.step(st)
		synctest.Wait()
		s.checkBounds()
	}
	s.log.close()
	e.Drain()
	e.Close()
	for _, r := range s.calls {
		<-r.done
	}
	for _, r := range s.calls {
		s.checkAnswer(r)
	}
	s.checkLog()
	if e.pending != 0 || e.pendingBytes != 0 || len(e.doubts.set) != 0 || e.doubts.batches.Load() != 0 {
		s.fault("left at the end: %d pending, %d bytes, %d keys in doubt", e.pending, e.pendingBytes, len(e.doubts.set))
	}
	return s.faults
}

func (s *schedule) step(st step) {
	var open []*ticket
	for _, tk := range s.log.proposed() {
		if !tk.answered.Load() {
			open = append(open, tk)
		}
	}
	// Mostly the oldest is answered, as a log does; a failure may overtake.
	answer := func(fn func(tk *ticket)) {
		if len(open) > 0 {
			fn(open[st.n/6%len(open)])
		}
	}
	switch st.what {
	case "execute":
		s.start(1, st.n)
	case "execute all":
		s.start(st.n%6, st.n)
	case "barrier":
		s.start(0, -1)
	case "apply":
		answer((*ticket).apply)
	case "apply later": // at the very moment of a deadline, perhaps
		answer(func(tk *ticket) {
			tk.answered.Store(true)
			time.AfterFunc(time.Duration(st.n)*time.Second, tk.apply)
		})
	case "refuse":
		answer(func(tk *ticket) { tk.fail(ledger.ErrNoLeader) })
	case "lose":
		answer(func(tk *ticket) { tk.fail(ledger.ErrOutcomeUnknown) })
	case "pass":
		time.Sleep(time.Duration(st.n) * time.Second)
	case "lead":
		s.log.set(func() {
			s.log.refusal = nil
			if st.n > 11 {
				s.log.refusal = ledger.ErrNoLeader
			}
		})
	case "storage":
		s.e.SetStorageFull(st.n > 11)
	case "due":
		s.log.set(func() { s.log.due = ledger.Micros(st.n % 2) })
	case "clock":
		s.skew.Store(int64(st.n - 8))
	}
}

// start makes a request of n commands; a barrier when which is negative.
func (s *schedule) start(n, which int) {
	r := &request{call: call{done: make(chan struct{})}, before: len(s.log.proposed())}
	cmds := make([]ledger.Command, n)
	for i := range cmds {
		key, ref := fmt.Sprint("key", (which+i)%5), fmt.Sprint(len(s.calls), ".", i)
		cmds[i] = *payment(key)
		cmds[i].Reference = []byte(ref)
		r.keys, r.refs = append(r.keys, key), append(r.refs, ref)
	}
	// A retry may wait once for each request that it repeats.
	r.limit = time.Duration(n+1) * s.opts.Deadline
	s.calls = append(s.calls, r)
	s.largest = max(s.largest, n)
	began := time.Now()
	go func() {
		defer close(r.done)
		switch {
		case which < 0:
			r.index, r.err = awaitBarrier(s.e)
		case n == 1:
			r.err = s.e.Execute(&cmds[0], r.takeOne)
		default:
			r.err = s.e.ExecuteAll(cmds, r.take)
		}
		r.took = time.Since(began)
	}()
}

func (s *schedule) checkBounds() {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if limit := max(s.opts.MaxPending, s.largest); s.e.pending > limit {
		s.fault("%d requests pending, bound %d", s.e.pending, limit)
	}
	if limit := s.opts.MaxPendingBytes + s.largest*200; s.e.pendingBytes > limit {
		s.fault("%d bytes pending, bound %d", s.e.pendingBytes, limit)
	}
	open := 0
	for _, tk := range s.log.tickets {
		select {
		case <-tk.done:
		default:
			open++
		}
	}
	if open > s.opts.MaxInFlight {
		s.fault("%d entries in flight, bound %d", open, s.opts.MaxInFlight)
	}
}

// find returns the entry that holds the request, nil if it was never proposed.
func (s *schedule) find(r *request) (found *ticket) {
	for _, tk := range s.log.tickets {
		for at := range tk.cmds {
			if len(r.refs) == 0 || string(tk.cmds[at].Reference) != r.refs[0] {
				continue
			}
			if found != nil {
				s.fault("%q was proposed twice", r.refs)
			}
			found = tk
			for i, ref := range r.refs {
				if string(tk.cmds[at+i].Reference) != ref {
					s.fault("%q was not kept together", r.refs)
				}
			}
		}
	}
	return found
}

func (s *schedule) checkAnswer(r *request) {
	tk := s.find(r)
	if r.took > r.limit {
		s.fault("%q took %v", r.refs, r.took)
	}
	switch r.err {
	case nil:
		if len(r.refs) == 0 {
			tk = s.log.tickets[r.index-1]
		}
		if tk == nil || tk.applied == nil || tk.index != r.index || int(r.index) <= r.before || len(r.results) != len(r.refs) {
			s.fault("%q: %d results of index %d, begun after %d, found in %+v", r.refs, len(r.results), r.index, r.before, tk)
			return
		}
		for i := range r.results {
			if got := string(r.results[i].Record.Command.Reference); got != r.refs[i] {
				s.fault("%q got the result of %q", r.refs[i], got)
			}
		}
		s.checkReleased(tk, 1)
	case ledger.ErrNoLeader, ledger.ErrOverloaded, ledger.ErrDraining, ledger.ErrStorageFull:
		if tk != nil && tk.err != ledger.ErrNoLeader {
			s.fault("%q was refused with %v and proposed", r.refs, r.err)
		}
	case ledger.ErrOutcomeUnknown:
		if tk == nil && len(r.refs) > 0 {
			s.fault("%q is unknown but was never proposed", r.refs)
		}
		if tk != nil {
			s.checkReleased(tk, 0)
		}
	case ledger.ErrInProgress:
		first := slices.ContainsFunc(s.log.tickets, func(other *ticket) bool {
			return (tk == nil || other.index < tk.index) && slices.ContainsFunc(r.keys, func(key string) bool {
				return slices.Contains(other.keys(), key)
			})
		})
		if !first {
			s.fault("%q with keys %q is said to be in progress, but is the first", r.refs, r.keys)
		}
	default:
		s.fault("%q answered with %v", r.refs, r.err)
	}
}

// checkReleased: what somebody was answered from is released in the end, what somebody
// heard nothing of is not.
func (s *schedule) checkReleased(tk *ticket, want int32) {
	if n := tk.released.Load(); n != want {
		s.fault("entry %d was released %d times, want %d", tk.index, n, want)
	}
}

func (s *schedule) checkLog() {
	var last ledger.Micros
	for _, tk := range s.log.tickets {
		if n := tk.released.Load(); n > 1 {
			s.fault("entry %d was released %d times", tk.index, n)
		}
		if tk.stamp <= last {
			s.fault("stamp %d after %d", tk.stamp, last)
		}
		last = tk.stamp
		if len(tk.cmds) > s.opts.MaxBatch {
			call, _, _ := strings.Cut(string(tk.cmds[0].Reference), ".")
			for i := range tk.cmds {
				if ref := string(tk.cmds[i].Reference); !strings.HasPrefix(ref, call+".") {
					s.fault("an entry of %d commands holds %q too", len(tk.cmds), ref)
				}
			}
		}
	}
}
