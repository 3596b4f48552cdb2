package raftfsm

import (
	"fmt"
	"time"

	"purser/internal/ledger"
	"purser/internal/planted"
	"purser/shard"
)

// maxSweep bounds the holds that one entry looks at for expiry, so that no entry
// takes long; what is left over is due again at the next one. Outcomes depend on
// it: it must stay as it is.
const maxSweep = 256

// apply executes one log entry. A refused command is a result; an error means
// that the machine cannot go on and must not be used again: an entry that does
// not decode, or a store that fails.
//
// The order is the definition of the outcome: first overdue holds lapse, then
// the commands run, one after another.
func (m *machine) apply(index, term uint64, data []byte) (*ledger.Applied, error) {
	m.applying.Lock()
	defer m.applying.Unlock()
	applied, err := m.execute(index, term, data)
	if err != nil {
		return nil, fmt.Errorf("apply log entry %d: %w", index, err)
	}
	return applied, nil
}

func (m *machine) execute(index, term uint64, data []byte) (*ledger.Applied, error) {
	entry, err := ledger.DecodeEntry(data, m.newest)
	if err != nil {
		return nil, err
	}
	next := m.pos
	next.Index, next.Term = index, term
	// Stamps increase along the log, also where a new leader's clock is behind.
	next.Stamp = max(entry.Stamp, m.pos.Stamp+1)
	if planted.Is(planted.StampGoesBack) {
		next.Stamp = entry.Stamp
	}

	clear(m.working)
	a := m.arenas.take(entry.Count)
	s := sequence{m: m, pos: &next, base: m.pos.Seq + 1, arena: a, slots: a.slots}
	if err := s.sweep(); err != nil {
		return nil, err
	}
	if err := s.commands(&entry); err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.begun = beginning{next.Index, next.Stamp}
	m.mu.Unlock()
	m.group.Execute(s.slots)
	if err := m.record(&s, &next); err != nil {
		return nil, err
	}
	a.slots = s.slots
	a.applied = ledger.Applied{Index: index, Results: s.results, Release: a.release}
	return &a.applied, nil
}

// record walks the executed commands in log order: it chains the postings of the
// world accounts, writes the journal, and publishes the new position.
func (m *machine) record(s *sequence, next *position) error {
	worlds := s.chainWorlds()
	batch := m.store.Begin(next.Index, next.Stamp)
	for _, slot := range s.slots {
		batch.Add(&slot.Record)
		s.due(&slot.Record)
	}
	next.Digest = batch.Digest(m.pos.Digest)
	if err := batch.Commit(); err != nil {
		return err
	}
	m.mu.Lock()
	m.pos = *next
	m.recent.put(next.Index, next.Digest)
	m.wake()
	for c, w := range worlds {
		m.worlds[c] = *w
	}
	m.mu.Unlock()
	return nil
}

// chainWorlds adds the entry's movements to the world accounts that they touch,
// and links the world legs into the chains of those.
func (s *sequence) chainWorlds() map[ledger.Currency]*world {
	touched := s.m.touched
	clear(touched)
	var c ledger.Currency // of w: most neighbours have the same
	var w *world
	for _, slot := range s.slots {
		rec := &slot.Record
		if rec.Code != ledger.OK || rec.Command.Kind < ledger.Pay {
			continue
		}
		currency := &rec.Command.Currency
		if rec.Payment != nil {
			currency = &rec.Payment.Currency
		}
		if w == nil || c != *currency {
			c = *currency
			if w = touched[c]; w == nil {
				before := s.m.worlds[c]
				w = &before
				touched[c] = w
			}
		}
		kind := rec.Command.Kind
		w.chain(rec, &rec.Source, kind.SourceDirection())
		w.chain(rec, &rec.Destination, kind.DestinationDirection())
	}
	return touched
}

// chain adds one side of rec.
func (w *world) chain(rec *ledger.Record, leg *ledger.Leg, dir ledger.Direction) {
	if !leg.Moved || !leg.World && dir == ledger.None {
		return
	}
	amount := rec.Amount
	if dir == ledger.Debit {
		amount = -amount
	}
	if !leg.World {
		w.Inside = w.Inside.Add(amount)
		return
	}
	leg.Prev = w.Last
	w.Last = rec.Seq
	w.Postings++
	leg.Ordinal = w.Postings
	if dir != ledger.None {
		w.Posted = w.Posted.Add(amount)
	}
}

// due notes when the hold of a new authorization lapses.
func (s *sequence) due(rec *ledger.Record) {
	if rec.Code != ledger.OK || rec.Command.Kind != ledger.Authorize {
		return
	}
	at := rec.Command.HoldUntil(rec.Time)
	if s.pos.NextDue == 0 || at < s.pos.NextDue {
		s.pos.NextDue = at
	}
}

// sweep lets overdue holds lapse, in (expiry, seq) order. Which ones, and at
// most how many, depends on log time alone.
func (s *sequence) sweep() error {
	if s.pos.NextDue == 0 || s.pos.NextDue > s.pos.Stamp {
		return nil
	}
	now := s.pos.Stamp
	if planted.Is(planted.ExpiryByLocalClock) {
		now = ledger.Micros(time.Now().UnixMicro())
	}
	due, err := s.m.store.Due(s.pos.Swept, now, maxSweep, s.base)
	if err != nil {
		return err
	}
	payments := make([]*ledger.Payment, len(due))
	err = sideBySide(len(due), func(i int) (err error) {
		payments[i], err = s.load(due[i].Seq)
		return err
	})
	if err != nil {
		return err
	}
	for i, hold := range due {
		s.pos.Swept = hold
		payment := payments[i]
		if payment == nil {
			return fmt.Errorf("hold of %d has no payment", hold.Seq)
		}
		s.m.working[hold.Seq] = payment
		if payment.State.Held == 0 {
			continue
		}
		cmd := ledger.Command{Kind: ledger.Expire, Payment: hold.Seq}
		s.add(&shard.Slot{Record: ledger.Record{
			Command: cmd,
			Raw:     ledger.AppendCommand(nil, &cmd),
			Payment: payment,
		}})
	}
	return s.scheduleNext()
}

// scheduleNext finds the earliest expiry behind what was swept.
func (s *sequence) scheduleNext() error {
	next, ok, err := s.m.store.NextDue(s.pos.Swept)
	if err != nil {
		return err
	}
	s.pos.NextDue = 0
	if ok {
		s.pos.NextDue = next
	}
	return nil
}
