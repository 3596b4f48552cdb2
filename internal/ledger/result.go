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

// Errors of submitting commands or of reading. They tell what became of the
// command, which is all that a client needs to decide on a retry.
var (
	// The command was certainly not applied.
	ErrNoLeader    = errors.New("this node does not lead and knows no leader")
	ErrOverloaded  = errors.New("too much work is waiting")
	ErrDraining    = errors.New("the node is shutting down")
	ErrStorageFull = errors.New("the disk is nearly full")
	// The command may or may not be applied, now or later.
	ErrOutcomeUnknown = errors.New("the outcome is unknown")
	// An earlier request with the same idempotency key has no outcome yet; this
	// one was not applied on its own.
	ErrInProgress = errors.New("a request with the same idempotency key is in progress")
)
