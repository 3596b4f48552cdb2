package store

import (
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// tableBytes is the size of a table on every level: a flush then makes one of
// journal blocks and one of everything else.
const tableBytes = 64 << 20

// pebbleOptions suits Pebble to what is written here: journal blocks of some
// 8 KiB that only ever go to the end of their range, small index rows, rare
// ingested tables, almost no deletes.
//
// Measured with 10 million payments in entries of 256 on two busy cores, CPU
// time per payment in all (a third of it makes the payments) and, once
// compacted, bytes per payment:
//
//	compression            CPU ns   bytes
//	none                      711     111
//	snappy                    781      61
//	none in L0, snappy        706      61
//	none in L0, minlz         790      59
//	none in L0, zstd 3        924      43
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

		// Journal tables never overlap: any number of them in L0 is one run to a
		// read. Index rows do overlap, and eight runs of them set off a compaction: each
		// one rewrites all history rows. After 100 million payments over a million
		// accounts, when each still rewrote the pages of accounts too, four times as many
		// compactions took 42% of the server's CPU instead of 20%. Writes stop only when
		// that is far behind.
		L0CompactionThreshold:     16,
		L0CompactionFileThreshold: 64,
		L0StopWritesThreshold:     48,

		// Below 16 GiB there are L0 and one more level: the journal is rewritten
		// once, as it is compressed, whatever else is compacted.
		LBaseMaxBytes:   16 << 30,
		FlushSplitBytes: 2 * tableBytes,

		// One compaction at a time, so that one core is left for payments, and it
		// rests for them, see pacer; a second only when the first cannot keep up.
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, 2 },
	}
	for i := range p.Levels {
		l := &p.Levels[i]
		l.BlockSize = 32 << 10
		l.IndexBlockSize = 256 << 10
		l.Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
		// No bloom filters: Pebble asks them only in Get, and nothing here gets a
		// key that may be absent. Journal, events and histories are sought by range.
		l.FilterPolicy = pebble.NoFilterPolicy
		p.TargetFileSizes[i] = tableBytes
	}
	// What a flush writes is compacted soon: compressing it would be done twice.
	p.Levels[0].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	p.Experimental.SpanPolicyFunc = tablesApart
	// An ingested table must be durable when Ingest returns. Without a log, a
	// table queued behind a memtable would not be.
	p.Experimental.DisableIngestAsFlushable = func() bool { return true }
	// Compactions set off by reads would rewrite a journal that never changes.
	p.Experimental.ReadSamplingMultiplier = -1
	p.EnsureDefaults()
	return p
}

// tablesApart ends a table before the key that it returns. Journal rows get tables
// of their own, which overlap nothing and move down the levels without being
// mixed into index rows; so do the pages of accounts, so that a checkpoint which
// replaces them all drops whole tables.
func tablesApart(start []byte) (policy pebble.SpanPolicy, end []byte, err error) {
	for _, prefix := range []byte{prefixCheckpoint + 1, prefixJournal, prefixJournal + 1} {
		if start[0] < prefix {
			return policy, []byte{prefix}, nil
		}
	}
	return policy, nil, nil
}
