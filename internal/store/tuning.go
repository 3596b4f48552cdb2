package store

import (
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// pebbleOptions suits Pebble to what is written here: journal blocks of some
// 8 KiB that only ever go to the end of their range, small index rows, rare
// ingested tables, almost no deletes.
func pebbleOptions(o Options, fs vfs.FS, e *events) *pebble.Options {
	p := &pebble.Options{
		FS:                 fs,
		CacheSize:          o.CacheBytes,
		FormatMajorVersion: pebble.FormatValueSeparation, // pinned: an upgrade of Pebble must not change files by itself
		DisableWAL:         true,                         // see the package comment
		EventListener:      e.listener(),
		Logger:             logger{out: o.Logger, fatal: o.Fatal},

		MemTableSize:                uint64(o.MemTableBytes),
		MemTableStopWritesThreshold: 4,

		// A flush is one sorted run over all prefixes. Few runs wait in L0: point
		// reads look into each. Writes stop only when compaction is far behind.
		L0CompactionThreshold: 2,
		L0StopWritesThreshold: 24,
		LBaseMaxBytes:         256 << 20,
		TargetFileSizes:       [7]int64{16 << 20, 32 << 20, 64 << 20, 64 << 20, 64 << 20, 64 << 20, 64 << 20},
		FlushSplitBytes:       32 << 20,

		// One compaction at a time, so that one core is left for payments; a
		// second only when the first cannot keep up.
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, 2 },
		MaxOpenFiles:               1000,
	}
	for i := range p.Levels {
		l := &p.Levels[i]
		l.BlockSize = 32 << 10
		l.IndexBlockSize = 256 << 10
		l.Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
		// No bloom filters: Pebble asks them only in Get, and nothing here gets a
		// key that may be absent. Journal, events and histories are sought by range.
		l.FilterPolicy = pebble.NoFilterPolicy
	}
	// An ingested table must be durable when Ingest returns. Without a log, a
	// table queued behind a memtable would not be.
	p.Experimental.DisableIngestAsFlushable = func() bool { return true }
	// Compactions set off by reads would rewrite a journal that never changes.
	p.Experimental.ReadSamplingMultiplier = -1
	p.EnsureDefaults()
	return p
}
