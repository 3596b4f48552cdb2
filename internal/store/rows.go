package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// get returns a copy of the value of key.
func (s *Store) get(key []byte) (value []byte, ok bool, err error) {
	found, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("store: get %x: %w", key, err)
	}
	value = append([]byte{}, found...)
	if err := closer.Close(); err != nil {
		return nil, false, fmt.Errorf("store: get %x: %w", key, err)
	}
	return value, true, nil
}

// iterate returns an iterator over the keys from lower to upper, exclusive.
func (s *Store) iterate(lower, upper []byte) (*pebble.Iterator, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, fmt.Errorf("store: open iterator: %w", err)
	}
	return it, nil
}

func closeIterator(it *pebble.Iterator, err *error) {
	if fault := it.Close(); fault != nil && *err == nil {
		*err = fmt.Errorf("store: iterate: %w", fault)
	}
}

func iterError(it *pebble.Iterator) error {
	if err := it.Error(); err != nil {
		return fmt.Errorf("store: iterate: %w", err)
	}
	return nil
}

// scanRange calls fn for every row whose key lies from lower to upper,
// exclusive, in order. Key and value are valid only during the call. An error of
// fn ends the scan.
func (s *Store) scanRange(lower, upper []byte, fn func(key, value []byte) error) (err error) {
	it, err := s.iterate(lower, upper)
	if err != nil {
		return err
	}
	defer closeIterator(it, &err)
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("store: read %x: %w", it.Key(), err)
		}
		if err := fn(it.Key(), value); err != nil {
			return err
		}
	}
	return iterError(it)
}

// deleteRange removes the keys from start to end, exclusive, without making that
// durable: after a crash they may be back.
func (s *Store) deleteRange(start, end []byte) error {
	if err := s.db.DeleteRange(start, end, pebble.NoSync); err != nil {
		return fmt.Errorf("store: delete %x to %x: %w", start, end, err)
	}
	return nil
}
