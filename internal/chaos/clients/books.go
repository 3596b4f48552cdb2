package clients

import (
	"sync"
	"time"
)

// books are what the nodes have once everything has come to rest.
type books struct {
	mu       sync.Mutex
	journals map[string][]entry // of each account of the load, and of the world
	accounts map[string]state   // as they are
	sums     []int64            // by node: of all balances
	// differences are what nodes have otherwise than the first one.
	differences []string

	recalled []recollection // keys
	unasked  []recollection // keys of commands that were answered 503 only
	payments []recollection // payments, by what made them
	repeated []*operation   // requests that were sent again
}

func (b *books) differ(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.differences = append(b.differences, text)
}

// recollection is what a node has of a command; nil for nothing.
type recollection struct {
	o      *operation
	node   int
	answer *answer
}

// entry is one line of an account's history. The balances are those after it, 0
// for the world.
type entry struct {
	Seq       uint64
	Payment   string
	Kind      kind
	Direction string
	Amount    int64 `json:",string"`
	state
	Counterparty string
	Created      time.Time `json:"created_at"`
}
