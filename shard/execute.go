package shard

import (
	"slices"

	"purser/internal/ledger"
	"purser/internal/planted"
)

// spins is how often a shard looks for the other side of a rendezvous before it
// parks: well under the microsecond that parking and waking cost, because the
// other side often is not running at all, its processor being busy with other
// work.
const spins = 64

// runOwn executes this shard's part of an entry, in log order.
//
// A command that crosses two shards makes them meet: the follower lends its
// account's state by value, the decider runs the rules on its own account and
// the lent one and publishes the verdict, the follower stores the new state.
//
// There is no deadlock: a shard waits only for the other shard of the command it
// is at. Take the first command, in log order, at which any shard waits. Its
// other shard has not passed it, or the wait would be over; and it waits at no
// earlier command, since this is the first. So it is still executing earlier
// commands, and will get here. Reads, freezes and lending happen between
// entries and wait for nobody inside one.
func (s *Shard) runOwn(slots []*Slot) {
	for i, slot := range slots {
		if i%lookahead == 0 {
			s.prefetch(slots[i:min(i+lookahead, len(slots))])
		}
		switch {
		case slot.decider != s.number:
			s.follow(slot)
		case slot.crosses():
			s.lead(slot)
		default:
			s.decide(slot)
		}
	}
}

// runWhole executes every command of an entry on this goroutine, with the
// accounts that the other shards lend it for that long.
func (s *Shard) runWhole(t task) {
	for range t.lenders {
		a := <-s.lent
		s.hands[a.shard] = a
	}
	for i, slot := range t.slots {
		if i%lookahead == 0 {
			s.prefetch(t.slots[i:min(i+lookahead, len(t.slots))])
		}
		if slot.decider != nobody {
			s.decide(slot)
		}
	}
	for i, a := range s.hands {
		if a != nil && a != s.accounts {
			s.hands[i] = nil
			s.group.shards[i].back <- a
		}
	}
}

// decide executes a command whose accounts are all in s.hands.
func (s *Shard) decide(slot *Slot) {
	rec := &slot.Record
	if rec.Command.Kind < ledger.Pay {
		s.hands[slot.decider].decideAccount(slot)
		return
	}
	slot.payment()
	source, from := s.side(slot.Source, &slot.source, &s.scratch.source)
	destination, to := s.side(slot.Destination, &slot.destination, &s.scratch.destination)
	ledger.Decide(rec, source, destination)
	if rec.Code != ledger.OK {
		return
	}
	if source.Account != nil && rec.Source.Moved {
		s.hands[slot.source.home].put(from, source.Account)
	}
	if destination.Account != nil && rec.Destination.Moved {
		s.hands[slot.destination.home].put(to, destination.Account)
	}
}

// side copies an account into copied and lends that to the rules.
func (s *Shard) side(id []byte, p *party, copied *ledger.Account) (ledger.Side, place) {
	if p.world {
		currency, _ := ledger.WorldCurrency(id)
		return ledger.Side{World: true, Currency: currency}, 0
	}
	a := s.hands[p.home]
	at, ok := a.find(id, p.hash)
	if !ok {
		return ledger.Side{}, 0
	}
	*copied = *a.get(at)
	return ledger.Side{Account: copied}, at
}

// decideAccount executes a command on an account itself.
func (a *accounts) decideAccount(slot *Slot) {
	rec := &slot.Record
	var account ledger.Account
	var before ledger.Metadata
	at, exists := a.find(slot.Source, slot.source.hash)
	if exists {
		account, before = *a.get(at), a.metadata(at)
	}
	version := account.Version
	after := ledger.DecideAccount(rec, &account, before)
	if rec.Code != ledger.OK {
		return
	}
	switch {
	case !exists:
		a.insert(slot.Source, slot.source.hash, &account, after)
	case account.Version != version:
		a.put(at, &account)
		if string(after) != string(before) {
			a.putMetadata(at, after)
		}
	}
	rec.Account = &ledger.AccountView{
		Account:  account,
		ID:       slices.Clone(slot.Source),
		Metadata: slices.Clone(after),
		Created:  !exists,
	}
}

// lead decides a command whose destination another shard lends.
func (s *Shard) lead(slot *Slot) {
	slot.payment()
	s.await(slot, stageLent)
	source, from := s.side(slot.Source, &slot.source, &s.scratch.source)
	var destination ledger.Side
	if slot.found {
		destination.Account = &slot.lent
	}
	ledger.Decide(&slot.Record, source, destination)
	if slot.Record.Code == ledger.OK && slot.Record.Source.Moved {
		s.hands[s.number].put(from, source.Account)
	}
	s.reach(slot, stageDecided, slot.follower)
}

// follow lends the destination of a command that another shard decides.
func (s *Shard) follow(slot *Slot) {
	at, ok := s.accounts.find(slot.Destination, slot.destination.hash)
	if ok {
		slot.lent = *s.accounts.get(at)
	}
	slot.found = ok
	s.reach(slot, stageLent, slot.decider)
	if !planted.Is(planted.CreditBeforeDebit) {
		s.await(slot, stageDecided)
	}
	if slot.Record.Code == ledger.OK && slot.Record.Destination.Moved {
		s.accounts.put(at, &slot.lent)
	}
}

// reach moves a rendezvous on to stage and wakes the other shard if it has
// parked to wait for that. The other shard parks only for the stage that this
// one sets next, so wake, of capacity 1, never blocks.
func (s *Shard) reach(slot *Slot, stage uint32, other int32) {
	if slot.stage.Swap(stage)&stageParked != 0 {
		s.group.shards[other].wake <- struct{}{}
	}
}

// await returns when the rendezvous has reached stage: soon if the other shard
// is running, else this one parks.
func (s *Shard) await(slot *Slot, stage uint32) {
	for range spins {
		if slot.stage.Load()&^stageParked == stage {
			return
		}
	}
	before := slot.stage.Load()
	if before&^stageParked == stage || !slot.stage.CompareAndSwap(before, before|stageParked) {
		return // only the other shard changes it, and only to stage
	}
	s.counts.parks.Add(1)
	<-s.wake
}
