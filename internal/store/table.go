package store

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// compressedLevel is any level below L0: tables built here are read more often
// than rewritten.
const compressedLevel = 1

// bytesPerSync is how much of a table is written before the system is asked to
// begin writing it to the disk.
const bytesPerSync = 512 << 10

// keyRange is a range of keys, end exclusive.
type keyRange struct{ start, end []byte }

// ingestSorted makes rows, whose keys strictly ascend, durable and visible in
// one step: they become one table, which enters the database in one synced edit
// of the manifest. If drop is not empty, the same step removes all earlier keys
// in it, by a deletion that the table begins with. A crash leaves all of the rows
// or none.
//
// What Pebble does (v2.1.7, DB.ingest): it links the table, which the writer has
// synced, into its directory, syncs that, waits for the flush of a memtable that
// has keys inside the table's bounds (because queueing is off), and writes and
// syncs the manifest. Only then does it return. Commits that begin in between
// wait for the manifest; they are not reordered.
func (s *Store) ingestSorted(rows iter.Seq2[[]byte, []byte], drop keyRange) error {
	return s.addTable(rows, drop, func(path string) error {
		return s.db.Ingest(context.Background(), []string{path})
	})
}

// replaceSorted is ingestSorted for rows that are all that span is to hold, at
// least one. Earlier tables leave span in the same edit of the manifest: those
// within it are dropped, of others the parts beside it stay, as virtual tables. So
// nothing overlaps the new table. It enters the lowest level, where no compaction
// has to read or write it again.
//
// Commits may write on one side of span only. Pebble cancels what is under way and
// has bounds that span overlaps (v2.1.7, DB.ingestApply): a compaction, which is
// picked again, but also a flush between whose first and last row span lies, which
// is an error in the background and the end of the process. A flush that has rows of
// span is waited for before, as in ingestSorted.
func (s *Store) replaceSorted(rows iter.Seq2[[]byte, []byte], span keyRange) error {
	return s.addTable(rows, keyRange{}, func(path string) error {
		whole := pebble.KeyRange{Start: span.start, End: span.end}
		_, err := s.db.IngestAndExcise(context.Background(), []string{path}, nil, nil, whole)
		return err
	})
}

// addTable writes a table and has add take it into the database, unless there is
// nothing in it.
func (s *Store) addTable(rows iter.Seq2[[]byte, []byte], drop keyRange, add func(path string) error) error {
	path := s.fs.PathJoin(s.scratch, fmt.Sprintf("%d.sst", s.table.Add(1)))
	empty, err := s.writeTable(path, rows, drop)
	if err == nil && !empty {
		err = add(path)
	}
	if err == nil && !empty {
		return nil // Pebble has removed path
	}
	if fault := s.fs.Remove(path); fault != nil {
		err = errors.Join(err, fault)
	}
	if err != nil {
		return fmt.Errorf("store: ingest: %w", err)
	}
	return nil
}

// writeTable writes and syncs a table. It reports whether it has nothing in it.
func (s *Store) writeTable(path string, rows iter.Seq2[[]byte, []byte], drop keyRange) (empty bool, err error) {
	file, err := s.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return false, err
	}
	// What is written goes to the disk as it comes: one sync of it all at the end
	// would have the syncs of the log wait behind it.
	file = vfs.NewSyncingFile(file, vfs.SyncingFileOptions{BytesPerSync: bytesPerSync})
	format := s.db.FormatMajorVersion().MaxTableFormat()
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(file), s.tables.MakeWriterOptions(compressedLevel, format))
	empty = drop.start == nil
	if !empty {
		err = w.DeleteRange(drop.start, drop.end)
	}
	if err == nil {
		for key, value := range rows {
			empty = false
			if err = w.Set(key, value); err != nil { // out of order, or the disk
				break
			}
		}
	}
	// Close finishes, syncs and closes the file; after a fault it only closes it
	// and returns the same error.
	if fault := w.Close(); err == nil {
		err = fault
	}
	return empty, err
}
