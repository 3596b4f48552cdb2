package raftfsm

import (
	"os"
	"path"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// sums knows the checksums of the tables that an earlier snapshot shares with
// the one being made. Pebble never changes a table, and a checkpoint links it: what
// was read, summed and synced once need not be again. A large journal then costs
// a snapshot only the tables that are new.
type sums struct {
	store *SnapshotStore
	state string // directory of the earlier one
	known map[string]SnapshotFile
}

// sumsOf returns what the newest snapshot knows; nothing if there is none, or if
// its meta cannot be read, which is for those to say who need that snapshot.
func sumsOf(s *SnapshotStore) sums {
	k := sums{store: s, known: map[string]SnapshotFile{}}
	ids, err := s.ids()
	if err != nil || len(ids) == 0 {
		return k
	}
	id := ids[0].String()
	m, _, err := s.meta(id)
	if err != nil {
		return k
	}
	k.state = s.cfg.FS.PathJoin(s.path(id), stateName)
	for _, f := range m.Files {
		if ext := path.Ext(f.Name); ext == ".sst" || ext == ".blob" {
			k.known[f.Name] = f
		}
	}
	return k
}

// find returns the row of the file name in dir if the earlier snapshot has the
// same file, not a copy of it.
func (k *sums) find(dir, name string) (SnapshotFile, bool) {
	row, ok := k.known[name]
	if !ok {
		return SnapshotFile{}, false
	}
	fs := k.store.cfg.FS
	here, there := fs.PathJoin(dir, name), fs.PathJoin(k.state, name)
	st, err := fs.Stat(here)
	if err != nil || st.Size() != row.Size {
		return SnapshotFile{}, false
	}
	return row, k.store.cfg.SameFile(here, there)
}

// sameFile reports whether two paths of the operating system's file system lead
// to one file.
func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// neverSame is SameFile for file systems that cannot tell.
func neverSame(string, string) bool { return false }

// defaultSameFile is SameFile for fs.
func defaultSameFile(fs vfs.FS) func(a, b string) bool {
	if fs == vfs.Default {
		return sameFile
	}
	return neverSame
}
