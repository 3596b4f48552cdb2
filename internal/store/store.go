package store

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Store is an open database. Its reading methods may be called on any goroutine,
// and what they return has memory of its own.
type Store struct {
	db      *pebble.DB
	opts    Options
	fs      vfs.FS    // Options.FS as Pebble gets it
	health  io.Closer // stops the health checks
	tables  *pebble.Options
	batch   Batch
	scratch string        // directory of tables under construction
	table   atomic.Uint64 // names them
	events  *events
	pacer   *pacer
}

// Open opens the database in o.Dir, creating it if there is none.
func Open(o Options) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	s := &Store{opts: o, events: newEvents(o), pacer: new(pacer)}
	s.fs, s.health = vfs.WithDiskHealthChecks(rootFS{o.FS}, o.SlowDisk, nil, s.events.diskSlow)
	s.tables = pebbleOptions(o, pacedFS{s.fs, s.pacer}, s.events)
	db, err := openPebble(o.Dir, s.tables)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: open %s: %w", o.Dir, err), s.health.Close())
	}
	s.db = db
	if err := s.clearScratch(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.batch.fatal, s.batch.pacer = o.Fatal, s.pacer
	s.batch.rows = db.NewBatch(pebble.WithMaxRetainedSizeBytes(retainedBatchBytes))
	s.batch.put = s.batch.set
	return s, nil
}

// openPebble is pebble.Open, which panics with the error when it cannot sync a
// directory after moving a marker file. Nothing is open yet, so for the caller
// that is one more way in which opening can fail.
func openPebble(dir string, o *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		switch fault := recover().(type) {
		case nil:
		case runtime.Error:
			panic(fault)
		case error:
			db, err = nil, fault
		default:
			panic(fault)
		}
	}()
	return pebble.Open(dir, o)
}

// clearScratch removes the tables that a crash left under construction.
func (s *Store) clearScratch() error {
	s.scratch = s.fs.PathJoin(s.opts.Dir, "ingest")
	if err := s.fs.RemoveAll(s.scratch); err != nil {
		return fmt.Errorf("store: clear %s: %w", s.scratch, err)
	}
	if err := s.fs.MkdirAll(s.scratch, 0o755); err != nil {
		return fmt.Errorf("store: create %s: %w", s.scratch, err)
	}
	return nil
}

// Close ends the store. It neither flushes nor syncs: what is not durable is
// replayed. All other calls must have returned before.
func (s *Store) Close() error {
	s.pacer.closing.Store(true)
	var faults []error
	if s.batch.rows != nil {
		faults = append(faults, s.batch.rows.Close())
	}
	faults = append(faults, s.db.Close(), s.health.Close())
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("store: close: %w", err)
	}
	return nil
}
