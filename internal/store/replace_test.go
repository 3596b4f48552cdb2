package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"purser/internal/crashfs"
	"purser/internal/ledger"
)

// wholeSet returns n pages of 64 KiB that do not compress.
func wholeSet(rng *rand.Rand, n int) pageSet {
	pages := pageSet{}
	for i := range n {
		value := make([]byte, 64<<10)
		for at := range value {
			value[at] = byte(rng.Uint32())
		}
		pages[PageKey{Shard: uint32(i % 2), Page: uint32(i)}] = string(value)
	}
	return pages
}

// pageTables returns the tables with rows of the checkpoint, by level.
func pageTables(t testing.TB, s *Store) (tables [7][]pebble.SSTableInfo) {
	t.Helper()
	levels, err := s.db.SSTables()
	if err != nil {
		t.Fatal(err)
	}
	for level, list := range levels {
		for _, table := range list {
			if table.Smallest.UserKey[0] <= prefixCheckpoint {
				tables[level] = append(tables[level], table)
			}
		}
	}
	return tables
}

// However many whole checkpoints there are, and whatever is compacted between
// them, pages are written once each: by the checkpoint.
func TestWholeCheckpointsAreNotCompacted(t *testing.T) {
	s, err := Open(smallStore(vfs.NewMem(), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	const pages = 32
	rng, m := seeded(31), newModel()
	for n := 1; s.db.Metrics().Compact.Count < 3; n++ {
		if n > 200 {
			t.Fatalf("%d checkpoints and no three compactions: the test shows nothing", n)
		}
		m.commit(t, s, m.random(rng, 5)...)
		cp := Checkpoint{Meta: fmt.Append(nil, n), Pages: wholeSet(rng, pages).sorted(), Replace: true}
		if err := s.WriteCheckpoint(cp); err != nil {
			t.Fatal(err)
		}
		tables := pageTables(t, s)
		if lowest := tables[6]; len(lowest) != 1 || lowest[0].Virtual {
			t.Fatalf("after checkpoint %d the lowest level has %d tables of pages: %v", n, len(lowest), lowest)
		}
		for level, list := range tables[:6] {
			if len(list) > 0 {
				t.Fatalf("after checkpoint %d, %d tables of pages are in level %d", n, len(list), level)
			}
		}
	}
	total := s.db.Metrics().Total()
	if total.TableBytesCompacted == 0 || total.TableBytesCompacted >= pages*64<<10 {
		t.Errorf("%d bytes were compacted and %d ingested", total.TableBytesCompacted, total.TableBytesIngested)
	}
}

// A compaction writes pages and other rows into different tables: a checkpoint
// that drops the pages then drops tables, and leaves no part of one.
func TestPagesHaveTablesOfTheirOwn(t *testing.T) {
	s, m := filled(t, 32, 20, 20)
	rng := seeded(32)
	for n := range 3 {
		cp := Checkpoint{Meta: fmt.Append(nil, n), Pages: wholeSet(rng, 3).sorted()}
		if err := s.WriteCheckpoint(cp); err != nil {
			t.Fatal(err)
		}
		m.commit(t, s, m.random(rng, 20)...)
	}
	if err := s.db.Compact(t.Context(), []byte{prefixCheckpoint}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	levels := pageTables(t, s)
	for _, table := range slices.Concat(levels[:]...) {
		if table.Largest.UserKey[0] != prefixCheckpoint {
			t.Errorf("one table goes from %s to %s", table.Smallest, table.Largest)
		}
	}
	if err := s.WriteCheckpoint(Checkpoint{Meta: []byte("m"), Replace: true}); err != nil {
		t.Fatal(err)
	}
	if n := s.db.Metrics().NumVirtual(); n > 0 {
		t.Errorf("%d virtual tables are left", n)
	}
}

// oldStore has a checkpoint in one table with other rows, as earlier releases
// compacted them: a checkpoint that replaces it has to leave a part of that.
func oldStore(t testing.TB, fs vfs.FS) (s *Store, pages pageSet, others map[string]string) {
	t.Helper()
	s, err := Open(smallStore(fs, nil))
	if err != nil {
		t.Fatal(err)
	}
	pages = wholeSet(seeded(33), 4)
	others = map[string]string{}
	err = s.ingestSorted(func(yield func(key, value []byte) bool) {
		cp := Checkpoint{Meta: []byte("old"), Pages: pages.sorted()}
		for key, value := range cp.rows() {
			if !yield(key, value) {
				return
			}
		}
		for i := range uint64(100) {
			key, value := eventKey(nil, i, i+1), fmt.Append(nil, i)
			others[string(key)] = string(value)
			if !yield(key, value) {
				return
			}
		}
	}, keyRange{})
	if err != nil {
		t.Fatal(err)
	}
	if levels := pageTables(t, s); len(levels[6]) != 1 || levels[6][0].Largest.UserKey[0] != prefixEvent {
		t.Fatalf("the tables are %v", levels)
	}
	return s, pages, others
}

// checkReplaced verifies that s has one of two checkpoints, whole, and the other
// rows. It returns the meta.
func checkReplaced(t testing.TB, s *Store, states map[string]pageSet, others map[string]string) string {
	t.Helper()
	meta, _, err := s.LoadCheckpoint()
	if err != nil {
		t.Fatal(err)
	}
	want, ok := states[string(meta)]
	if got := pagesOf(t, s); !ok || !maps.Equal(got, want) {
		t.Fatalf("checkpoint %q has pages %v", meta, got.brief())
	}
	rows := map[string]string{}
	for key, value := range dump(t, s) {
		if key[0] != prefixCheckpoint {
			rows[key] = value
		}
	}
	if diff := cmp.Diff(others, rows); diff != "" {
		t.Fatalf("checkpoint %q: other rows (-want +got):\n%s", meta, diff)
	}
	return string(meta)
}

// A crash anywhere in a whole checkpoint leaves the earlier one or that, whole,
// also where tables with other rows are cut; so does it while such a store opens.
func TestCrashWhileATableIsCut(t *testing.T) {
	fs := crashfs.New()
	var mu sync.Mutex
	var clones []*crashfs.FS
	armed := false
	rng := seeded(34)
	take := errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if !armed || op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return nil
		}
		for _, percent := range []int{0, 50, 100} {
			clones = append(clones, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
		}
		return nil
	})
	arm := func(on bool) { mu.Lock(); armed = on; mu.Unlock() }
	s, old, others := oldStore(t, errorfs.Wrap(fs, take))
	states := map[string]pageSet{"old": old, "new": wholeSet(rng, 2)}
	arm(true)
	if err := s.WriteCheckpoint(Checkpoint{Meta: []byte("new"), Pages: states["new"].sorted(), Replace: true}); err != nil {
		t.Fatal(err)
	}
	arm(false)
	if n := s.db.Metrics().NumVirtual(); n != 1 {
		t.Fatalf("%d virtual tables: the test shows nothing", n)
	}
	// Nothing more is asked of the disk: the checkpoint is durable when it returns.
	clones = append(clones, fs.CrashClone(vfs.CrashCloneCfg{}))
	closeStore(t, s)
	met := map[string]int{}
	for i, crashed := range clones {
		s, err := Open(smallStore(crashed, nil))
		if err != nil {
			t.Fatalf("crash %d: %v", i, err)
		}
		meta := checkReplaced(t, s, states, others)
		met[meta]++
		if i == len(clones)-1 && meta != "new" {
			t.Error("the checkpoint was not durable when it returned")
		}
		closeStore(t, s)
	}
	if met["old"] < 10 || met["new"] < 2 {
		t.Errorf("checkpoints after %d crashes: %v; the test shows nothing", len(clones), met)
	}
}

// What reads the earlier checkpoint goes on to read it, and a copy of the
// directory has what it had: both when it is made before a whole checkpoint and
// when it is made behind one that cut a table.
func TestWholeCheckpointBesideReadersAndCopies(t *testing.T) {
	fs := vfs.NewMem()
	s, old, others := oldStore(t, fs)
	states := map[string]pageSet{"old": old, "new": wholeSet(seeded(35), 2)}
	reader, err := s.iterate(pageRange().start, pageRange().end)
	if err != nil {
		t.Fatal(err)
	}
	if !reader.First() {
		t.Fatal("no page")
	}
	if err := s.SaveTo("before"); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteCheckpoint(Checkpoint{Meta: []byte("new"), Pages: states["new"].sorted(), Replace: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveTo("behind"); err != nil {
		t.Fatal(err)
	}
	read := 1
	for reader.Next() {
		read++
	}
	if err := reader.Close(); err != nil || read != len(old) {
		t.Errorf("%d pages of %d were read, error %v", read, len(old), err)
	}
	if meta := checkReplaced(t, s, states, others); meta != "new" {
		t.Errorf("checkpoint %q", meta)
	}
	closeStore(t, s)
	for dir, want := range map[string]string{"db": "new", "before": "old", "behind": "new"} {
		o := smallStore(fs, nil)
		o.Dir = dir
		s, err := Open(o)
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		if meta := checkReplaced(t, s, states, others); meta != want {
			t.Errorf("%s has checkpoint %q, want %q", dir, meta, want)
		}
		closeStore(t, s)
	}
}

// Flushes and compactions go on beside whole checkpoints. Pebble would fail a
// flush that encloses what a checkpoint replaces; none does.
func TestWholeCheckpointsBesideFlushes(t *testing.T) {
	fatal := make(chan error, 1)
	s, err := Open(smallStore(vfs.NewMem(), func(err error) {
		select {
		case fatal <- err:
		default:
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	rng, m := seeded(36), newModel()
	var entries [][]*ledger.Record
	for range 30 {
		entries = append(entries, m.execute(m.random(rng, 100)))
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := 0; ; n++ { // the same rows again and again
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := m.write(s, entries[n%len(entries)]); err != nil {
				stopped <- err
				return
			}
		}
	}()
	pages := wholeSet(rng, 16)
	checkpoints, flushes := int64(0), int64(0)
	for ; checkpoints < 60 || flushes < 2*checkpoints; checkpoints++ {
		cp := Checkpoint{Meta: []byte("m"), Pages: pages.sorted(), Replace: checkpoints%4 > 0}
		if err := s.WriteCheckpoint(cp); err != nil {
			t.Fatal(err)
		}
		flushes = s.db.Metrics().Flush.Count
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	select {
	case err := <-fatal:
		t.Error(err)
	default:
	}
	t.Logf("%d checkpoints, %d flushes, %d compactions of which %d were cancelled", checkpoints, flushes,
		s.db.Metrics().Compact.Count, s.db.Metrics().Compact.CancelledCount)
}

// All that commits write is above the checkpoint, as replaceSorted needs it.
func TestCheckpointComesFirst(t *testing.T) {
	for _, prefix := range []byte{prefixEvent, prefixHistory, prefixID, prefixJournal, prefixKeys, prefixExpiry} {
		if prefix <= prefixCheckpoint {
			t.Errorf("rows %q do not come behind the checkpoint", prefix)
		}
	}
}
