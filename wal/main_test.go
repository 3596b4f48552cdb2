package wal

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// entry makes a log entry whose contents follow from its index, term and size.
func entry(i, term uint64, size int) *raft.Log {
	e := &raft.Log{Index: i, Term: term, Type: raft.LogType(i % 6),
		AppendedAt: time.Unix(1700000000+int64(i), int64(i)*7).UTC()}
	for k := range size {
		e.Data = append(e.Data, byte(i)+byte(term)*3+byte(k)|1)
	}
	if i%3 == 0 {
		e.Extensions = fmt.Appendf(nil, "ext %d", i)
	}
	return e
}

func entries(first uint64, term uint64, sizes ...int) []*raft.Log {
	var out []*raft.Log
	for k, n := range sizes {
		out = append(out, entry(first+uint64(k), term, n))
	}
	return out
}

// model is what a log should hold.
type model []*raft.Log

func (m model) with(logs []*raft.Log) model { return append(m[:len(m):len(m)], logs...) }

func (m model) without(min, max uint64) model {
	var out model
	for _, e := range m {
		if e.Index < min || e.Index > max {
			out = append(out, e)
		}
	}
	return out
}

func (m model) bounds() (first, last uint64) {
	if len(m) == 0 {
		return 0, 0
	}
	return m[0].Index, m[len(m)-1].Index
}

// differs says how l differs from m, "" if it does not.
func (m model) differs(l *Log) string {
	wantFirst, wantLast := m.bounds()
	first, err1 := l.FirstIndex()
	last, err2 := l.LastIndex()
	if err1 != nil || err2 != nil || first != wantFirst || last != wantLast {
		return fmt.Sprintf("log is [%d, %d] (%v, %v), want [%d, %d]", first, last, err1, err2, wantFirst, wantLast)
	}
	var got raft.Log
	for _, want := range m {
		if err := l.GetLog(want.Index, &got); err != nil {
			return fmt.Sprintf("entry %d: %v", want.Index, err)
		}
		if !sameEntry(&got, want) {
			return fmt.Sprintf("entry %d is\n%+v, want\n%+v", want.Index, got, *want)
		}
	}
	for _, i := range []uint64{0, wantFirst - 1, wantLast + 1} {
		if err := l.GetLog(i, &got); err != raft.ErrLogNotFound { // raft compares
			return fmt.Sprintf("entry %d outside of the log: %v", i, err)
		}
	}
	return ""
}

func sameEntry(a, b *raft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && bytes.Equal(a.Data, b.Data) &&
		bytes.Equal(a.Extensions, b.Extensions) && a.AppendedAt.Equal(b.AppendedAt)
}

// step is one call of a workload: an append, or a DeleteRange if logs is nil.
type step struct {
	logs     []*raft.Log
	min, max uint64
}

func (s step) run(l *Log) error {
	if s.logs != nil {
		return l.StoreLogs(s.logs)
	}
	return l.DeleteRange(s.min, s.max)
}

func (s step) after(m model) model {
	if s.logs != nil {
		return m.with(s.logs)
	}
	return m.without(s.min, s.max)
}

func mustOpen(t testing.TB, fs vfs.FS, segmentBytes int64) *Log {
	t.Helper()
	l, err := Open(Options{FS: fs, Dir: "wal", SegmentBytes: segmentBytes})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// awaitPrepared waits until the next segment is there, so that the files a test
// looks at do not depend on how far the preparation has come.
func (l *Log) awaitPrepared() {
	next := <-l.prep.ready
	l.prep.ready <- next
}

// readDir returns the contents of the segments in wal.
func readDir(t testing.TB, fs vfs.FS) map[string][]byte {
	t.Helper()
	names, err := fs.List("wal")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		if _, ok := parseSegmentName(name); !ok {
			continue
		}
		f, err := fs.Open("wal/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if files[name], err = io.ReadAll(f); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// memDir is a file system with files in wal.
func memDir(t testing.TB, files map[string][]byte) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	if err := fs.MkdirAll("wal", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		f, err := fs.Create("wal/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(slices.Clone(b)); err != nil { // MemFS may scribble on what it is given
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}
