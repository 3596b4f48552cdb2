package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden pins the format: the files of format version 1 are written byte for
// byte, and are read.
func TestGolden(t *testing.T) {
	dir := filepath.Join("testdata", "v1")
	files, m := damageLog(t)
	if *update {
		for name, b := range files {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	golden := map[string][]byte{}
	paths, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if golden[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if want, got := slices.Sorted(maps.Keys(golden)), slices.Sorted(maps.Keys(files)); !slices.Equal(want, got) {
		t.Fatalf("segments are %v, want %v", got, want)
	}
	for name, want := range golden {
		if !bytes.Equal(files[name], want) {
			t.Errorf("%s differs from its golden file", name)
		}
	}
	l := mustOpen(t, memDir(t, golden), damageSegment)
	if d := m.differs(l); d != "" {
		t.Error(d)
	}
	mustClose(t, l)
}

func TestNewerFormat(t *testing.T) {
	files, _ := damageLog(t)
	name := slices.Min(slices.Collect(maps.Keys(files)))
	b := files[name]
	binary.LittleEndian.PutUint32(b[8:], segmentVersion+1)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	_, err := Open(Options{FS: memDir(t, files), Dir: "wal", SegmentBytes: damageSegment})
	if !errors.Is(err, ErrNewerFormat) {
		t.Fatalf("Open: %v, want ErrNewerFormat", err)
	}
}
