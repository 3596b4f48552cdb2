package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"purser/internal/ledger"
)

// journal reads journal rows at one point in time. It keeps the block of the
// last row, so that neighbours, such as the postings of a busy account, cost one
// search and one checksum per block. One goroutine uses it, and closes it.
type journal struct {
	it  *pebble.Iterator
	cur block // of the iterator's position; count is 0 if there is none
	key []byte
}

func (s *Store) openJournal() (*journal, error) {
	it, err := s.iterate([]byte{prefixJournal}, []byte{prefixJournal + 1})
	if err != nil {
		return nil, err
	}
	return &journal{it: it}, nil
}

// close releases the iterator and adds its error, if any, to *err.
func (j *journal) close(err *error) { closeIterator(j.it, err) }

// row finds the encoded row of seq. It and the block are valid until the next
// call. ok is false if the journal has no such row.
func (j *journal) row(seq uint64) (row []byte, in *block, ok bool, err error) {
	if !j.cur.holds(seq) {
		if ok, err := j.seek(seq); !ok {
			return nil, nil, false, err
		}
	}
	row, err = j.cur.row(seq)
	return row, &j.cur, err == nil, err
}

// seek moves to the block that holds seq.
func (j *journal) seek(seq uint64) (ok bool, err error) {
	j.cur = block{}
	if seq == 0 {
		return false, nil
	}
	// The last key not above that of a block which starts at seq: one byte more
	// makes SeekLT include it, even for the largest seq.
	j.key = append(journalKey(j.key[:0], seq), 0)
	if !j.it.SeekLT(j.key) {
		return false, iterError(j.it)
	}
	if err := j.load(); err != nil {
		return false, err
	}
	return j.cur.holds(seq), nil
}

// next moves to the block that continues the current one; ok is false if there
// is none.
func (j *journal) next() (ok bool, err error) {
	due := j.cur.first + uint64(j.cur.count)
	if !j.it.Next() {
		return false, iterError(j.it)
	}
	if err := j.load(); err != nil {
		return false, err
	}
	return j.cur.first == due, nil
}

// prev moves to the block before, which has to hold seq; ok is false if it does
// not.
func (j *journal) prev(seq uint64) (ok bool, err error) {
	if !j.it.Prev() {
		return false, iterError(j.it)
	}
	if err := j.load(); err != nil {
		return false, err
	}
	return j.cur.holds(seq), nil
}

// load opens the block at the iterator's position.
func (j *journal) load() error {
	value, err := j.it.ValueAndErr()
	if err != nil {
		return fmt.Errorf("store: read %x: %w", j.it.Key(), err)
	}
	j.cur, err = openBlock(j.it.Key(), value)
	return err
}

// record decodes the row of seq into memory of its own.
func (j *journal) record(seq uint64) (*ledger.Record, bool, error) {
	row, in, ok, err := j.row(seq)
	if !ok {
		return nil, false, err
	}
	rec, err := in.record(seq, row)
	return rec, err == nil, err
}

// must is record for a row that by refers to: it is an error if it is missing.
func (j *journal) must(seq uint64, by string) (*ledger.Record, error) {
	rec, ok, err := j.record(seq)
	if err == nil && !ok {
		err = corrupt(journalKey(nil, seq), "row %d is missing, but %s refers to it", seq, by)
	}
	return rec, err
}

// Record returns the journal row of seq with its Seq and Time; ok is false if
// there is none.
func (s *Store) Record(seq uint64) (rec *ledger.Record, ok bool, err error) {
	j, err := s.openJournal()
	if err != nil {
		return nil, false, err
	}
	defer j.close(&err)
	return j.record(seq)
}

// errScanEnd ends a scan that has passed its last row.
var errScanEnd = errors.New("end of scan")

// scan calls fn for every row with from <= seq < to, in order. Seqs have no
// gaps, so a row that is missing is an error: whoever reads a range relies on
// all of it.
func (s *Store) scan(from, to uint64, fn func(b *block, seq uint64, row []byte) error) (err error) {
	due := max(from, 1)
	if due >= to {
		return nil
	}
	j, err := s.openJournal()
	if err != nil {
		return err
	}
	defer j.close(&err)
	inside, err := j.seek(due)
	if err != nil {
		return err
	}
	for {
		if !inside {
			return corrupt(journalKey(nil, due), "row %d is missing", due)
		}
		err := j.cur.each(func(seq uint64, row []byte) error {
			switch {
			case seq < due:
				return nil
			case seq >= to:
				return errScanEnd
			}
			return fn(&j.cur, seq, row)
		})
		if err != nil && !errors.Is(err, errScanEnd) {
			return err
		}
		if due = j.cur.first + uint64(j.cur.count); due >= to {
			return nil
		}
		if inside, err = j.next(); err != nil {
			return err
		}
	}
}

// ScanRecords calls fn for every journal row with from <= seq < to, in order.
// Each record has memory of its own. An error of fn ends the scan.
func (s *Store) ScanRecords(from, to uint64, fn func(*ledger.Record) error) error {
	return s.scan(from, to, func(b *block, seq uint64, row []byte) error {
		rec, err := b.record(seq, row)
		if err != nil {
			return err
		}
		return fn(rec)
	})
}

// ScanBack calls fn for the journal row of last and every one before it, newest
// first. The record and its slices are valid only during the call. An error of fn
// ends the scan, and so does a row that is missing.
func (s *Store) ScanBack(last uint64, fn func(*ledger.Record) error) (err error) {
	if last == 0 {
		return nil
	}
	j, err := s.openJournal()
	if err != nil {
		return err
	}
	defer j.close(&err)
	inside, err := j.seek(last)
	if err != nil {
		return err
	}
	var rows [][]byte // of the block, up to last
	rec := new(ledger.Record)
	for {
		if !inside {
			return corrupt(journalKey(nil, last), "row %d is missing", last)
		}
		rows = rows[:0]
		err := j.cur.each(func(seq uint64, row []byte) error {
			if seq <= last {
				rows = append(rows, row)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, row := range slices.Backward(rows) {
			if err := j.cur.decode(j.cur.first+uint64(i), row, rec); err != nil {
				return err
			}
			if err := fn(rec); err != nil {
				return err
			}
		}
		if last = j.cur.first - 1; last == 0 {
			return nil
		}
		if inside, err = j.prev(last); err != nil {
			return err
		}
	}
}

// ScanKeys calls fn for every journal row with from <= seq < to that has an
// idempotency key, in order, with the time of its entry. It decodes nothing but
// the key, which is valid only during the call. An error of fn ends the scan.
func (s *Store) ScanKeys(from, to uint64, fn func(seq uint64, at ledger.Micros, key []byte) error) error {
	return s.scan(from, to, func(b *block, seq uint64, row []byte) error {
		key, err := ledger.RecordKey(row)
		if err != nil {
			return corrupt(b.key, "row %d: %v", seq, err)
		}
		if len(key) == 0 {
			return nil
		}
		return fn(seq, b.stamp, key)
	})
}
