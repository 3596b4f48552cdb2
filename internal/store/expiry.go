package store

import (
	"math"

	"purser/internal/ledger"
)

// ExpiryCursor is a position in the order in which holds lapse: by time, then by
// the authorization's seq. The zero value lies before all of them.
type ExpiryCursor struct {
	At  ledger.Micros
	Seq uint64
}

// after is the smallest key behind c.
func (c ExpiryCursor) after() []byte {
	return append(expiryKey(nil, c.At, c.Seq), 0)
}

// Due returns, in order, up to limit authorizations behind after whose holds
// lapse at until or earlier, without those that are not below before: they are
// from the future of a replay. Whether something is still held is for the caller
// to look up. The position of the last one continues the list.
func (s *Store) Due(after ExpiryCursor, until ledger.Micros, limit int, before uint64) (due []ExpiryCursor, err error) {
	// Seq math.MaxUint64 is never given out, so an upper bound there leaves out
	// nothing.
	it, err := s.iterate(after.after(), expiryKey(nil, until, math.MaxUint64))
	if err != nil {
		return nil, err
	}
	defer closeIterator(it, &err)
	for ok := it.First(); ok && len(due) < limit; ok = it.Next() {
		c, err := expiryOf(it.Key())
		if err != nil {
			return nil, err
		}
		if c.Seq < before {
			due = append(due, c)
		}
	}
	return due, iterError(it)
}

// NextDue returns when the first hold behind after lapses; ok is false if there
// is none. During a replay that can be a hold from its future.
func (s *Store) NextDue(after ExpiryCursor) (at ledger.Micros, ok bool, err error) {
	it, err := s.iterate(after.after(), []byte{prefixExpiry + 1})
	if err != nil {
		return 0, false, err
	}
	defer closeIterator(it, &err)
	if !it.First() {
		return 0, false, iterError(it)
	}
	c, err := expiryOf(it.Key())
	return c.At, err == nil, err
}

func expiryOf(key []byte) (ExpiryCursor, error) {
	if len(key) != pairKeyLen {
		return ExpiryCursor{}, corrupt(key, "not an expiry key")
	}
	return ExpiryCursor{At: ledger.Micros(keyNumber(key, 1)), Seq: keyNumber(key, 9)}, nil
}
