package store

import (
	"bytes"
	"encoding/binary"

	"purser/internal/ledger"
)

// indexes makes the rows that lead to accepted commands, in memory that it uses
// again.
type indexes struct{ key, value []byte }

// each calls put for every index row of rec, which is complete as Batch.Add gets
// it. Key and value are valid only during the call.
func (x *indexes) each(rec *ledger.Record, put func(key, value []byte)) {
	c := &rec.Command
	switch {
	case c.Kind.OnPayment():
		x.key = eventKey(x.key[:0], c.Payment, rec.Seq)
		put(x.key, nil)
	case c.Kind == ledger.Authorize:
		x.key = expiryKey(x.key[:0], c.HoldUntil(rec.Time), rec.Seq)
		put(x.key, nil)
	case rec.Account != nil && rec.Account.Created:
		x.key = idKey(x.key[:0], c.Source)
		x.value = binary.BigEndian.AppendUint64(x.value[:0], rec.Account.Number)
		put(x.key, x.value)
		return
	}
	x.history(rec, &rec.Source, put)
	x.history(rec, &rec.Destination, put)
}

// history is the sparse history row of one side of rec, if one is due.
func (x *indexes) history(rec *ledger.Record, leg *ledger.Leg, put func(key, value []byte)) {
	if !leg.Moved || leg.Ordinal == 0 || leg.Ordinal%historyStride != 0 {
		return
	}
	h := History{Account: leg.Account}
	if leg.World {
		h = History{World: rec.Command.Currency}
		if rec.Payment != nil {
			h.World = rec.Payment.Currency
		}
	}
	x.key = historyKey(x.key[:0], h, leg.Ordinal)
	x.value = binary.BigEndian.AppendUint64(x.value[:0], rec.Seq)
	put(x.key, x.value)
}

// CheckIndexes looks for the index rows that lead to rec, complete as Batch.Add had
// it. A row that is not there as it was written is a CorruptionError. swept says
// up to where lapsed holds were swept, whose rows checkpoints drop; it is called
// only after such a row was not found.
func (s *Store) CheckIndexes(rec *ledger.Record, swept func() ExpiryCursor) (err error) {
	if rec.Code != ledger.OK {
		return nil
	}
	var x indexes
	x.each(rec, func(key, value []byte) {
		if err != nil {
			return
		}
		found, ok, fault := s.get(key)
		switch {
		case fault != nil:
			err = fault
		case ok && bytes.Equal(found, value):
		case key[0] == prefixExpiry && !swept().before(rec):
		default:
			err = corrupt(key, "journal row %d is not in %s", rec.Seq, indexName(key[0]))
		}
	})
	return err
}

// before reports whether the hold of the authorization rec lapses behind c.
func (c ExpiryCursor) before(rec *ledger.Record) bool {
	at := rec.Command.HoldUntil(rec.Time)
	return at > c.At || at == c.At && rec.Seq > c.Seq
}

// indexName says what rows with prefix are.
func indexName(prefix byte) string {
	switch prefix {
	case prefixEvent:
		return "the events of its payment"
	case prefixExpiry:
		return "the holds that lapse"
	case prefixID:
		return "the list of accounts"
	}
	return "the history of its account"
}
