package store

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"purser/internal/pace"
)

// Pebble's names (v2.1.7) for the writes that are paced.
const (
	flushed   vfs.DiskWriteCategory = "pebble-memtable-flush"
	compacted vfs.DiskWriteCategory = "pebble-compaction"
)

// lead is how many bytes of tables are written, at least, for each byte that is
// committed meanwhile. A flush writes once what was committed. A compaction of index
// rows writes all history rows: the more there are, the longer it takes, and the more
// flushes it finds to merge with them. At some twelve billion payments that would
// be as many as stop commits, and stalls would hurry it.
const lead = 4

// pacer lets flushes and compactions rest while payments are committed, as long as
// they keep ahead of those. Unpaced, one takes a CPU for a tenth of a second or
// several, and the payments that need it wait. Nothing rests when nothing is
// committed: there is nobody who needs the CPU, or commits wait for this very work.
type pacer struct {
	committed atomic.Int64 // bytes
	closing   atomic.Bool  // nothing rests any more
}

// pacedFS paces the files that Pebble's flushes and compactions write.
type pacedFS struct {
	vfs.FS
	pacer *pacer
}

// Unwrap implements vfs.FS.
func (fs pacedFS) Unwrap() vfs.FS { return fs.FS }

// Create implements vfs.FS.
func (fs pacedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || category != flushed && category != compacted {
		return f, err
	}
	committed := fs.pacer.committed.Load()
	paced := &pacedFile{File: f, pacer: fs.pacer, since: committed, seen: committed}
	paced.rest = pace.NewBreather(paced.urgency)
	return paced, nil
}

// pacedFile is a table that is being written, by one goroutine.
type pacedFile struct {
	vfs.File
	pacer   *pacer
	rest    *pace.Breather
	since   int64 // pacer.committed when it was created
	seen    int64 // pacer.committed at the last look
	written int64
}

// Write implements vfs.File.
func (f *pacedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.written += int64(n)
	f.rest.After()
	return n, err
}

func (f *pacedFile) urgency() pace.Urgency {
	committed := f.pacer.committed.Load()
	idle := committed == f.seen
	f.seen = committed
	if idle || f.written < lead*(committed-f.since) || f.pacer.closing.Load() {
		return pace.Pressed
	}
	return pace.Calm
}
