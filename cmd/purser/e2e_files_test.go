package main

import (
	"errors"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// damaged flips a bit of a file, checks that the server refuses to start with
// one of codes and says what it must, and mends the file. It returns what the
// server said. Nothing may change but, when it is in a table, the files that
// Pebble replaces whenever it opens, and the log, if the server came to lead.
func damaged(t *testing.T, dir, name string, at int, codes []int, says ...string) string {
	t.Helper()
	flip(t, dir, name, at)
	before := contents(t, dir)
	said := refusesToStart(t, codes, says, serverArgs(dir)...)
	except := nothing
	if strings.HasSuffix(name, ".sst") {
		except = regexp.MustCompile(`^wal/|` + rewritten.String())
	}
	requireUntouched(t, dir, before, except)
	flip(t, dir, name, at)
	return said
}

// flip changes one bit, in place: a snapshot shares files with the state.
func flip(t *testing.T, dir, name string, at int) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, int64(at)); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b, int64(at)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// nothing matches no file; rewritten are those that Pebble replaces whenever it
// opens.
var (
	nothing   = regexp.MustCompile(`^$`)
	rewritten = regexp.MustCompile(`^state/state-\d+/(\d+\.log|OPTIONS-\d+|MANIFEST-\d+|marker\..*)$`)
)

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// contents are the checksums of the files under dir, by name. Those of raft.db
// are left out: bbolt numbers its opens in it.
func contents(t *testing.T, dir string) map[string]uint32 {
	t.Helper()
	sums := map[string]uint32{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && name != "raft.db" {
			sums[name] = crc32.ChecksumIEEE(read(t, dir, name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// requireUntouched compares the files under dir, but for some, with their
// contents before.
func requireUntouched(t *testing.T, dir string, before map[string]uint32, except *regexp.Regexp) {
	t.Helper()
	after := contents(t, dir)
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if sum, ok := after[name]; !except.MatchString(name) && (!ok || sum != before[name]) {
			t.Errorf("%s was changed: there=%t", name, ok)
		}
		delete(after, name)
	}
	for name := range after {
		if !except.MatchString(name) {
			t.Errorf("%s was made", name)
		}
	}
}

// matching lists the files of a directory that may be changing.
func matching(t *testing.T, dir, pattern string) (names []string) {
	t.Helper()
	wanted := regexp.MustCompile(pattern)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && wanted.MatchString(name) {
			names = append(names, name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// only returns the one file that matches.
func only(t *testing.T, dir, pattern string) string {
	t.Helper()
	names := matching(t, dir, pattern)
	if len(names) != 1 {
		t.Fatalf("%d files match %s: %q", len(names), pattern, names)
	}
	return names[0]
}
