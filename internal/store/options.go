package store

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	defaultCacheBytes    = 64 << 20
	defaultMemTableBytes = 16 << 20
	minMemTableBytes     = 64 << 10
	maxMemTableBytes     = 1 << 30
	defaultSlowDisk      = 5 * time.Second
)

// Options configures Open.
type Options struct {
	// FS is the file system that holds Dir. Default: vfs.Default.
	FS vfs.FS

	// Dir is the directory of the database, created if missing and owned by this
	// package alone. Required.
	Dir string

	// CacheBytes is the size of the cache of uncompressed blocks. Default: 64 MiB.
	CacheBytes int64

	// MemTableBytes is how much is collected in memory before it is flushed to
	// one run of tables, from 64 KiB to 1 GiB. Up to four times as much is in
	// memory while the disk lags behind; then commits wait. Default: 16 MiB.
	MemTableBytes int64

	// SlowDisk is the duration after which one disk operation counts as slow.
	// Default: 5 s.
	SlowDisk time.Duration

	// Fatal is told of a failure after which the store's files and its memory may
	// disagree: a failed commit, flush, compaction or manifest write. It must end
	// the process and not return; nothing else is safe. It is called on whatever
	// goroutine met the failure, possibly with Pebble's locks held, so it must not
	// call the Store. Default: panic.
	Fatal func(error)

	// DiskSlow, if set, is called on a goroutine of its own with the operation
	// and path of each slow disk operation, while that is still going on.
	DiskSlow func(operation string, took time.Duration)

	// Stalled, if set, is called when commits begin to wait for the disk, with the
	// reason, and again with "" when they go on. It must not call the Store.
	Stalled func(reason string)

	// Logger receives Pebble's messages: its faults as errors, its routine at
	// level debug. Default: none.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = defaultMemTableBytes
	}
	if o.SlowDisk == 0 {
		o.SlowDisk = defaultSlowDisk
	}
	if o.Fatal == nil {
		o.Fatal = func(err error) { panic(err) }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate reports every fault of o at once.
func (o Options) Validate() error {
	o = o.withDefaults()
	var faults []error
	if o.Dir == "" {
		faults = append(faults, errors.New("store: Dir is empty"))
	}
	if o.CacheBytes < 0 {
		faults = append(faults, fmt.Errorf("store: CacheBytes %d is negative", o.CacheBytes))
	}
	if o.MemTableBytes < minMemTableBytes || o.MemTableBytes > maxMemTableBytes {
		faults = append(faults, fmt.Errorf("store: MemTableBytes %d is outside [%d, %d]",
			o.MemTableBytes, minMemTableBytes, maxMemTableBytes))
	}
	if o.SlowDisk < 0 {
		faults = append(faults, fmt.Errorf("store: SlowDisk %v is negative", o.SlowDisk))
	}
	return errors.Join(faults...)
}
