package store

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"purser/internal/ledger"
)

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
	if len(k.stripes) != 0 {
		t.Errorf("%d stripes of no run", len(k.stripes))
	}
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
		if _, err := k.Candidates(spread(seq), buf[:0]); err != nil || k.Likely(spread(seq)) {
			t.Fatal(err)
		}
		if _, err := k.Since(seq-10, spread(seq), buf[:0]); err != nil {
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
