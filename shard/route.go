package shard

import (
	"github.com/cespare/xxhash/v2"

	"purser/internal/ledger"
)

// An account's place follows from the xxhash of its id alone. The upper half
// picks the shard (scaled to the number of shards, which needs no power of two
// and no division), the lower half the bucket in that shard's index, so that
// the accounts of one shard still spread over its whole index.
func home(hash uint64, shards int) int32 {
	return int32((hash >> 32) * uint64(shards) >> 32)
}

func (g *Group) locate(id []byte) party {
	if ledger.IsWorld(id) {
		return party{home: nobody, world: true}
	}
	return g.owner(id)
}

func (g *Group) owner(id []byte) party {
	hash := xxhash.Sum64(id)
	return party{hash: hash, home: home(hash, len(g.shards))}
}

// route finds the shards of one command and resets what an earlier use of the
// slot left behind.
//
// The source's shard decides; the destination's follows. A world account has no
// state and no shard, so the other side's shard does both.
func (g *Group) route(s *Slot) {
	s.made = nil
	s.stage.Store(0)
	s.decider, s.follower = nobody, nobody
	command := &s.Record.Command
	switch {
	case command.Kind < ledger.Pay:
		s.Source, s.Destination = command.Source, nil
		s.source, s.destination = g.owner(s.Source), party{}
		s.decider = s.source.home
		return
	case !command.Kind.OnPayment():
		s.Source, s.Destination = command.Source, command.Destination
	case s.Origin != nil && requestsPayment(s.Origin):
		s.Record.Payment = nil
		s.Source, s.Destination = s.Origin.Source, s.Origin.Destination
	case s.Origin == nil && s.Record.Payment != nil:
		s.Source, s.Destination = s.Record.Payment.Source, s.Record.Payment.Destination
	default: // no payment, so no accounts: refused by the first rule
		s.Record.Payment = nil
		ledger.Decide(&s.Record, ledger.Side{}, ledger.Side{})
		return
	}
	s.source = g.locate(s.Source)
	s.destination = g.locate(s.Destination)
	switch {
	case !s.source.world:
		s.decider = s.source.home
		if !s.destination.world && s.destination.home != s.decider {
			s.follower = s.destination.home
		}
	case !s.destination.world:
		s.decider = s.destination.home
	default: // between two world accounts: any shard can refuse it
		s.decider = 0
	}
}

func requestsPayment(s *Slot) bool {
	k := s.Record.Command.Kind
	return k == ledger.Pay || k == ledger.Authorize
}
