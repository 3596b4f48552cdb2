package store

import (
	"encoding/binary"
	"fmt"
	"iter"

	"purser/internal/planted"
)

// PageKey names one page of accounts: the number of its shard, and its number
// there.
type PageKey struct{ Shard, Page uint32 }

// Checkpoint is a state of the accounts at one log index, as far as it differs
// from the last checkpoint.
type Checkpoint struct {
	// Meta says what the pages belong to; it replaces the earlier one. The format
	// is the caller's.
	Meta []byte
	// Pages are the pages that changed, in strictly ascending order. Keys and
	// values are read one at a time and may be reused.
	Pages iter.Seq2[PageKey, []byte]
	// Replace says that Pages are all pages: earlier ones are dropped. That leaves
	// nothing to compact, while a table of some pages is merged with those before.
	Replace bool
	// ExpiredBefore is how far the caller has swept lapsed holds at this
	// checkpoint: nobody asks for those again, and their rows are dropped.
	ExpiredBefore ExpiryCursor
}

// WriteCheckpoint makes cp the checkpoint. When it returns nil, cp and all rows
// committed before the call are durable; a crash before that leaves the earlier
// checkpoint or this one, whole. One checkpoint is written at a time; commits
// and reads go on meanwhile.
//
// The order matters: rows first, by a flush, because the Raft log before cp may
// be deleted as soon as cp exists; then cp, by an ingested table.
func (s *Store) WriteCheckpoint(cp Checkpoint) error {
	if err := s.flush("a checkpoint"); err != nil {
		return err
	}
	if err := s.writePages(cp); err != nil {
		return err
	}
	// Not durable, and it need not be: rows that come back lie behind the cursor
	// of every Due to come.
	if cp.ExpiredBefore == (ExpiryCursor{}) {
		return nil
	}
	return s.deleteRange([]byte{prefixExpiry}, cp.ExpiredBefore.after())
}

func (s *Store) writePages(cp Checkpoint) error {
	if cp.Replace {
		return s.replaceSorted(cp.rows(), checkpointRange())
	}
	return s.ingestSorted(cp.rows(), keyRange{})
}

// flush makes all rows committed so far durable.
func (s *Store) flush(before string) error {
	if planted.Is(planted.SnapshotWithoutFlush) {
		return nil
	}
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("store: flush before %s: %w", before, err)
	}
	return nil
}

// rows are the rows of the checkpoint's table.
func (cp *Checkpoint) rows() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		if !yield([]byte{prefixCheckpoint}, cp.Meta) || cp.Pages == nil {
			return
		}
		var key []byte
		for page, value := range cp.Pages {
			key = pageRowKey(key[:0], page)
			if !yield(key, value) {
				return
			}
		}
	}
}

func pageRange() keyRange {
	return keyRange{start: []byte{prefixCheckpoint, 0}, end: []byte{prefixCheckpoint + 1}}
}

// checkpointRange has the pages and the meta row.
func checkpointRange() keyRange {
	return keyRange{start: []byte{prefixCheckpoint}, end: []byte{prefixCheckpoint + 1}}
}

// LoadCheckpoint returns the Meta of the last checkpoint; ok is false if there
// has been none.
func (s *Store) LoadCheckpoint() (meta []byte, ok bool, err error) {
	return s.get([]byte{prefixCheckpoint})
}

// Pages calls fn for every page of the checkpoint, by shard and page. The value
// is valid only during the call. An error of fn ends the scan.
func (s *Store) Pages(fn func(PageKey, []byte) error) error {
	pages := pageRange()
	return s.scanRange(pages.start, pages.end, func(key, value []byte) error {
		if len(key) != pageKeyLen {
			return corrupt(key, "not a page key")
		}
		page := PageKey{Shard: binary.BigEndian.Uint32(key[1:]), Page: binary.BigEndian.Uint32(key[5:])}
		return fn(page, value)
	})
}

// SaveTo makes a durable copy of the database in dir, which must not exist, on
// the same file system: with hard links, so it costs files and not bytes. It
// holds at least the last checkpoint and all rows committed before the call.
func (s *Store) SaveTo(dir string) error {
	if err := s.flush("a copy"); err != nil {
		return err
	}
	// Without a log, the copy is what has been flushed; WithFlushedWAL would have
	// no log to flush.
	if err := s.db.Checkpoint(dir); err != nil {
		return fmt.Errorf("store: copy to %s: %w", dir, err)
	}
	return nil
}
