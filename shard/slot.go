package shard

import (
	"sync/atomic"

	"purser/internal/ledger"
)

// Slot is one command of an entry on its way through the shards. It belongs to
// the caller before and after Execute, and to the shards in between.
type Slot struct {
	// Record carries the command in and its outcome out. The caller sets Seq,
	// Time, Command, Raw and, for a command OnPayment that acts on a payment of an
	// earlier entry, Payment. Commands of one entry that act on the same payment
	// share one pointer.
	Record ledger.Record

	// Origin is set instead of Record.Payment when the command acts on a payment
	// that was requested earlier in the same entry: the slot of that request. If
	// it was accepted, all its followers share one Payment made from its record;
	// if not, there is no payment.
	Origin *Slot

	// Source and Destination are the ids of the accounts that the command touches.
	// Execute fills them in, from the command or from its payment.
	Source, Destination []byte

	made *ledger.Payment // by this slot's record, for its followers; owned by the decider's shard

	source, destination party
	decider             int32 // index of the shard that decides, nobody if it is decided already
	follower            int32 // index of the shard that lends the destination, nobody if there is none

	// The rendezvous. lent and found belong to the follower until it has set
	// stageLent, then to the decider until it has set stageDecided, then to the
	// follower again.
	stage atomic.Uint32
	found bool
	lent  ledger.Account
}

// nobody stands for no shard.
const nobody = -1

// party is where one account of a command lives.
type party struct {
	hash  uint64
	home  int32
	world bool
}

// Stages of a rendezvous, in order, and the flag that the side which waits for
// the next stage has parked.
const (
	stageLent    = 1
	stageDecided = 2
	stageParked  = 4
)

// crosses reports whether the command needs accounts of two shards.
func (s *Slot) crosses() bool { return s.follower != nobody }

// payment resolves the payment of a command OnPayment. Only the decider's shard
// calls it: all commands on one payment have the same accounts, hence the same
// decider.
func (s *Slot) payment() {
	if s.Origin == nil {
		return
	}
	origin := &s.Origin.Record
	if origin.Code != ledger.OK {
		return
	}
	if s.Origin.made == nil {
		s.Origin.made = ledger.PaymentOf(origin)
	}
	s.Record.Payment = s.Origin.made
}
