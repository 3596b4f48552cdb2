package raftfsm

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"purser/internal/ledger"
)

func TestStreamHasExactlyItsSize(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 3000), 1, 8).Draw(rt, "sizes")
		state := map[string][]byte{}
		for i, n := range sizes {
			state[fmt.Sprintf("%0*d", 1+i*11, i)] = make([]byte, n)
		}
		s := openStore(t, vfs.NewMem())
		meta, r, err := s.Open(snap(t, s, 9, state))
		if err != nil {
			rt.Fatal(err)
		}
		defer r.Close()
		n, err := io.Copy(io.Discard, iotest.OneByteReader(r))
		if err != nil || n != meta.Size {
			rt.Errorf("%d bytes, Size says %d: %v", n, meta.Size, err)
		}
	})
}

// TestStreamSizeOfBigFiles checks the arithmetic where no test can write a file.
func TestStreamSizeOfBigFiles(t *testing.T) {
	m := Meta{Files: []SnapshotFile{{Size: 9 << 30}, {Size: 1}}}
	if got, want := streamSize(m, 600), int64(512+1024+512+9<<30+512+512+1024); got != want {
		t.Errorf("size %d, want %d", got, want)
	}
	for _, size := range []int64{0, 1, 8<<30 - 1, 8 << 30, 9 << 40} {
		h, err := tar.NewReader(bytes.NewReader(tarHeader("state/000001.sst", size))).Next()
		if err != nil || h.Size != size || h.Name != "state/000001.sst" || h.Typeflag != tar.TypeReg || h.Mode != 0o600 {
			t.Errorf("a file of %d bytes reads as %+v, %v", size, h, err)
		}
	}
}

// TestStreamIsTar reads a stream with a tar reader that is not ours.
func TestStreamIsTar(t *testing.T) {
	src := openStore(t, vfs.NewMem())
	_, b := stream(t, src, snap(t, src, 9, testState()))
	tr := tar.NewReader(bytes.NewReader(b))
	if h, err := tr.Next(); err != nil || h.Name != metaName {
		t.Fatalf("first entry: %+v, %v", h, err)
	}
	state := map[string][]byte{}
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if state[strings.TrimPrefix(h.Name, "state/")], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(testState(), state); diff != "" {
		t.Error(diff)
	}
}

// TestStreamHeaderIsStable pins the bytes: nodes of two releases compare them.
func TestStreamHeaderIsStable(t *testing.T) {
	b := tarHeader("state/000123.sst", 4711)
	b = append(b, tarHeader("state/MANIFEST-000001", 9<<30)...)
	const golden = 0xe4c306e1
	if got := crc32.Checksum(b, castagnoli); got != golden {
		t.Errorf("headers changed: sum %#08x, want %#08x", got, golden)
	}
}

// receive feeds b to a fresh store's sink and closes it the way raft does.
func receive(t *testing.T, index uint64, b []byte) (*SnapshotStore, error) {
	t.Helper()
	s := openStore(t, vfs.NewMem())
	sink := begin(t, s, index)
	if _, err := io.Copy(sink, bytes.NewReader(b)); err != nil {
		if len(listDir(t, s)) == 0 {
			t.Error("the sink cleaned up before Cancel")
		}
		if err := sink.Cancel(); err != nil {
			t.Error(err)
		}
		return s, err
	}
	return s, sink.Close()
}

func TestStreamRefusesEveryFlippedByte(t *testing.T) {
	src := openStore(t, vfs.NewMem())
	_, good := stream(t, src, snap(t, src, 9, map[string][]byte{"000001.sst": []byte("hello"), "MANIFEST": {}}))
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 0x10
		s, err := receive(t, 9, b)
		if err == nil {
			t.Errorf("byte %d of %d flipped: accepted", i, len(good))
		}
		if err != nil && len(listDir(t, s)) != 0 {
			t.Errorf("byte %d flipped: refused, but left %v", i, listDir(t, s))
		}
	}
}

func TestStreamRefusesEveryPrefix(t *testing.T) {
	src := openStore(t, vfs.NewMem())
	_, good := stream(t, src, snap(t, src, 9, map[string][]byte{"000001.sst": []byte("hello")}))
	for n := range good {
		if s, err := receive(t, 9, good[:n]); err == nil || len(listDir(t, s)) != 0 {
			t.Fatalf("%d of %d bytes: %v, left %v", n, len(good), err, listDir(t, s))
		}
	}
	for _, tail := range []string{"x", string(make([]byte, 512)), string(good)} {
		if _, err := receive(t, 9, append(bytes.Clone(good), tail...)); !errors.Is(err, ErrStreamMalformed) {
			t.Errorf("%d bytes after the trailer: %v", len(tail), err)
		}
	}
}

func TestStreamRefusesForeignEntries(t *testing.T) {
	content := []byte("hello")
	row := SnapshotFile{Name: "a.sst", Size: 5, CRC32C: crc32.Checksum(content, castagnoli)}
	other := SnapshotFile{Name: "b.sst", Size: 5, CRC32C: row.CRC32C}
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 5} }
	link := func(flag byte) tar.Header {
		return tar.Header{Typeflag: flag, Name: "state/a.sst", Linkname: "/etc/passwd"}
	}
	pax := file("state/a.sst")
	pax.Format, pax.PAXRecords = tar.FormatPAX, map[string]string{"PURSER.x": "y"}
	for name, c := range map[string]struct {
		rows    []SnapshotFile
		entries []tar.Header
	}{
		"parent":        {[]SnapshotFile{row}, []tar.Header{file("../a.sst")}},
		"deep parent":   {[]SnapshotFile{row}, []tar.Header{file("state/../../a.sst")}},
		"absolute":      {[]SnapshotFile{row}, []tar.Header{file("/etc/passwd")}},
		"unclean":       {[]SnapshotFile{row}, []tar.Header{file("state/./a.sst")}},
		"symlink":       {[]SnapshotFile{row}, []tar.Header{link(tar.TypeSymlink)}},
		"hard link":     {[]SnapshotFile{row}, []tar.Header{link(tar.TypeLink)}},
		"directory":     {[]SnapshotFile{row}, []tar.Header{{Typeflag: tar.TypeDir, Name: "state/a.sst"}}},
		"device":        {[]SnapshotFile{row}, []tar.Header{{Typeflag: tar.TypeChar, Name: "state/a.sst"}}},
		"twice":         {[]SnapshotFile{row}, []tar.Header{file("state/a.sst"), file("state/a.sst")}},
		"surplus":       {[]SnapshotFile{row}, []tar.Header{file("state/a.sst"), file("state/b.sst")}},
		"order":         {[]SnapshotFile{row, other}, []tar.Header{file("state/b.sst"), file("state/a.sst")}},
		"lacking":       {[]SnapshotFile{row, other}, []tar.Header{file("state/a.sst")}},
		"hidden header": {[]SnapshotFile{row}, []tar.Header{pax}},
		"name in meta":  {[]SnapshotFile{{Name: "../a.sst", Size: 5, CRC32C: row.CRC32C}}, []tar.Header{file("state/../a.sst")}},
		"path in meta":  {[]SnapshotFile{{Name: "x/a.sst", Size: 5, CRC32C: row.CRC32C}}, []tar.Header{file("state/x/a.sst")}},
		"order in meta": {[]SnapshotFile{other, row}, []tar.Header{file("state/b.sst"), file("state/a.sst")}},
		"twice in meta": {[]SnapshotFile{row, row}, []tar.Header{file("state/a.sst"), file("state/a.sst")}},
		"no files":      {nil, nil},
		"size":          {[]SnapshotFile{{Name: "a.sst", Size: 4, CRC32C: row.CRC32C}}, []tar.Header{file("state/a.sst")}},
		"sum":           {[]SnapshotFile{{Name: "a.sst", Size: 5, CRC32C: 1}}, []tar.Header{file("state/a.sst")}},
	} {
		t.Run(name, func(t *testing.T) {
			b := forge(t, c.rows, c.entries, content)
			dir := t.TempDir()
			_, err := unpackTar(vfs.Default, bytes.NewReader(b), dir+"/in/state", ledger.NewestFormat)
			if !errors.Is(err, ErrStreamMalformed) && !errors.Is(err, ErrSnapshotDamaged) {
				t.Errorf("unpacked: %v", err)
			}
			for _, escaped := range []string{"/a.sst", "/in/a.sst", "/etc"} {
				if _, err := os.Lstat(dir + escaped); err == nil {
					t.Errorf("%s was written outside the directory", escaped)
				}
			}
		})
	}
	ok := forge(t, []SnapshotFile{row}, []tar.Header{file("state/a.sst")}, content)
	if _, err := unpackTar(vfs.NewMem(), bytes.NewReader(ok), "in", ledger.NewestFormat); err != nil {
		t.Errorf("the forger cannot make a good stream: %v", err)
	}
}

// forge makes a stream of entries behind a meta that has rows.
func forge(t *testing.T, rows []SnapshotFile, entries []tar.Header, content []byte) []byte {
	t.Helper()
	raw, err := encodeMeta(Meta{Format: 1, ID: "2-9-1", Index: 9, Term: 2, Files: rows})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.Write(tarHeader(metaName, int64(len(raw))))
	b.Write(raw)
	b.Write(zeros[:tarPadding(int64(len(raw)))])
	w := tar.NewWriter(&b)
	for _, h := range entries {
		if h.Typeflag == tar.TypeReg && h.Format == tar.FormatUnknown {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			b.Write(tarHeader(h.Name, h.Size))
			b.Write(content)
			b.Write(zeros[:tarPadding(h.Size)])
			continue
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestStreamBoundsTheMetaItReads(t *testing.T) {
	head := tarHeader(metaName, maxMetaBytes+1)
	if _, err := unpackTar(vfs.NewMem(), bytes.NewReader(head), "in", ledger.NewestFormat); !errors.Is(err, ErrStreamMalformed) {
		t.Errorf("a meta of %d bytes: %v", maxMetaBytes+1, err)
	}
}

func TestStreamAfterCloseAndTwice(t *testing.T) {
	s := openStore(t, vfs.NewMem())
	_, r, err := s.Open(snap(t, s, 9, testState()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, r, 2000); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Errorf("close in the middle: %v", err)
		}
	}
	if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("read after close: %v", err)
	}
	if len(s.open) != 0 {
		t.Errorf("still open: %v", s.open)
	}
}

func TestSinkRefusesAnotherPosition(t *testing.T) {
	src := openStore(t, vfs.NewMem())
	_, b := stream(t, src, snap(t, src, 9, testState()))
	s, err := receive(t, 10, b)
	if !errors.Is(err, ErrSnapshotMismatch) || len(listDir(t, s)) != 0 {
		t.Errorf("state of index 9 as a snapshot of index 10: %v, left %v", err, listDir(t, s))
	}
}

func TestSinkIsUsedOneWayAndOnce(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, fs)
	empty := begin(t, s, 9)
	if err := empty.Close(); !errors.Is(err, ErrSnapshotIncomplete) {
		t.Errorf("close of an empty sink: %v", err)
	}
	cancelled := begin(t, s, 9)
	if err := errors.Join(cancelled.Cancel(), cancelled.Cancel(), cancelled.Close()); err != nil {
		t.Error(err)
	}
	if _, err := cancelled.Write([]byte("x")); !errors.Is(err, ErrSinkUsed) {
		t.Errorf("write after cancel: %v", err)
	}
	if got := listDir(t, s); len(got) != 0 {
		t.Errorf("left %v", got)
	}

	both := begin(t, s, 9)
	if err := both.Commit(fill(fs, testState())); err != nil {
		t.Fatal(err)
	}
	if _, err := both.Write([]byte("x")); !errors.Is(err, ErrSinkUsed) {
		t.Errorf("write after commit: %v", err)
	}
	if err := both.Commit(fill(fs, testState())); !errors.Is(err, ErrSinkUsed) {
		t.Errorf("second commit: %v", err)
	}
	if err := errors.Join(both.Close(), both.Close(), both.Cancel()); err != nil {
		t.Error(err)
	}
	if got := listIDs(t, s); len(got) != 1 {
		t.Errorf("cancel after close removed the snapshot: %v", got)
	}

	failed := begin(t, s, 10)
	boom := errors.New("boom")
	if err := failed.Commit(func(string) (SnapshotStats, error) { return SnapshotStats{}, boom }); !errors.Is(err, boom) {
		t.Errorf("failed fill: %v", err)
	}
	if err := failed.Close(); !errors.Is(err, ErrSnapshotIncomplete) {
		t.Errorf("close after a failed fill: %v", err)
	}
	if _, err := s.Create(0, 9, 2, raft.Configuration{}, 1, nil); err == nil {
		t.Error("raft's snapshot version 0 was accepted")
	}
}

// TestMetaEncodingIsStable pins the bytes: snapshots and backups hold them.
func TestMetaEncodingIsStable(t *testing.T) {
	s := openStore(t, vfs.NewMem())
	id := snap(t, s, 9, testState())
	got := readFile(t, s.cfg.FS, s.path(id)+"/"+metaName)
	const path = "testdata/meta.golden.json"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("encoding changed:\n got %s\nwant %s", got, want)
	}
	m, err := Inspect(s.cfg.FS, s.path(id))
	if err != nil || m.Stats.LastSeq != 41 || len(m.Files) != 6 {
		t.Errorf("inspect: %+v, %v", m, err)
	}
	newer := bytes.Replace(want, []byte(`"format":1`), []byte(`"format":2`), 1)
	if _, err := decodeMeta(newer, ledger.NewestFormat); !errors.Is(err, ledger.ErrFormat) {
		t.Errorf("format 2: %v, want ledger.ErrFormat", err)
	}
}

func FuzzDecodeMeta(f *testing.F) {
	golden, err := os.ReadFile("testdata/meta.golden.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b, ledger.NewestFormat)
		if err != nil {
			return
		}
		if again, err := encodeMeta(m); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q decodes to %+v, which encodes to %q, %v", b, m, again, err)
		}
	})
}

func FuzzUnpackTar(f *testing.F) {
	f.Add(append(tarHeader(metaName, 10), make([]byte, 1536)...))
	raw, err := encodeMeta(Meta{Format: 1, ID: "2-9-1", Index: 9, Term: 2, Files: []SnapshotFile{{Name: "a"}}})
	if err != nil {
		f.Fatal(err)
	}
	good := append(tarHeader(metaName, int64(len(raw))), raw...)
	good = append(good, zeros[:tarPadding(int64(len(raw)))]...)
	f.Add(append(append(good, tarHeader("state/a", 0)...), zeros[:]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := vfs.NewMem()
		if m, err := unpackTar(fs, bytes.NewReader(b), "in/state", ledger.NewestFormat); err == nil {
			if raw, _ := encodeMeta(m); streamSize(m, len(raw)) != int64(len(b)) {
				t.Errorf("%d bytes unpacked as a stream of %d", len(b), streamSize(m, len(raw)))
			}
		}
		if names, _ := fs.List("/"); len(names) != 1 {
			t.Errorf("wrote outside of the directory: %v", names)
		}
	})
}
