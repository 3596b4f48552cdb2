// Package crashfs is a file system in memory that tests crash. It has no state
// beside that of the vfs.MemFS which it wraps, and may be used from any goroutine.
package crashfs

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS can be cloned at any moment, also beside Pebble's own goroutines. A MemFS
// alone (Pebble v2.1.7) cannot: its Link takes a read lock twice, and a CrashClone
// that asks for the lock in between makes both wait for ever.
type FS struct {
	*vfs.MemFS
	mu sync.Mutex // held by Link and CrashClone
}

// New returns an empty file system.
func New() *FS { return Wrap(vfs.NewCrashableMem()) }

// Wrap returns mem, which must be crashable and not be used on its own any more.
func Wrap(mem *vfs.MemFS) *FS { return &FS{MemFS: mem} }

// Link implements vfs.FS.
func (fs *FS) Link(oldname, newname string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.MemFS.Link(oldname, newname)
}

// CrashClone is that of vfs.MemFS.
func (fs *FS) CrashClone(cfg vfs.CrashCloneCfg) *FS {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return Wrap(fs.MemFS.CrashClone(cfg))
}
