package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Rewind removes the rows of seq next and all behind it, so that the store can go
// on with another log than the one that wrote them: in a replay they are rows from
// the future, but another log gives these seqs to other commands, and would meet
// them as its own. It reads every index row. The removal is durable with the next
// checkpoint. Idempotency runs are not its matter: OpenKeys removes those that the
// checkpoint does not list.
//
// Nobody else may use the store meanwhile.
func (s *Store) Rewind(next uint64) (err error) {
	future := s.db.NewBatch()
	defer func() {
		if err = errors.Join(err, future.Close()); err != nil {
			err = fmt.Errorf("store: rewind to row %d: %w", next, err)
		}
	}()
	if err := future.DeleteRange(journalKey(nil, next), []byte{prefixJournal + 1}, nil); err != nil {
		return err
	}
	for _, prefix := range []byte{prefixEvent, prefixHistory, prefixID, prefixExpiry} {
		err := s.scanRange([]byte{prefix}, []byte{prefix + 1}, func(key, value []byte) error {
			seq, err := indexedSeq(key, value)
			if err != nil || seq < next {
				return err
			}
			return future.Delete(key, nil)
		})
		if err != nil {
			return err
		}
	}
	return future.Commit(pebble.NoSync)
}

// indexedSeq is the seq of the journal row that an index row leads to.
func indexedSeq(key, value []byte) (uint64, error) {
	switch key[0] {
	case prefixEvent, prefixExpiry:
		if len(key) != pairKeyLen {
			return 0, corrupt(key, "index key of %d bytes", len(key))
		}
		return keyNumber(key, 9), nil
	}
	if len(value) != 8 {
		return 0, corrupt(key, "index row of %d bytes", len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}
