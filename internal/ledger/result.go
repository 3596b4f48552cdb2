package ledger

import "errors"

// Result is what a client's command came to.
type Result struct {
	// Record is the executed command, or for a replay the record of the first
	// execution. It is nil exactly when Conflict is set.
	Record *Record
	// Replayed says that this request had been executed before: Record is the
	// first one's and nothing was applied now.
	Replayed bool
	// Conflict is set when the idempotency key belongs to another request: the
	// first field, as the API spells it, in which the two differ.
	Conflict string
}

// Applied is one log entry's outcome: a result per command, in order.
type Applied struct {
	Index   uint64 // Raft log index
	Results []Result

	// Release, unless it is nil, takes back the memory of all this, with the records,
	// for another entry. Whoever got the Applied may call it, once, when nobody
	// looks at it any more. If it is never called, the memory is garbage as any other.
	Release func()
}

// Pending is a caller's part in work that is under way: one command of it, or none and
// only the wait for all of it.
type Pending struct {
	Work Work
	At   int // position of the command in the work, -1 for none
}

// Show calls use with the result of the command and the index of its log entry, or
// returns why there is none. The work must be done; Show is called once.
func (p Pending) Show(use func(result Result, index uint64)) error { return p.Work.Show(p.At, use) }

// Wait is Show once the work is done.
func (p Pending) Wait(use func(result Result, index uint64)) error {
	<-p.Work.Done()
	return p.Show(use)
}

// Work is what several callers wait for together. Any goroutine may call its methods.
type Work interface {
	// Done is closed once there is an outcome.
	Done() <-chan struct{}
	// Show calls use with the result of the command at a position, or an empty one for
	// -1, and the index of the log entry, exactly if it returns nil. Whatever the result
	// leads to may be used again for others once use has returned. Done must be closed.
	Show(at int, use func(result Result, index uint64)) error
}

// Errors of submitting commands or of reading. They tell what became of the
// command, which is all that a client needs to decide on a retry.
var (
	// The command was certainly not applied.
	ErrNoLeader    = errors.New("this node does not lead and knows no leader")
	ErrOverloaded  = errors.New("too much work is waiting")
	ErrDraining    = errors.New("the node is shutting down")
	ErrStorageFull = errors.New("the disk is nearly full")
	// Nothing was done: the caller would have to wait first, and did not want to.
	ErrWouldWait = errors.New("an earlier request is to be waited for")
	// The command may or may not be applied, now or later.
	ErrOutcomeUnknown = errors.New("the outcome is unknown")
	// An earlier request with the same idempotency key has no outcome yet; this
	// one was not applied on its own.
	ErrInProgress = errors.New("a request with the same idempotency key is in progress")
)
