package store

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"purser/internal/crashfs"
	"purser/internal/ledger"
)

// workload drives a store the way the server does: entries, and now and then a
// checkpoint. It remembers what every checkpoint must consist of.
type workload struct {
	entries [][]*ledger.Record // by log index, from 1 on
	stamps  []ledger.Micros
	rows    map[string]writtenRow // every row of the journal and its indexes
	states  []checkpointState     // the first is the state before any checkpoint
}

// progress is how far one run of a workload has come.
type progress struct {
	started atomic.Int64 // checkpoints begun
	done    atomic.Int64 // checkpoints that returned without an error
}

type writtenRow struct {
	index uint64 // of the entry that writes it
	value string
}

type checkpointState struct {
	index  uint64 // entries that it covers
	seq    uint64 // and their rows
	pages  pageSet
	write  pageSet // what is handed to WriteCheckpoint: the changes
	all    bool    // Replace
	cursor ExpiryCursor
}

// newWorkload plans entries and checkpoints, and notes the rows of each entry by
// writing it to a store of its own.
func newWorkload(t testing.TB, seed uint64, entries int) *workload {
	rng := rand.New(rand.NewPCG(seed, 0))
	m := newModel()
	w := &workload{rows: map[string]writtenRow{}, states: []checkpointState{{pages: pageSet{}}}}
	for range entries {
		size := rng.IntN(80)
		if rng.IntN(8) == 0 {
			size += 400 // more than half a memtable: Pebble queues it on its own
		}
		records := m.execute(m.random(rng, size))
		w.entries, w.stamps = append(w.entries, records), append(w.stamps, m.now)
		if rng.IntN(8) == 0 {
			w.plan(rng, m)
		}
	}
	w.plan(rng, m)
	s := openMem(t)
	for index := range w.entries {
		err := w.commit(s, uint64(index)+1)
		if err != nil {
			t.Fatal(err)
		}
		for key, value := range dump(t, s) {
			if _, known := w.rows[key]; !known {
				w.rows[key] = writtenRow{index: uint64(index) + 1, value: value}
			}
		}
	}
	return w
}

// plan adds a checkpoint of the model as it is.
func (w *workload) plan(rng *rand.Rand, m *model) {
	last := w.states[len(w.states)-1]
	state := checkpointState{
		index: m.index, seq: m.next() - 1, pages: maps.Clone(last.pages), write: pageSet{},
		all: len(w.states)%2 == 0, cursor: ExpiryCursor{At: m.now, Seq: m.next()},
	}
	if state.all {
		state.pages = pageSet{}
	}
	for range rng.IntN(10) {
		key := PageKey{Shard: rng.Uint32N(3), Page: rng.Uint32N(4)}
		state.write[key] = strings.Repeat(fmt.Sprintf("%d/%v ", len(w.states), key), 1+rng.IntN(2000))
		state.pages[key] = state.write[key]
	}
	w.states = append(w.states, state)
}

func (w *workload) commit(s *Store, index uint64) error {
	b := s.Begin(index, w.stamps[index-1])
	for _, rec := range w.entries[index-1] {
		b.Add(rec)
	}
	b.Digest(0)
	return b.Commit()
}

// run plays the workload from the state after the n-th checkpoint on, and stops
// at the first error.
func (w *workload) run(s *Store, n int, p *progress) error {
	for index := w.states[n].index + 1; index <= uint64(len(w.entries)); index++ {
		if err := w.commit(s, index); err != nil {
			return err
		}
		for n+1 < len(w.states) && w.states[n+1].index == index {
			n++
			p.started.Store(int64(n))
			state := w.states[n]
			err := s.WriteCheckpoint(Checkpoint{
				Meta:  binary.BigEndian.AppendUint64(nil, uint64(n)),
				Pages: state.write.sorted(), Replace: state.all, ExpiredBefore: state.cursor,
			})
			if err != nil {
				return err
			}
			p.done.Store(int64(n))
		}
	}
	return nil
}

// check opens what a crash left in fs and verifies it: a whole checkpoint
// between the oldest and newest that it can be, all rows that it covers, and of
// the later entries a prefix. Then it replays, and compares the result. It returns
// the number of the checkpoint.
func (w *workload) check(t testing.TB, fs vfs.FS, oldest, newest int64) int64 {
	t.Helper()
	s, err := Open(smallStore(fs, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	meta, ok, err := s.LoadCheckpoint()
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	if ok {
		n = int64(binary.BigEndian.Uint64(meta))
	}
	if n < oldest || n > newest {
		t.Fatalf("checkpoint %d after the crash; the last complete one is %d, the last begun %d", n, oldest, newest)
	}
	state := w.states[n]
	if pages := pagesOf(t, s); !maps.Equal(pages, state.pages) {
		t.Fatalf("checkpoint %d has pages %v, want %v", n, pages.brief(), state.pages.brief())
	}
	w.checkRows(t, s, state)
	w.checkReads(t, s, state)
	if err := w.run(s, int(n), new(progress)); err != nil {
		t.Fatal(err)
	}
	w.checkRows(t, s, checkpointState{index: uint64(len(w.entries)), cursor: state.cursor})
	return n
}

// checkRows verifies that the rows in s are exactly those of a prefix of the
// entries that reaches at least to that of state. Rows of lapsed holds may be
// gone or back.
func (w *workload) checkRows(t testing.TB, s *Store, state checkpointState) {
	t.Helper()
	reach := state.index
	got := dump(t, s)
	for key, value := range got {
		if key[0] == prefixCheckpoint {
			continue
		}
		want, known := w.rows[key]
		if !known || want.value != value {
			t.Fatalf("row %x has value %x; written was %x, by entry %d", key, value, want.value, want.index)
		}
		reach = max(reach, want.index)
	}
	for key, want := range w.rows {
		if want.index > reach || key[0] == prefixExpiry {
			continue
		}
		if _, ok := got[key]; !ok {
			t.Fatalf("row %x of entry %d is missing; the checkpoint covers %d, rows reach to %d",
				key, want.index, state.index, reach)
		}
	}
}

// checkReads verifies the reads that a restart begins with.
func (w *workload) checkReads(t testing.TB, s *Store, state checkpointState) {
	t.Helper()
	var due []ExpiryCursor
	seq := uint64(0)
	for _, records := range w.entries[:state.index] {
		for _, rec := range records {
			seq = rec.Seq
			at := rec.Command.HoldUntil(rec.Time)
			if rec.Code == ledger.OK && rec.Command.Kind == ledger.Authorize && at > state.cursor.At {
				due = append(due, ExpiryCursor{At: at, Seq: rec.Seq})
			}
		}
	}
	slices.SortFunc(due, compareExpiries)
	got, err := s.Due(state.cursor, 1<<62, 1<<30, state.seq+1)
	if err != nil || !slices.Equal(got, due) {
		t.Fatalf("due %v, error %v; want %v", got, err, due)
	}
	count := uint64(0)
	err = s.ScanRecords(1, state.seq+1, func(*ledger.Record) error { count++; return nil })
	if err != nil || count != seq {
		t.Fatalf("%d rows of %d, error %v", count, seq, err)
	}
}

// smallStore flushes every few entries, and compacts often.
func smallStore(fs vfs.FS, fatal func(error)) Options {
	return Options{FS: fs, Dir: "db", MemTableBytes: minMemTableBytes, CacheBytes: 1 << 20, Fatal: fatal}
}

// TestCrash clones the disk at every sync, and before a part of the other
// writes, and checks what each clone recovers to: with nothing that was not
// synced, with half of it at random, and with all of it.
func TestCrash(t *testing.T) {
	seeds, entries := []uint64{1, 2, 3}, 60
	if testing.Short() {
		seeds, entries = seeds[:1], 25
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { crashEverywhere(t, seed, entries) })
	}
}

type crash struct {
	fs             *crashfs.FS
	oldest, newest int64
	what           string
}

func crashEverywhere(t *testing.T, seed uint64, entries int) {
	w := newWorkload(t, seed, entries)
	fs := crashfs.New()
	var mu sync.Mutex // the store writes on several goroutines
	var crashes []crash
	syncs := 0
	var p progress
	rng := rand.New(rand.NewPCG(seed, 1))
	take := errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if sync {
			syncs++
		}
		if !sync && (op.Kind.ReadOrWrite() == errorfs.OpIsRead || rng.IntN(20) > 0) {
			return nil
		}
		for _, percent := range []int{0, 50, 100} {
			c := crash{oldest: p.done.Load(), what: fmt.Sprintf("seed %d, operation %v on %s, %d%% of what was not synced",
				seed, op.Kind, op.Path, percent)}
			c.fs = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			c.newest = p.started.Load()
			crashes = append(crashes, c)
		}
		return nil
	})
	s, err := Open(smallStore(errorfs.Wrap(fs, take), nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(s, 0, &p); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	// Opening writes too: a new manifest, and its marker.
	if s, err = Open(smallStore(errorfs.Wrap(fs, take), nil)); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if last := int64(len(w.states) - 1); p.done.Load() != last || last < 3 || syncs < 20 {
		t.Fatalf("%d checkpoints of %d, %d syncs: the test shows nothing", p.done.Load(), last, syncs)
	}
	t.Logf("seed %d: %d crashes, %d syncs, %d checkpoints", seed, len(crashes), syncs, p.done.Load())
	var before, behind int // crashes within a checkpoint of all pages, by what they left
	for i, c := range crashes {
		if !t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Log(c.what)
			n := w.check(t, c.fs, c.oldest, c.newest)
			switch {
			case c.oldest == c.newest || !w.states[c.newest].all:
			case n == c.newest:
				behind++
			default:
				before++
			}
		}) {
			return
		}
	}
	if before == 0 || behind == 0 {
		t.Errorf("crashes within a checkpoint of all pages left the one before %d times, and it %d times: the test shows nothing",
			before, behind)
	}
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// A table whose keys overlap rows in memory must be durable too when the call
// returns, and lie above them.
func TestAnIngestedTableIsDurableOverRowsInMemory(t *testing.T) {
	fs := crashfs.New()
	s, err := Open(smallStore(fs, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.deleteRange([]byte("k0"), []byte("k9")); err != nil {
		t.Fatal(err)
	}
	err = s.ingestSorted(func(yield func(k, v []byte) bool) { yield([]byte("k5"), []byte("value")) }, keyRange{})
	if err != nil {
		t.Fatal(err)
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	closeStore(t, s)
	if s, err = Open(smallStore(crashed, nil)); err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	if value, ok, err := s.get([]byte("k5")); !ok || err != nil || string(value) != "value" {
		t.Errorf("value %q, ok %v, error %v", value, ok, err)
	}
}
