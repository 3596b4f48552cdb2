package raftfsm

import (
	"fmt"
	"math"

	"purser/internal/ledger"
)

// tally is an account as it was right after the row that is undone next.
type tally struct {
	posted  int64
	held    int64
	version uint64 // 0: it does not exist yet. Too high by updates at most
	chain
	updates  uint32 // since the version was known; each may have changed it, or nothing
	currency uint32 // place in audit.currencies
}

// hadVersion reports whether the version can have been v.
func (t *tally) hadVersion(v uint64) bool {
	return v <= t.version && t.version-v <= uint64(t.updates)
}

// chain is a history, as it was right after the row that is undone next.
type chain struct {
	last     uint64 // seq of its newest posting
	postings uint64 // how many there are, or uncounted
}

// uncounted says that a posting is missing from a chain, or one too many.
const uncounted = math.MaxUint64

func (c *chain) counted() bool { return c.postings != 0 && c.postings != uncounted }

// undo takes the posting in row seq off the chain and tells leg its ordinal.
func (c *chain) undo(seq uint64, leg *ledger.Leg, fault func(what string)) {
	if c.last != seq {
		fault(fmt.Sprintf("its newest posting up to row %d is in that row, not in row %d", seq, c.last))
		c.postings = uncounted
	} else if c.postings == 0 {
		fault(fmt.Sprintf("it counts too few postings: none is left for row %d", seq))
		c.postings = uncounted
	}
	c.last = leg.Prev
	if c.postings != uncounted {
		leg.Ordinal = c.postings
		c.postings--
	}
}

// signed is amount as a change of posted in direction d.
func signed(amount int64, d ledger.Direction) int64 {
	switch d {
	case ledger.Credit:
		return amount
	case ledger.Debit:
		return -amount
	}
	return 0
}
