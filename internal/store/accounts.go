package store

import (
	"encoding/binary"
	"fmt"
)

// AccountIDs lists, in order, up to limit ids of accounts that start with prefix
// and lie behind after, which may be empty. Accounts whose number is not below
// before are from the future of a replay and left out. more says that others
// follow the last one.
func (s *Store) AccountIDs(prefix, after []byte, limit int, before uint64) (ids [][]byte, more bool, err error) {
	lower := idKey(nil, prefix)
	upper := successor(lower)
	if start := append(idKey(nil, after), 0); len(after) > 0 && string(start) > string(lower) {
		lower = start
	}
	if string(lower) >= string(upper) {
		return nil, false, nil
	}
	it, err := s.iterate(lower, upper)
	if err != nil {
		return nil, false, err
	}
	defer closeIterator(it, &err)
	for ok := it.First(); ok; ok = it.Next() {
		number, err := it.ValueAndErr()
		if err != nil {
			return nil, false, fmt.Errorf("store: read %x: %w", it.Key(), err)
		}
		if len(number) != 8 {
			return nil, false, corrupt(it.Key(), "account number of %d bytes", len(number))
		}
		if binary.BigEndian.Uint64(number) >= before {
			continue
		}
		if len(ids) >= limit {
			return ids, true, nil
		}
		ids = append(ids, append([]byte(nil), it.Key()[1:]...))
	}
	return ids, false, iterError(it)
}

// AccountNumber returns the number of the account with id; ok is false if there is
// none.
func (s *Store) AccountNumber(id []byte) (number uint64, ok bool, err error) {
	key := idKey(nil, id)
	value, ok, err := s.get(key)
	if err != nil || !ok {
		return 0, false, err
	}
	if len(value) != 8 {
		return 0, false, corrupt(key, "account number of %d bytes", len(value))
	}
	return binary.BigEndian.Uint64(value), true, nil
}
