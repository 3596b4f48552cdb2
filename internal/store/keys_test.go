package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"purser/internal/ledger"
)

func TestKeysSealByCount(t *testing.T) {
	k := openTestKeys(t, newMemRows(), KeyOptions{RunKeys: 4}, nil)
	for seq := range uint64(13) {
		insertKey(t, k, seq, seq+1, ledger.Micros(seq))
		await(t, k)
	}
	want := []runInfo{
		{number: 1, keys: 4, first: 1, last: 4, newest: 3},
		{number: 2, keys: 4, first: 5, last: 8, newest: 7},
		{number: 3, keys: 4, first: 9, last: 12, newest: 11},
	}
	if diff := cmp.Diff(want, runsOf(t, k), cmp.AllowUnexported(runInfo{})); diff != "" {
		t.Error(diff)
	}
	if s := k.Stats(); s.InMemory != 1 || s.Sealed != 12 || s.Runs != 3 {
		t.Errorf("stats %+v", s)
	}
}

func TestKeysSealByTime(t *testing.T) {
	k := openTestKeys(t, newMemRows(), KeyOptions{RunSpan: 10}, nil)
	for i, at := range []ledger.Micros{100, 109, 110, 119, 500} {
		insertKey(t, k, 7, uint64(i)+1, at)
		await(t, k)
	}
	want := []runInfo{
		{number: 1, keys: 2, first: 1, last: 2, newest: 109},
		{number: 2, keys: 2, first: 3, last: 4, newest: 119},
	}
	if diff := cmp.Diff(want, runsOf(t, k), cmp.AllowUnexported(runInfo{})); diff != "" {
		t.Error(diff)
	}
	if got := candidatesOf(t, k, 7); !slices.Equal(got, []uint64{5, 4, 3, 2, 1}) {
		t.Errorf("candidates %v", got)
	}
}

func runsOf(t testing.TB, k *Keys) []runInfo {
	t.Helper()
	m, err := decodeKeyMeta(k.Meta())
	if err != nil {
		t.Fatal(err)
	}
	return m.runs
}

// A run is dropped as soon as its newest key has expired, not before, and its
// rows are deleted when a checkpoint without it is durable, not before.
func TestKeysDropInTwoSteps(t *testing.T) {
	rows := newMemRows()
	k := openTestKeys(t, rows, KeyOptions{Retention: 100, RunKeys: 2, RunSpan: 50}, nil)
	for seq := range uint64(7) {
		insertKey(t, k, seq, seq+1, ledger.Micros(10*seq))
		await(t, k)
	}
	perRun := len(rows.rows) / 3
	drop := func(now ledger.Micros, runs int) {
		t.Helper()
		k.Begin()
		k.Drop(now)
		if err := k.End(); err != nil {
			t.Fatal(err)
		}
		if got := k.Stats().Runs; got != runs {
			t.Errorf("%d runs at %d, want %d", got, now, runs)
		}
	}
	before := k.Meta()
	drop(109, 3) // the newest key of the first run is of time 10
	drop(110, 2)
	if got := candidatesOf(t, k, 0); len(got) != 0 {
		t.Errorf("candidates %v of a dropped run", got)
	}
	if err := k.Checkpointed(before); err != nil {
		t.Fatal(err)
	}
	if len(rows.rows) != 3*perRun {
		t.Errorf("rows deleted that the checkpoint lists: %d are left", len(rows.rows))
	}
	after := k.Meta()
	drop(130, 1)
	if err := k.Checkpointed(after); err != nil {
		t.Fatal(err)
	}
	if len(rows.rows) != 2*perRun {
		t.Errorf("%d rows, want those of two runs, %d", len(rows.rows), 2*perRun)
	}
	drop(150, 0)
	if len(k.groups) != 0 {
		t.Errorf("%d groups of no run", len(k.groups))
	}
}

// Rows outside the bounds of a run are no candidates: they may be from the
// future of a replay.
func TestKeysIgnoreRowsOfAnEarlierLife(t *testing.T) {
	rows := newMemRows()
	k := openTestKeys(t, rows, KeyOptions{RunKeys: 2}, nil)
	insertKey(t, k, 7, 10, 1)
	insertKey(t, k, 7, 12, 2)
	settle(t, k)
	for _, seq := range []uint64{9, 13} {
		rows.rows[string(appendKeyRow(nil, 1, 7, seq))] = ""
	}
	if got := candidatesOf(t, k, 7); !slices.Equal(got, []uint64{12, 10}) {
		t.Errorf("candidates %v, want those of the run", got)
	}
	again := openTestKeys(t, rows, KeyOptions{}, k.Meta())
	await(t, again)
	if got := candidatesOf(t, again, 7); !slices.Equal(got, []uint64{12, 10}) {
		t.Errorf("candidates %v after a restart, want those of the run", got)
	}
}

// A group takes runs while it has room, and the number of groups grows with the
// logarithm of that of the keys.
func TestKeysGroupRuns(t *testing.T) {
	const runKeys = 64
	rows := newMemRows()
	k := openTestKeys(t, rows, KeyOptions{RunKeys: runKeys}, nil)
	seq := uint64(0)
	for range 50 * runKeys {
		seq++
		insertKey(t, k, spread(seq), seq, 1)
	}
	settle(t, k)
	check := func(k *Keys) {
		t.Helper()
		runs := 0
		for _, g := range k.groups {
			keys := 0
			for _, r := range g.runs {
				keys += int(r.keys)
				runs++
			}
			if keys > len(g.filter)*keysPerWord {
				t.Errorf("%d keys in a filter for %d", keys, len(g.filter)*keysPerWord)
			}
		}
		if runs != 50 || len(k.groups) != 5 || len(k.loose) != 0 {
			t.Errorf("%d runs in %d groups, %d in none; want 50, 5, 0", runs, len(k.groups), len(k.loose))
		}
	}
	check(k)
	again := openTestKeys(t, rows, KeyOptions{RunKeys: runKeys}, k.Meta())
	if len(again.loose) != 50 {
		t.Errorf("%d runs in no group after a restart, want 50", len(again.loose))
	}
	await(t, again)
	if n := len(again.groups); n > 5 {
		t.Errorf("%d groups after a restart", n)
	}
}

// A run that cannot be written ends the index, loudly and more than once.
func TestKeysReportARunThatCannotBeWritten(t *testing.T) {
	rows := newMemRows()
	fault := errors.New("disk on fire")
	told := make(chan error, 1)
	k, err := openKeys(rows, noScan, KeyOptions{RunKeys: 2, Fatal: func(err error) { told <- err }}, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	rows.setFail(fault)
	seq := uint64(0)
	insert := func() error {
		seq++
		k.Begin()
		return errors.Join(k.Insert(seq, seq, 1), k.End())
	}
	for range 3 { // the third one seals
		if err := insert(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-told; !errors.Is(err, fault) {
		t.Errorf("Fatal was told %v", err)
	}
	for range 3 {
		k.Begin()
		if err := k.Insert(99, 99, 1); !errors.Is(err, fault) {
			t.Errorf("Insert returned %v", err)
		}
		if err := k.End(); !errors.Is(err, fault) {
			t.Errorf("End returned %v", err)
		}
	}
	if len(k.runs) != 0 || k.frozen == nil || k.from != 1 {
		t.Errorf("the run counts as written: %d runs, from %d", len(k.runs), k.from)
	}
	if err := k.Close(); !errors.Is(err, fault) {
		t.Errorf("Close returned %v", err)
	}
}

// The same when nobody calls between the fault and Close, or when an Insert has
// to wait for the run.
func TestKeysReportALateFault(t *testing.T) {
	fault := errors.New("disk on fire")
	for _, more := range []int{0, 2} {
		rows := newMemRows()
		k, err := openKeys(rows, noScan, KeyOptions{RunKeys: 2}, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		rows.setFail(fault)
		k.Begin()
		for seq := range uint64(3 + more) {
			err = errors.Join(err, k.Insert(seq, seq+1, 1))
		}
		if more > 0 != errors.Is(err, fault) {
			t.Errorf("%d more: Insert returned %v", more, err)
		}
		_ = k.End()
		if err := k.Close(); !errors.Is(err, fault) {
			t.Errorf("%d more: Close returned %v", more, err)
		}
	}
}

func TestKeysReportALookupThatFails(t *testing.T) {
	rows := newMemRows()
	k := openTestKeys(t, rows, KeyOptions{RunKeys: 2}, nil)
	insertKey(t, k, 1, 1, 1)
	settle(t, k)
	fault := errors.New("disk on fire")
	rows.setFail(fault)
	if got, err := k.Find(1, []uint64{5}); !errors.Is(err, fault) || !slices.Equal(got, []uint64{5}) {
		t.Errorf("Find returned %v, %v", got, err)
	}
	rows.setFail(nil)
}

func TestKeysInsertPanicsOutOfOrder(t *testing.T) {
	k := openTestKeys(t, newMemRows(), KeyOptions{}, nil)
	insertKey(t, k, 1, 5, 1)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_ = k.Insert(2, 5, 1)
}

// A filter that is not whole refuses to open: with it, keys would be missed.
func TestKeysRefuseADamagedFilter(t *testing.T) {
	rows := newMemRows()
	k := openTestKeys(t, rows, KeyOptions{RunKeys: 1 << 20}, nil)
	const keys = filterChunkWords*64/blockBitsPerKey + 1000 // two chunks
	for seq := range uint64(keys) {
		insertKey(t, k, spread(seq), seq+1, 1)
	}
	settle(t, k)
	meta := k.Meta()
	first, second := string(appendFilterRow(nil, 1, 0)), string(appendFilterRow(nil, 1, 1))
	if len(rows.rows[second]) == 0 {
		t.Fatal("the filter is not in two chunks")
	}
	flip := func(chunk string, at int) func(map[string]string) {
		return func(r map[string]string) {
			value := []byte(r[chunk])
			value[at] ^= 1
			r[chunk] = string(value)
		}
	}
	for name, damage := range map[string]func(map[string]string){
		"first missing":  func(r map[string]string) { delete(r, first) },
		"second missing": func(r map[string]string) { delete(r, second) },
		"all missing":    func(r map[string]string) { delete(r, first); delete(r, second) },
		"swapped":        func(r map[string]string) { r[first], r[second] = r[second], r[first] },
		"short":          func(r map[string]string) { r[second] = r[second][:len(r[second])-8] },
		"long":           func(r map[string]string) { r[second] += "12345678" },
		"empty":          func(r map[string]string) { r[first] = "" },
		"one more":       func(r map[string]string) { r[string(appendFilterRow(nil, 1, 2))] = r[second] },
		"version":        flip(first, 0),
		"checksum":       flip(second, 5),
		"bit":            flip(first, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			damaged := newMemRows()
			for key, value := range rows.rows {
				damaged.rows[key] = value
			}
			damage(damaged.rows)
			var corruption *CorruptionError
			if _, err := openKeys(damaged, noScan, KeyOptions{}, meta, 1<<60); !errors.As(err, &corruption) {
				t.Errorf("opened with %v", err)
			}
		})
	}
	t.Run("row missing", func(t *testing.T) {
		damaged := newMemRows()
		for key, value := range rows.rows {
			damaged.rows[key] = value
		}
		delete(damaged.rows, string(appendKeyRow(nil, 1, spread(5), 6)))
		k, err := openKeys(damaged, noScan, KeyOptions{}, meta, 1<<60)
		if err != nil {
			t.Fatal(err)
		}
		k.Begin()
		k.take(<-k.sealer.done)
		var corruption *CorruptionError
		if err := k.End(); !errors.As(err, &corruption) {
			t.Errorf("End returned %v", err)
		}
		if err := k.Close(); !errors.As(err, &corruption) {
			t.Errorf("Close returned %v", err)
		}
	})
}

func TestKeyMetaRoundTrip(t *testing.T) {
	want := keyMeta{
		seed: keySeed{1, 2}, epoch: 3, from: 100, next: 9,
		runs: []runInfo{{number: 4, keys: 5, first: 6, last: 20, newest: 7}, {number: 8, keys: 1, first: 30, last: 30, newest: 9}},
	}
	encoded := want.encode()
	got, err := decodeKeyMeta(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(keyMeta{}, runInfo{})); diff != "" {
		t.Error(diff)
	}
	const golden = "016b65796f8942100100000000000000020000000000000003000000000000006400000000000000" +
		"09000000020000000400000005000000060000000000000014000000000000000700000000000000" +
		"08000000010000001e000000000000001e000000000000000900000000000000"
	if hex := fmt.Sprintf("%x", encoded); hex != golden {
		t.Errorf("encoded as %s, want %s", hex, golden)
	}
	for i := range encoded {
		if _, err := decodeKeyMeta(encoded[:i]); !errors.Is(err, ErrKeyMeta) {
			t.Errorf("%d bytes: %v", i, err)
		}
		damaged := bytes.Clone(encoded)
		damaged[i] ^= 4
		if _, err := decodeKeyMeta(damaged); !errors.Is(err, ErrKeyMeta) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

func TestKeyMetaMustMakeSense(t *testing.T) {
	run := runInfo{number: 2, keys: 1, first: 5, last: 6, newest: 7}
	for name, m := range map[string]keyMeta{
		"run beyond next": {from: 7, next: 2, runs: []runInfo{run}},
		"run beyond from": {from: 6, next: 3, runs: []runInfo{run}},
		"twice":           {from: 7, next: 3, runs: []runInfo{run, run}},
		"empty":           {from: 7, next: 3, runs: []runInfo{{number: 2, first: 5, last: 6}}},
		"backward":        {from: 7, next: 3, runs: []runInfo{{number: 2, keys: 1, first: 6, last: 5}}},
	} {
		if _, err := decodeKeyMeta(m.encode()); !errors.Is(err, ErrKeyMeta) {
			t.Errorf("%s: %v", name, err)
		}
	}
	later := keyMeta{from: 50, next: 1}
	if _, err := openKeys(newMemRows(), noScan, KeyOptions{}, later.encode(), 49); !errors.Is(err, ErrKeyMeta) {
		t.Errorf("a meta from the future of the state: %v", err)
	}
}

func FuzzKeyMeta(f *testing.F) {
	f.Add((&keyMeta{from: 1, next: 1}).encode())
	f.Add((&keyMeta{from: 9, next: 3, runs: []runInfo{{number: 2, keys: 1, first: 5, last: 6, newest: 7}}}).encode())
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := decodeKeyMeta(src)
		if err != nil {
			if !errors.Is(err, ErrKeyMeta) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(m.encode(), src) {
			t.Fatalf("%x is encoded as %x", src, m.encode())
		}
	})
}

func TestKeyOptionsValidate(t *testing.T) {
	for _, o := range []KeyOptions{{Retention: -1}, {RunKeys: -1}, {RunKeys: maxRunKeys + 1}, {RunSpan: -1}, {Retention: 1 << 62}} {
		if _, err := openKeys(newMemRows(), noScan, o, nil, 1); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// Readers on other goroutines find every key at every moment, while tables are
// sealed, published, and reused.
func TestKeysAreFoundWhileTheyMove(t *testing.T) {
	k := openTestKeys(t, newMemRows(), KeyOptions{RunKeys: 100}, nil)
	const keys = 3000
	var inserted sync.Map // seq to struct{}
	var done, started sync.WaitGroup
	stop := make(chan struct{})
	for reader := range 2 {
		started.Add(1)
		done.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(reader), 0))
			once := sync.OnceFunc(started.Done)
			for {
				select {
				case <-stop:
					once()
					return
				default:
				}
				seq := 1 + rng.Uint64N(keys)
				_, there := inserted.Load(seq)
				got, err := k.Find(spread(seq), nil)
				if err != nil || there && !slices.Equal(got, []uint64{seq}) {
					t.Errorf("Find of seq %d: %v, %v", seq, got, err)
				}
				once()
			}
		})
	}
	started.Wait()
	for seq := uint64(1); seq <= keys; seq++ {
		insertKey(t, k, spread(seq), seq, 1)
		inserted.Store(seq, struct{}{})
	}
	close(stop)
	done.Wait()
}

// A fresh key must not allocate, or the collector would follow every payment.
func TestKeysDoNotAllocateForAFreshKey(t *testing.T) {
	k := openTestKeys(t, lostRows{}, KeyOptions{RunKeys: 1 << 14}, nil)
	seq := uint64(0)
	for range 5<<14 + 1<<13 { // the tables have grown, the active one is half full
		seq++
		insertKey(t, k, spread(seq), seq, 1)
	}
	await(t, k)
	var buf [8]uint64
	hashes := make([]uint64, 8)
	if n := testing.AllocsPerRun(1000, func() {
		k.Begin()
		defer func() { _ = k.End() }()
		k.Prefetch(hashes)
		seq++
		if _, err := k.Candidates(spread(seq), buf[:0]); err != nil {
			t.Fatal(err)
		}
		if err := k.Insert(spread(seq), seq, 1); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	key := []byte("5f8e2c1a-9a1b-4c3d-8e7f-444455556666")
	if n := testing.AllocsPerRun(1000, func() { seq += k.Hash(key) & 1 }); n != 0 {
		t.Errorf("Hash: %v allocations", n)
	}
}
