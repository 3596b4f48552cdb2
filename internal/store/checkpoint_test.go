package store

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"purser/internal/crashfs"
)

// pageSet is the content of a checkpoint.
type pageSet map[PageKey]string

// sorted yields the pages in the order that Checkpoint asks for, from memory
// that it reuses.
func (p pageSet) sorted() iter.Seq2[PageKey, []byte] {
	return func(yield func(PageKey, []byte) bool) {
		var keys []PageKey
		for key := range p {
			keys = append(keys, key)
		}
		slices.SortFunc(keys, func(a, b PageKey) int {
			return strings.Compare(string(pageRowKey(nil, a)), string(pageRowKey(nil, b)))
		})
		var value []byte
		for _, key := range keys {
			value = append(value[:0], p[key]...)
			if !yield(key, value) {
				return
			}
		}
	}
}

// brief names the pages and the beginning of each.
func (p pageSet) brief() (list []string) {
	for key, value := range p.sorted() {
		list = append(list, fmt.Sprintf("%v=%.8q", key, value))
	}
	return list
}

func pagesOf(t testing.TB, s *Store) pageSet {
	t.Helper()
	pages := pageSet{}
	err := s.Pages(func(key PageKey, value []byte) error {
		pages[key] = string(value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

func TestCheckpointReplacesPagesAndMeta(t *testing.T) {
	s := openMem(t)
	if _, ok, err := s.LoadCheckpoint(); ok || err != nil {
		t.Fatalf("an empty store has a checkpoint: ok %v, error %v", ok, err)
	}
	steps := []struct {
		meta    string
		pages   pageSet
		replace bool
		want    pageSet
	}{
		{"one", pageSet{{0, 0}: "a", {0, 1}: "b", {1, 0}: "c"}, false, pageSet{{0, 0}: "a", {0, 1}: "b", {1, 0}: "c"}},
		{"two", pageSet{{0, 1}: "B", {2, 7}: "d"}, false, pageSet{{0, 0}: "a", {0, 1}: "B", {1, 0}: "c", {2, 7}: "d"}},
		{"three", nil, false, pageSet{{0, 0}: "a", {0, 1}: "B", {1, 0}: "c", {2, 7}: "d"}},
		{"four", pageSet{{0, 0}: "new", {0, 9}: "layout"}, true, pageSet{{0, 0}: "new", {0, 9}: "layout"}},
		{"five", nil, true, pageSet{}},
		{"", pageSet{{1<<32 - 1, 1<<32 - 1}: ""}, false, pageSet{{1<<32 - 1, 1<<32 - 1}: ""}},
	}
	for _, step := range steps {
		cp := Checkpoint{Meta: []byte(step.meta), Pages: step.pages.sorted(), Replace: step.replace}
		if err := s.WriteCheckpoint(cp); err != nil {
			t.Fatal(err)
		}
		meta, ok, err := s.LoadCheckpoint()
		if err != nil || !ok || string(meta) != step.meta {
			t.Fatalf("meta %q, ok %v, error %v; want %q", meta, ok, err, step.meta)
		}
		if diff := cmp.Diff(step.want, pagesOf(t, s)); diff != "" {
			t.Fatalf("%s: %s", step.meta, diff)
		}
	}
}

// Pages out of order would make a table that cannot be searched.
func TestCheckpointRefusesPagesOutOfOrder(t *testing.T) {
	s := openMem(t)
	old := pageSet{{1, 1}: "old"}
	if err := s.WriteCheckpoint(Checkpoint{Meta: []byte("old"), Pages: old.sorted()}); err != nil {
		t.Fatal(err)
	}
	err := s.WriteCheckpoint(Checkpoint{Meta: []byte("new"), Pages: func(yield func(PageKey, []byte) bool) {
		_ = yield(PageKey{2, 0}, []byte("x")) && yield(PageKey{1, 0}, []byte("y"))
	}})
	if err == nil {
		t.Fatal("no error")
	}
	if meta, _, _ := s.LoadCheckpoint(); string(meta) != "old" {
		t.Errorf("meta %q after a refused checkpoint", meta)
	}
	if diff := cmp.Diff(old, pagesOf(t, s)); diff != "" {
		t.Error(diff)
	}
	left, err := s.fs.List(s.scratch)
	if err != nil || len(left) > 0 {
		t.Errorf("tables left behind: %v, error %v", left, err)
	}
}

func TestCheckpointDropsExpiredHolds(t *testing.T) {
	s, m := filled(t, 13, 40, 40)
	all, err := s.Due(ExpiryCursor{}, 1<<62, 1<<30, m.next())
	if err != nil || len(all) < 20 {
		t.Fatalf("%d holds, error %v", len(all), err)
	}
	cursor := all[len(all)/2]
	if err := s.WriteCheckpoint(Checkpoint{ExpiredBefore: cursor}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Due(ExpiryCursor{}, 1<<62, 1<<30, m.next())
	if err != nil || !slices.Equal(got, all[len(all)/2+1:]) {
		t.Errorf("%v left, error %v; want what lies behind %v", got, err, cursor)
	}
}

func TestACopyHoldsTheCheckpointAndTheJournal(t *testing.T) {
	fs := crashfs.New()
	s, err := Open(Options{FS: fs, Dir: "db", MemTableBytes: minMemTableBytes})
	if err != nil {
		t.Fatal(err)
	}
	m := newModel()
	m.commit(t, s, create("alice", usd), pay("world:USD", "alice", usd, 5))
	pages := pageSet{{0, 0}: "page"}
	if err := s.WriteCheckpoint(Checkpoint{Meta: []byte("meta"), Pages: pages.sorted()}); err != nil {
		t.Fatal(err)
	}
	m.commit(t, s, pay("alice", "world:USD", usd, 2))
	if err := s.SaveTo("copy"); err != nil {
		t.Fatal(err)
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	if err := s.SaveTo("copy"); err == nil {
		t.Error("a copy went over another")
	}
	closeStore(t, s)

	c, err := Open(Options{FS: crashed, Dir: "copy"})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, c)
	if meta, ok, err := c.LoadCheckpoint(); !ok || err != nil || string(meta) != "meta" {
		t.Errorf("meta %q, ok %v, error %v", meta, ok, err)
	}
	if diff := cmp.Diff(pages, pagesOf(t, c)); diff != "" {
		t.Error(diff)
	}
	for _, want := range m.records {
		got, ok, err := c.Record(want.Seq)
		if !ok || err != nil || cmp.Diff(row(want), got) != "" {
			t.Errorf("row %d: ok %v, error %v", want.Seq, ok, err)
		}
	}
}

func TestIngestSortedIsVisibleAtOnce(t *testing.T) {
	s := openMem(t)
	rows := func(n int) iter.Seq2[[]byte, []byte] {
		return func(yield func(k, v []byte) bool) {
			for i := range n {
				if !yield(fmt.Appendf(nil, "k%03d", i), fmt.Appendf(nil, "%d", n)) {
					return
				}
			}
		}
	}
	for _, n := range []int{0, 1, 100, 10} {
		if err := s.ingestSorted(rows(n), keyRange{}); err != nil {
			t.Fatal(err)
		}
		got := 0
		err := s.scanRange([]byte("k"), []byte("l"), func(key, value []byte) error {
			if string(value) == fmt.Sprint(n) {
				got++
			}
			return nil
		})
		if err != nil || got != n {
			t.Errorf("%d rows of %d, error %v", got, n, err)
		}
	}
	if err := s.deleteRange([]byte("k010"), []byte("k099")); err != nil {
		t.Fatal(err)
	}
	if n := len(dump(t, s)); n != 11 {
		t.Errorf("%d rows after a deletion, want 11", n)
	}
	stop := errors.New("stop")
	if err := s.scanRange([]byte("k"), []byte("l"), func(_, _ []byte) error { return stop }); err != stop {
		t.Errorf("error %v", err)
	}
}

func TestOptionsReportEveryFault(t *testing.T) {
	err := Options{CacheBytes: -1, MemTableBytes: 1, SlowDisk: -1}.Validate()
	for _, name := range []string{"Dir", "CacheBytes", "MemTableBytes", "SlowDisk"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v does not name %s", err, name)
		}
	}
	if _, err := Open(Options{}); err == nil {
		t.Error("opened without a directory")
	}
}

func TestWorldHistoriesDoNotMix(t *testing.T) {
	if string(historyKey(nil, History{World: usd}, 1)) == string(historyKey(nil, History{World: eur}, 1)) {
		t.Error("two currencies have one history")
	}
	if h := (History{Account: 1<<56 - 1}); h.append(nil)[0] == worldMarker {
		t.Error("an account looks like a world account")
	}
}
