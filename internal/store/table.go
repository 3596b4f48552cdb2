package store

import (
	"context"
	"errors"
	"fmt"
	"iter"

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
// in it. A crash leaves all of the rows or none.
//
// What Pebble does (v2.1.7, DB.ingest): it links the table, which the writer has
// synced, into its directory, syncs that, waits for the flush of a memtable that
// has keys inside the table's bounds (because queueing is off), and writes and
// syncs the manifest. Only then does it return. Commits that begin in between
// wait for the manifest; they are not reordered.
func (s *Store) ingestSorted(rows iter.Seq2[[]byte, []byte], drop keyRange) (err error) {
	path := s.fs.PathJoin(s.scratch, fmt.Sprintf("%d.sst", s.table.Add(1)))
	empty, err := s.writeTable(path, rows, drop)
	if err == nil && !empty {
		err = s.db.Ingest(context.Background(), []string{path})
	}
	if err == nil && !empty {
		return nil // Ingest has removed path
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
