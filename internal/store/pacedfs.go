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
// committed meanwhile. A flush writes what was committed once, and compactions, as
// far as measured, less than two times that.
const lead = 4

// pacer lets flushes and compactions rest as long as they keep ahead of what is
// committed. Unpaced, one takes a CPU for a tenth of a second or several, and the
// payments that need it wait.
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
	paced := &pacedFile{File: f, pacer: fs.pacer, since: fs.pacer.committed.Load()}
	paced.rest = pace.NewBreather(paced.urgency)
	return paced, nil
}

// pacedFile is a table that is being written, by one goroutine.
type pacedFile struct {
	vfs.File
	pacer   *pacer
	rest    *pace.Breather
	since   int64 // pacer.committed when it was created
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
	if f.pacer.closing.Load() || f.written < lead*(f.pacer.committed.Load()-f.since) {
		return pace.Pressed
	}
	return pace.Calm
}
