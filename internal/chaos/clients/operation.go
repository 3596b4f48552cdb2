package clients

import (
	"fmt"
	"time"
)

// kind is what a request is for.
type kind string

const (
	create    kind = "create" // an account; the only command without a key
	pay       kind = "payment"
	authorize kind = "authorize"
	capture   kind = "capture"
	void      kind = "void"
	refund    kind = "refund"
	expire    kind = "expire" // by the ledger itself: known from the journal alone
	batch     kind = "batch"  // its items are payments
	retry     kind = "retry"  // of a finished request: the same again
	reuse     kind = "reuse"  // of a finished request's key, with another body

	read   kind = "read"   // an account, linearizable
	stale  kind = "stale"  // an account, as the node has it
	follow kind = "follow" // an account, stale, with the min_index of what the client saw last
	list   kind = "list"   // several accounts at one moment, linearizable
	lookup kind = "lookup" // a payment, linearizable

	recall kind = "recall" // what a key remembers
	raw    kind = ""       // not to be parsed
)

// moves reports whether a request of this kind is a command on money, with a
// place of its own in the ledger's order.
func (k kind) moves() bool {
	switch k {
	case pay, authorize, capture, void, refund, expire:
		return true
	}
	return false
}

// onPayment reports whether a command of this kind is on an earlier payment.
func (k kind) onPayment() bool { return k.moves() && k != pay && k != authorize }

// reads reports whether a request of this kind changes nothing.
func (k kind) reads() bool {
	switch k {
	case read, stale, follow, list, lookup:
		return true
	}
	return false
}

// never is the return time of an operation that has no outcome.
const never = int64(1<<63 - 1)

// operation is one request, however often it was sent, and what came of it. Times
// are nanoseconds since the load began. Its client alone writes it until it is
// finished.
type operation struct {
	kind   kind
	client int
	request
	intent

	call, ret int64 // of the first try; of the try that was answered, or never
	tries     []try
	answer    *answer // nil: no outcome is known, or nothing was applied
	// doubtful says that a try may have been applied without an answer.
	doubtful bool
	// found is what the key said when the outcome was looked for, nil for nothing.
	found *answer
	// left says that the client went on without an outcome, late that Stop has found
	// it.
	left, late bool

	items []*operation // of a batch; they have the times of the batch
	of    *operation   // what a retry or reuse repeats

	// What the check finds out, 0 until then: its place in the ledger's order, the log
	// time of its execution in microseconds, and the payment that its entries are of.
	seq  uint64
	at   int64
	made string
}

// intent is what a request asks for.
type intent struct {
	source, destination string
	amount              int64  // 0: all that there is
	final               bool   // of a capture
	floor               int64  // min_available_after; negative: no condition
	expiresIn           int64  // seconds, 0 for the default
	payment             string // that a later event or a lookup is on
	account             string // of a read
	minIndex            uint64
}

// try is one sending of a request. Its result is the answer's status and code,
// or how the connection failed.
type try struct {
	node      int
	call, ret int64
	result    string
}

func (o *operation) String() string {
	return fmt.Sprintf("%s %s %s of client %d at %v", o.kind, o.key, o.body, o.client, time.Duration(o.call))
}

// accepted reports whether o is known to have taken effect.
func (o *operation) accepted() bool { return o.answer != nil && o.answer.status < 300 }

// unknown reports whether o may or may not have been applied.
func (o *operation) unknown() bool { return o.answer == nil && o.doubtful }

// commands calls visit with each command on money that o is or has.
func (o *operation) commands(visit func(*operation)) {
	if o.kind.moves() {
		visit(o)
	}
	for _, item := range o.items {
		visit(item)
	}
}
