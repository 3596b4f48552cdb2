package store

import (
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"purser/internal/pace"
)

// categories records why files are created.
type categories struct {
	vfs.FS
	mu   sync.Mutex
	seen map[vfs.DiskWriteCategory]int
}

func (fs *categories) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	fs.mu.Lock()
	fs.seen[category]++
	fs.mu.Unlock()
	return fs.FS.Create(name, category)
}

// TestPacedCategories: flushes and compactions of Pebble go by the names that
// pacedFS knows them by, so that a new release cannot quietly leave them unpaced.
func TestPacedCategories(t *testing.T) {
	fs := &categories{FS: vfs.NewMem(), seen: map[vfs.DiskWriteCategory]int{}}
	s, err := Open(smallStore(fs, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	rng, m := seeded(7), newModel()
	for range 3 {
		m.commit(t, s, m.random(rng, 50)...)
		if err := s.flush("the test"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.seen[flushed] == 0 || fs.seen[compacted] == 0 {
		t.Errorf("tables were written as %v", fs.seen)
	}
}

// TestTablesRestWhileAhead: what is written for flushes and compactions rests while
// something is committed and it keeps ahead of that, and nothing else ever does.
func TestTablesRestWhileAhead(t *testing.T) {
	p := new(pacer)
	p.committed.Store(1000)
	fs := pacedFS{vfs.NewMem(), p}
	for _, category := range []vfs.DiskWriteCategory{flushed, compacted} {
		f, err := fs.Create("table", category)
		if err != nil {
			t.Fatal(err)
		}
		table, ok := f.(*pacedFile)
		if !ok {
			t.Fatalf("what is written as %s is not paced", category)
		}
		expect := func(what string, want pace.Urgency) {
			t.Helper()
			if got := table.urgency(); got != want {
				t.Errorf("%s, %s: urgency %d, want %d", category, what, got, want)
			}
		}
		write := func(n int) {
			t.Helper()
			if got, err := table.Write(make([]byte, n)); got != n || err != nil {
				t.Fatal(got, err)
			}
		}
		write(10*lead - 1)
		expect("nothing is committed since", pace.Pressed)
		p.committed.Add(10)
		expect("not far enough ahead", pace.Pressed)
		write(1 + lead)
		p.committed.Add(1)
		expect("ahead", pace.Calm)
		expect("nothing is committed since the last look", pace.Pressed)
		p.committed.Add(1)
		expect("overtaken", pace.Pressed)
		if err := table.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f, err := fs.Create("log", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, paced := f.(*pacedFile); paced {
		t.Error("every file is paced")
	}
	table := &pacedFile{pacer: p, since: p.committed.Load(), written: 1 << 20}
	if table.urgency() != pace.Calm {
		t.Error("a table that is far ahead does not rest")
	}
	p.committed.Add(1)
	if p.closing.Store(true); table.urgency() != pace.Pressed {
		t.Error("the end of the store waits for rests")
	}
}
