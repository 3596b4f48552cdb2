package store

import (
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// rootFS makes the files that Pebble finds everything else by, the manifest and
// the markers, appear on disk in the order in which they are created. Pebble
// (v2.1.7) creates a manifest, then a marker with its name, removes the earlier
// marker, and only then syncs the directory. A file system that reorders these,
// as POSIX allows and the common journaling ones do not, could keep a marker
// without its manifest, and the database would not open; or no marker at all,
// and a new, empty one would be made in its place. Each costs one more sync per
// manifest.
type rootFS struct{ vfs.FS }

// Unwrap implements vfs.FS.
func (fs rootFS) Unwrap() vfs.FS { return fs.FS }

// Create implements vfs.FS.
func (fs rootFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	base := fs.PathBase(name)
	if err != nil || !strings.HasPrefix(base, "MANIFEST-") && !strings.HasPrefix(base, "marker.") {
		return f, err
	}
	if err := fs.syncDir(fs.PathDir(name)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (fs rootFS) syncDir(name string) error {
	dir, err := fs.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
