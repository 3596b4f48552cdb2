package raftfsm

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// countedFS counts the opens of each file by its base name.
type countedFS struct {
	vfs.FS
	opened []string
}

func (c *countedFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	c.opened = append(c.opened, c.PathBase(name))
	return c.FS.Open(name, opts...)
}

// linked fills a state with links to files of dir, as a checkpoint does.
func linked(fs vfs.FS, dir string, names ...string) func(string) (SnapshotStats, error) {
	return func(state string) (SnapshotStats, error) {
		if err := fs.MkdirAll(state, 0o755); err != nil {
			return SnapshotStats{}, err
		}
		var faults []error
		for _, name := range names {
			faults = append(faults, fs.Link(fs.PathJoin(dir, name), fs.PathJoin(state, name)))
		}
		return testStats, errors.Join(faults...)
	}
}

func TestSnapshotReadsOnlyNewTables(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(vfs.Default.PathJoin(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("000001.sst", "the first table")
	write("000002.sst", "the second table")
	write("MANIFEST-000003", "which changes")
	fs := &countedFS{FS: vfs.Default}
	s, err := OpenSnapshots(SnapshotConfig{Dir: vfs.Default.PathJoin(dir, "snapshots"), FS: fs, SameFile: sameFile})
	if err != nil {
		t.Fatal(err)
	}
	take := func(index uint64, names ...string) Meta {
		t.Helper()
		sink := begin(t, s, index)
		fs.opened = nil
		if err := errors.Join(sink.Commit(linked(vfs.Default, dir, names...)), sink.Close()); err != nil {
			t.Fatal(err)
		}
		m, err := Verify(t.Context(), vfs.Default, s.path(sink.ID()))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	read := func(name string) bool { return slices.Contains(fs.opened, name) }

	first := take(10, "000001.sst", "000002.sst", "MANIFEST-000003")
	if !read("000001.sst") || !read("000002.sst") {
		t.Fatalf("the first snapshot opened only %v", fs.opened)
	}
	// One table stays; one is another file of the same name and size; the manifest
	// is the same file, but may have changed.
	if err := os.Remove(vfs.Default.PathJoin(dir, "000002.sst")); err != nil {
		t.Fatal(err)
	}
	write("000002.sst", "THE SECOND TABLE")
	second := take(20, "000001.sst", "000002.sst", "MANIFEST-000003")
	if read("000001.sst") || !read("000002.sst") || !read("MANIFEST-000003") {
		t.Fatalf("the second snapshot opened %v", fs.opened)
	}
	if second.Files[0] != first.Files[0] || second.Files[1] == first.Files[1] {
		t.Fatalf("%+v after %+v", second.Files, first.Files)
	}
}

func TestSnapshotReadsAllWithoutLinks(t *testing.T) {
	fs := &countedFS{FS: vfs.NewMem()}
	s := openStore(t, fs)
	for i := range 2 {
		sink := begin(t, s, uint64(10+i))
		fs.opened = nil
		if err := errors.Join(sink.Commit(fill(fs, testState())), sink.Close()); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(fs.opened, "000512.sst") {
			t.Fatalf("opened %v", fs.opened)
		}
	}
}
