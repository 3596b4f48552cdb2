package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"purser/internal/ledger"
)

// Engine batches commands into log entries. All methods are safe for concurrent
// use.
type Engine struct {
	opts    Options
	metrics *metrics

	// mu guards the fields below, up to the blank line. It is held for an append
	// of a command to a buffer, never for I/O.
	mu           sync.Mutex
	queue        []*batch // oldest first; the last one is open, the others are full
	pending      int      // waiters of all unresolved batches
	pendingBytes int
	draining     bool // new work is refused for good
	batches      int  // not answered by the log; none are added when draining
	flying       int  // entries proposed and not answered
	held         int  // Holds without their Release
	lastStamp    ledger.Micros
	room         int      // bytes that recent entries came to, for the next buffer
	buffers      [][]byte // of entries, to be used again; the longest idle first

	storageFull atomic.Bool
	crowded     atomic.Bool // work was refused with hardly any room, and nothing became free since
	doubts      doubts

	proposing sync.Mutex // held to propose, so that entries go in the order of their stamps

	wake     chan struct{} // capacity 1: a batch is due
	pulsed   chan struct{} // capacity 1: a pulse has been applied
	inFlight chan inFlight // in log order, to the completer
	drained  chan struct{} // closed once draining and without batches
	stop     chan struct{}
	stopping sync.Once
	done     sync.WaitGroup
}

type inFlight struct {
	batch    *batch
	proposal Proposal
	sent     time.Time
}

// New starts an engine on opts.Log.
func New(opts Options) (*Engine, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	e := &Engine{
		opts:     opts,
		metrics:  newMetrics(),
		room:     minRoom,
		doubts:   doubts{limit: opts.MaxPending},
		wake:     make(chan struct{}, 1),
		pulsed:   make(chan struct{}, 1),
		inFlight: make(chan inFlight, opts.MaxInFlight),
		drained:  make(chan struct{}),
		stop:     make(chan struct{}),
	}
	e.done.Add(2)
	go e.propose()
	go e.complete()
	return e, nil
}

// Execute commits and applies one command and calls use with its result and the log
// index that the result reflects. Whatever the result leads to is used again for
// others once use has returned. Execute copies what it needs of cmd.
//
// It calls use exactly if it returns nil. Errors are those of ledger: ErrNoLeader,
// ErrOverloaded, ErrDraining and ErrStorageFull when the command was certainly not
// applied; ErrInProgress when an earlier request with its key has no outcome yet, and
// ErrOutcomeUnknown when there is none of its own: a retry with the same key resolves
// both.
func (e *Engine) Execute(cmd *ledger.Command, use func(result ledger.Result, index uint64)) error {
	p, err := e.Submit(cmd, true)
	if err != nil {
		return err
	}
	return p.Wait(use)
}

// Submit is Execute without the wait for the outcome. It blocks only if it is patient
// and an earlier request with the key of cmd has no outcome yet; one that is not
// patient gets ledger.ErrWouldWait where it might have to.
func (e *Engine) Submit(cmd *ledger.Command, patient bool) (ledger.Pending, error) {
	if err := e.admit(cmd, patient); err != nil {
		return ledger.Pending{}, err
	}
	b, at, err := e.join(1, func(entry []byte) []byte { return ledger.AppendEntryCommand(entry, cmd) })
	return ledger.Pending{Work: b, At: at}, err
}

// ExecuteAll commits the commands together, in order, in one entry; each is
// decided on its own. It calls use as Execute does, with the results in the order of
// cmds. Errors are those of Execute and hold for all commands alike: ErrInProgress
// when earlier requests with their keys have no outcome yet, with some of them if
// certainly none of cmds was applied, with each of them otherwise.
func (e *Engine) ExecuteAll(cmds []ledger.Command, use func(results []ledger.Result, index uint64)) error {
	for i := range cmds {
		if err := e.admit(&cmds[i], true); err != nil {
			return err
		}
	}
	b, at, err := e.join(len(cmds), func(entry []byte) []byte {
		for i := range cmds {
			entry = ledger.AppendEntryCommand(entry, &cmds[i])
		}
		return entry
	})
	if err != nil {
		return err
	}
	<-b.done
	if b.err != nil {
		return b.explainAll(at, len(cmds))
	}
	use(b.applied.Results[at:at+len(cmds)], b.applied.Index)
	e.leave(b)
	return nil
}

// Barrier returns a wait for a log entry that is committed and applied after the call
// began: what is read afterwards is linearizable. The outcome is the entry's index.
// Errors are those of Execute; a read changes nothing, so a failed one can be
// repeated. Barrier never blocks.
func (e *Engine) Barrier() (ledger.Pending, error) {
	if err := e.ready(); err != nil {
		return ledger.Pending{}, err
	}
	b, _, err := e.join(0, nil)
	return ledger.Pending{Work: b, At: -1}, err
}

// leave notes that a user of b, which was applied, looks at it no more. The last one
// has its memory used again. Nobody else may have it: who waits has returned or will
// leave, the log has answered, and b is resolved, so that nobody reads its keys. A
// batch that failed has users for ever, and is garbage like any other.
func (e *Engine) leave(b *batch) {
	if b.users.Add(-1) > 0 || b.applied == nil || b.applied.Release == nil {
		return
	}
	b.applied.Release()
	spoil(b.entry)
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.buffers) < e.opts.MaxInFlight+spareBuffers && cap(b.entry) <= 4*e.room {
		e.buffers = append(e.buffers, b.entry)
	}
}

// ready refuses everything on a node that may not propose.
func (e *Engine) ready() error {
	err := e.opts.Log.Ready()
	if err != nil {
		e.metrics.noLeader.Inc()
	}
	return err
}

// admit refuses a command that must not be proposed now.
func (e *Engine) admit(cmd *ledger.Command, patient bool) error {
	if err := e.ready(); err != nil {
		return err
	}
	if e.storageFull.Load() {
		e.metrics.storageFull.Inc()
		return ledger.ErrStorageFull
	}
	patience := time.Duration(0)
	if patient {
		patience = e.opts.Deadline
	}
	err := e.doubts.await(cmd.Key, patience)
	if err == ledger.ErrOverloaded {
		e.metrics.overloaded.Inc()
	}
	return err
}

// join adds n commands, encoded by encode, to the open batch, or only a waiter
// when n is 0, and returns the batch and the position of the first command.
func (e *Engine) join(n int, encode func([]byte) []byte) (*batch, int, error) {
	weight := max(n, 1)
	e.mu.Lock()
	if err := e.refuse(weight); err != nil {
		e.mu.Unlock()
		return nil, 0, err
	}
	b := e.openBatch(n)
	at := b.count
	if n > 0 {
		before := len(b.entry)
		b.entry = encode(b.entry)
		e.pendingBytes += len(b.entry) - before
	}
	b.count += n
	b.waiters += weight
	b.users.Add(1)
	e.pending += weight
	due := e.due()
	e.mu.Unlock()
	if due {
		e.signal()
	}
	return b, at, nil
}

// refuse applies the bounds. An engine with nothing pending takes a call of any
// size, and the last call taken may exceed MaxPendingBytes. The caller holds mu.
func (e *Engine) refuse(weight int) error {
	switch {
	case e.draining:
		e.metrics.draining.Inc()
		return ledger.ErrDraining
	case e.pending > 0 && e.pending+weight > e.opts.MaxPending, e.pendingBytes > e.opts.MaxPendingBytes:
		if e.pending >= e.opts.MaxPending-e.opts.MaxPending/8 || e.pendingBytes > e.opts.MaxPendingBytes {
			e.crowded.Store(true) // there is no room, and not only none for a very large call
		}
		e.metrics.overloaded.Inc()
		return ledger.ErrOverloaded
	}
	return nil
}

// Crowded reports whether work was refused with less than an eighth of the room
// free, and nothing has become free since: a batch would most probably be refused,
// too, and whoever asks first saves the reading of it. While requests are in doubt
// it reports false: a retry of one has to come in, as ErrOverloaded would say that
// it certainly was not applied.
func (e *Engine) Crowded() bool { return e.crowded.Load() && e.doubts.batches.Load() == 0 }

// Hold has the open batch wait for the Release that must follow, or for that of another
// Hold if it comes first, unless it is worth an entry by itself: requests that come one
// right after another get into one entry, each of which costs as much as several of
// them. However Holds overlap, no batch waits for more than one Release.
func (e *Engine) Hold() {
	e.mu.Lock()
	e.held++
	e.mu.Unlock()
}

// Release ends a Hold.
func (e *Engine) Release() {
	e.mu.Lock()
	e.held--
	if len(e.queue) > 0 {
		e.queue[0].ripe = true
	}
	due := e.due()
	e.mu.Unlock()
	if due {
		e.proposeHere()
	}
}

// openBatch returns the batch that takes n more commands. The caller holds mu.
func (e *Engine) openBatch(n int) *batch {
	if last := len(e.queue) - 1; last >= 0 {
		b := e.queue[last]
		if b.count == 0 || b.count+n <= e.opts.MaxBatch {
			return b
		}
	}
	b := newBatch(e.opts.Now(), e.buffer())
	b.engine = e
	b.deadline = time.AfterFunc(e.opts.Deadline, func() { e.expire(b) })
	e.queue = append(e.queue, b)
	e.batches++
	return b
}

// buffer returns one for an entry. The caller holds mu.
func (e *Engine) buffer() []byte {
	if len(e.buffers) == 0 {
		return make([]byte, e.room)
	}
	buf := e.buffers[0]
	e.buffers = slices.Delete(e.buffers, 0, 1)
	return buf
}

func (e *Engine) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// SetStorageFull makes the engine refuse commands, or take them again. Reads go
// on either way.
func (e *Engine) SetStorageFull(full bool) { e.storageFull.Store(full) }

// Drain refuses new work with ledger.ErrDraining and returns when everything
// that was accepted has its outcome, or after the deadline of a request, when
// nobody waits for one any more.
func (e *Engine) Drain() {
	e.refuseWork()
	timeout := time.NewTimer(e.opts.Deadline)
	defer timeout.Stop()
	select {
	case <-e.drained:
	case <-timeout.C:
	}
}

// Close stops the goroutines. Drain the engine and close the log first: what was
// not proposed by now is answered with ledger.ErrDraining, and Close returns once
// every proposal in flight has been answered by the log.
func (e *Engine) Close() {
	e.refuseWork()
	e.stopping.Do(func() { close(e.stop) })
	e.done.Wait()
}

func (e *Engine) refuseWork() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.draining && e.batches == 0 {
		close(e.drained)
	}
	e.draining = true
}
