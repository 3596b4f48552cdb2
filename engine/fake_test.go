package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"purser/internal/ledger"
)

// fakeLog is a log in the hands of the test: an entry stays unanswered until the
// test, or each, answers its ticket.
type fakeLog struct {
	mu      sync.Mutex
	refusal error            // of Ready
	due     ledger.Micros    // of NextDue; 0 for none
	each    func(tk *ticket) // called for every proposal, if set
	tickets []*ticket        // all proposals so far
}

// ticket is one proposal. Its results echo the commands, from memory that release
// makes useless.
type ticket struct {
	index    uint64
	format   byte
	stamp    ledger.Micros
	cmds     []ledger.Command // for the test, in memory of their own
	entry    []byte           // the engine's
	released atomic.Int32
	answered atomic.Bool // or about to be
	done     chan struct{}
	applied  *ledger.Applied
	err      error
}

func (l *fakeLog) Propose(bytes []byte) Proposal {
	tk := &ticket{format: bytes[0], entry: bytes, done: make(chan struct{})}
	tk.stamp, tk.cmds = decodeEntry(slices.Clone(bytes))
	l.mu.Lock()
	l.tickets = append(l.tickets, tk)
	tk.index = uint64(len(l.tickets))
	each := l.each
	l.mu.Unlock()
	if each != nil {
		each(tk)
	}
	return tk
}

func decodeEntry(src []byte) (stamp ledger.Micros, cmds []ledger.Command) {
	entry, err := ledger.DecodeEntry(src, int(src[0]))
	if err != nil {
		panic(err)
	}
	cmds = make([]ledger.Command, entry.Count)
	for i := range cmds {
		if _, err := entry.Next(&cmds[i]); err != nil {
			panic(err)
		}
	}
	if err := entry.Done(); err != nil {
		panic(err)
	}
	return entry.Stamp, cmds
}

func (l *fakeLog) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refusal
}

func (l *fakeLog) NextDue() (ledger.Micros, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.due, l.due != 0
}

func (l *fakeLog) set(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
}

// proposed returns the proposals so far.
func (l *fakeLog) proposed() []*ticket {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*ticket(nil), l.tickets...)
}

// close answers every proposal, also those to come, as a stopped raft does.
func (l *fakeLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	stopped := func(tk *ticket) {
		if !tk.answered.Load() {
			tk.fail(ledger.ErrOutcomeUnknown)
		}
	}
	for _, tk := range l.tickets {
		stopped(tk)
	}
	l.each = stopped
}

func (t *ticket) apply() {
	t.applied = &ledger.Applied{Index: t.index, Results: make([]ledger.Result, len(t.cmds)), Release: t.release}
	_, cmds := decodeEntry(t.entry) // of whose bytes they are made
	for i := range cmds {
		t.applied.Results[i].Record = &ledger.Record{Command: cmds[i]}
	}
	t.answered.Store(true)
	close(t.done)
}

// release spoils everything that was shown.
func (t *ticket) release() {
	t.released.Add(1)
	for i := range t.applied.Results {
		t.applied.Results[i].Record.Command = ledger.Command{Key: []byte("released"), Reference: []byte("released")}
		t.applied.Results[i] = ledger.Result{Conflict: "released"}
	}
	t.applied.Index = 1 << 63
	for i := range t.entry {
		t.entry[i] = 0xdb
	}
}

func (t *ticket) fail(err error) {
	t.err = err
	t.answered.Store(true)
	close(t.done)
}

func (t *ticket) Wait() (*ledger.Applied, error) {
	<-t.done
	return t.applied, t.err
}

// keys are the idempotency keys of the proposal, in order.
func (t *ticket) keys() (keys []string) {
	for i := range t.cmds {
		keys = append(keys, string(t.cmds[i].Key))
	}
	return keys
}

// call is one request made in a goroutine of its own. Its fields may be read
// once done is closed.
type call struct {
	keys    []string
	results []ledger.Result
	index   uint64
	err     error
	done    chan struct{}

	looking, seen chan struct{} // see take
}

// take copies what it is shown. A call that wants time looks until it is told that it
// has seen enough.
func (c *call) take(results []ledger.Result, index uint64) {
	if c.looking != nil {
		c.looking <- struct{}{}
		<-c.seen
	}
	c.index, c.results = index, nil
	for _, res := range results {
		if res.Record != nil {
			rec := *res.Record
			rec.Command.Key, rec.Command.Reference = slices.Clone(rec.Command.Key), slices.Clone(rec.Command.Reference)
			res.Record = &rec
		}
		c.results = append(c.results, res)
	}
}

func (c *call) takeOne(res ledger.Result, index uint64) { c.take([]ledger.Result{res}, index) }

func (c *call) finished() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func execute(e *Engine, key string) *call {
	c := &call{keys: []string{key}, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = e.Execute(payment(key), c.takeOne)
	}()
	return c
}

func executeAll(e *Engine, keys ...string) *call {
	c := &call{keys: keys, done: make(chan struct{})}
	cmds := make([]ledger.Command, len(keys))
	for i, key := range keys {
		cmds[i] = *payment(key)
	}
	go func() {
		defer close(c.done)
		c.err = e.ExecuteAll(cmds, c.take)
	}()
	return c
}

func barrier(e *Engine) *call {
	c := &call{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.index, c.err = awaitBarrier(e)
	}()
	return c
}

// bubble runs test in a synctest bubble, so with a clock that moves only when
// everything waits, on an engine on a fakeLog. Afterwards it closes both and
// checks that nothing is left on the books.
func bubble(t *testing.T, opts Options, test func(t *testing.T, e *Engine, log *fakeLog)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{}
		opts.Log = log
		if opts.MaxInFlight == 0 {
			opts.MaxInFlight = 2 // enough for an entry to be stuck and another not
		}
		if opts.MinPipelined == 0 {
			opts.MinPipelined = 1
		}
		e, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			log.close()
			e.Close()
			expectPending(t, e, 0, 0)
			if n, waiting := e.doubts.batches.Load(), e.doubts.waiting; n != 0 || len(e.doubts.set) != 0 || waiting != 0 {
				t.Errorf("at the end %d batches and %d keys are in doubt, and %d retries wait", n, len(e.doubts.set), waiting)
			}
		}()
		test(t, e, log)
		synctest.Wait()
	})
}

func expectPending(t *testing.T, e *Engine, requests, bytes int) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pending != requests || e.pendingBytes != bytes {
		t.Errorf("%d requests and %d bytes pending, want %d and %d", e.pending, e.pendingBytes, requests, bytes)
	}
}

// expectErr waits until nothing moves, then checks that c failed with err.
func expectErr(t *testing.T, c *call, err error) {
	t.Helper()
	synctest.Wait()
	if !c.finished() {
		t.Fatalf("%q has no answer, want %v", c.keys, err)
	}
	if c.err != err {
		t.Errorf("%q answered with %v, want %v", c.keys, c.err, err)
	}
}

// expectApplied waits until nothing moves, then checks that c was answered with
// the outcome of tk.
func expectApplied(t *testing.T, c *call, tk *ticket) {
	t.Helper()
	expectErr(t, c, nil)
	if c.index != tk.index || len(c.results) != len(c.keys) {
		t.Fatalf("%q: index %d and %d results, want index %d", c.keys, c.index, len(c.results), tk.index)
	}
	for i, key := range c.keys {
		if got := string(c.results[i].Record.Command.Key); got != key {
			t.Errorf("%q got the result of %q", key, got)
		}
	}
}

func expectWaiting(t *testing.T, calls ...*call) {
	t.Helper()
	synctest.Wait()
	for _, c := range calls {
		if c.finished() {
			t.Fatalf("%q was answered: %v", c.keys, c.err)
		}
	}
}

// expectProposed waits until nothing moves, and returns the n proposals so far.
func expectProposed(t *testing.T, log *fakeLog, n int) []*ticket {
	t.Helper()
	synctest.Wait()
	tickets := log.proposed()
	if len(tickets) != n {
		t.Fatalf("%d entries proposed, want %d", len(tickets), n)
	}
	return tickets
}

// applyAll answers proposals until no more are made.
func applyAll(log *fakeLog) {
	for again := true; again; {
		synctest.Wait()
		again = false
		for _, tk := range log.proposed() {
			if !tk.answered.Load() {
				tk.apply()
				again = true
			}
		}
	}
}

// commandBytes is what payment(key) adds to an entry.
func commandBytes(key string) int { return len(ledger.AppendEntryCommand(nil, payment(key))) }

// pass lets d of bubble time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// awaitBarrier returns the index of a barrier.
func awaitBarrier(e *Engine) (index uint64, err error) {
	p, err := e.Barrier()
	if err != nil {
		return 0, err
	}
	err = p.Wait(func(_ ledger.Result, at uint64) { index = at })
	return index, err
}
