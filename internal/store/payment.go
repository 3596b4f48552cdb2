package store

import (
	"purser/internal/ledger"
)

// Payment returns the payment that the accepted Pay or Authorize with number seq
// made, as it was after the newest event below before; rows from before on are
// from the future of a replay. ok is false if seq names no such command, or one
// that is not below before.
func (s *Store) Payment(seq, before uint64) (v ledger.PaymentView, ok bool, err error) {
	if seq == 0 || seq >= before {
		return v, false, nil
	}
	// The events first: a journal opened later has the rows of all of them.
	event, key, err := s.lastEvent(seq, before)
	if err != nil {
		return v, false, err
	}
	j, err := s.openJournal()
	if err != nil {
		return v, false, err
	}
	defer j.close(&err)
	rec, ok, err := j.record(seq)
	if !ok || rec.PaymentSeq() != seq || rec.Code != ledger.OK {
		return v, false, err
	}
	v = ledger.PaymentView{Payment: ledger.PaymentOf(rec), Last: rec}
	if event != 0 {
		if v.Last, err = j.must(event, "an event row"); err != nil {
			return v, false, err
		}
		if v.Last.Code != ledger.OK || !v.Last.Command.Kind.OnPayment() || v.Last.Command.Payment != seq {
			return v, false, corrupt(key, "row %d is no event of payment %d", event, seq)
		}
		v.Payment.State = v.Last.State
	}
	v.Last.Payment = v.Payment
	return v, true, nil
}

// lastEvent returns the seq of the newest accepted event below before that
// happened to payment, and the key that says so; 0 if nothing happened to it.
func (s *Store) lastEvent(payment, before uint64) (seq uint64, key []byte, err error) {
	// A payment's own seq is below that of all its events.
	lower, upper := eventKey(nil, payment, payment+1), eventKey(nil, payment, before)
	it, err := s.iterate(lower, upper)
	if err != nil {
		return 0, nil, err
	}
	defer closeIterator(it, &err)
	if !it.Last() {
		return 0, nil, iterError(it)
	}
	key = append(key, it.Key()...)
	if len(key) != pairKeyLen {
		return 0, nil, corrupt(key, "not an event key")
	}
	return keyNumber(key, 9), key, nil
}
