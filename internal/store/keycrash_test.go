package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"purser/internal/crashfs"
	"purser/internal/ledger"
)

// keyWorkload is a log of payments with few keys, each used again and again, so
// that a key has live rows in the table, in runs, and expired ones.
type keyWorkload struct {
	opts    KeyOptions
	stamps  []ledger.Micros    // by entry
	entries [][]*ledger.Record // consecutive seqs from 1 on
}

const keyPool = 40

func newKeyWorkload(seed uint64, entries int) *keyWorkload {
	rng := rand.New(rand.NewPCG(seed, 7))
	w := &keyWorkload{opts: KeyOptions{Retention: 300, RunKeys: 50, RunSpan: 60}}
	now, seq := ledger.Micros(0), uint64(0)
	for range entries {
		now += 1 + ledger.Micros(rng.IntN(20))
		records := payments(1 + rng.IntN(30))
		for _, rec := range records {
			seq++
			rec.Seq = seq
			rec.Command.Key = fmt.Appendf(nil, "key-%d", rng.IntN(keyPool))
			rec.Raw = ledger.AppendCommand(nil, &rec.Command)
		}
		w.stamps, w.entries = append(w.stamps, now), append(w.entries, records)
	}
	return w
}

// run opens the store in fs and executes the log from its checkpoint to the end,
// with a checkpoint after every seventh entry. verify sees the index after every
// entry.
func (w *keyWorkload) run(fs vfs.FS, verify func(k *Keys, entry int, head uint64) error) (err error) {
	s, err := Open(smallStore(fs, nil))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	meta, ok, err := s.LoadCheckpoint()
	if err != nil {
		return err
	}
	done := 0
	if ok {
		done, meta = int(binary.BigEndian.Uint64(meta)), meta[8:]
	}
	head := uint64(1)
	for _, records := range w.entries[:done] {
		head += uint64(len(records))
	}
	k, err := OpenKeys(s, w.opts, meta, head)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	for entry := done; ; entry++ {
		if verify != nil {
			if err := verify(k, entry, head); err != nil {
				return err
			}
		}
		if entry == len(w.entries) {
			return nil
		}
		if err := w.execute(s, k, entry); err != nil {
			return err
		}
		head += uint64(len(w.entries[entry]))
		if entry%7 == 0 {
			if err := checkpointKeys(s, k, entry+1); err != nil {
				return err
			}
		}
	}
}

func (w *keyWorkload) execute(s *Store, k *Keys, entry int) error {
	b := s.Begin(uint64(entry)+1, w.stamps[entry])
	k.Begin()
	k.Drop(w.stamps[entry])
	var err error
	for _, rec := range w.entries[entry] {
		b.Add(rec)
		err = errors.Join(err, k.Insert(k.Hash(rec.Command.Key), rec.Seq, w.stamps[entry]))
	}
	b.Digest(0)
	return errors.Join(err, k.End(), b.Commit())
}

func checkpointKeys(s *Store, k *Keys, done int) error {
	k.Begin()
	meta := k.Meta()
	if err := k.End(); err != nil {
		return err
	}
	err := s.WriteCheckpoint(Checkpoint{Meta: append(binary.BigEndian.AppendUint64(nil, uint64(done)), meta...)})
	if err != nil {
		return err
	}
	return k.Checkpointed(meta)
}

// verify demands every row that has not expired, and none at or above head.
func (w *keyWorkload) verify(k *Keys, entry int, head uint64) error {
	now := ledger.Micros(0)
	if entry > 0 {
		now = w.stamps[entry-1]
	}
	live := map[string][]uint64{}
	for i, records := range w.entries[:entry] {
		for _, rec := range records {
			if w.stamps[i]+w.opts.Retention > now {
				live[string(rec.Command.Key)] = append(live[string(rec.Command.Key)], rec.Seq)
			}
		}
	}
	for key, seqs := range live {
		got, err := k.Find(k.Hash([]byte(key)), nil)
		if err != nil {
			return err
		}
		if len(got) > 0 && got[0] >= head {
			return fmt.Errorf("entry %d: %s has candidate %d; the log is at %d", entry, key, got[0], head)
		}
		for _, seq := range seqs {
			if !slices.Contains(got, seq) {
				return fmt.Errorf("entry %d: %s misses seq %d among %v", entry, key, seq, got)
			}
		}
	}
	return nil
}

// TestKeysSurviveCrashes opens the index in what a crash leaves at random syncs
// and writes, executes the log to its end, and now and then crashes on
// the way there again.
func TestKeysSurviveCrashes(t *testing.T) {
	const seed = 11
	w := newKeyWorkload(seed, 70)
	few, least, verify := 4, 100, w.verify
	if testing.Short() {
		// Under the race detector Pebble records a stack for every iterator, which
		// makes each look a hundred times slower.
		few, least = 48, 5
		verify = func(k *Keys, entry int, head uint64) error {
			if entry%8 != 0 && entry != len(w.entries) {
				return nil
			}
			return w.verify(k, entry, head)
		}
	}
	first := crashesOf(t, seed, crashfs.New(), w, few)
	if len(first) < least {
		t.Fatalf("%d crashes: the test shows nothing", len(first))
	}
	again := 0
	for i, fs := range first {
		if i%25 == 0 {
			for _, second := range crashesOf(t, seed+uint64(i), fs.CrashClone(vfs.CrashCloneCfg{}), w, 40) {
				again++
				if err := w.run(second, verify); err != nil {
					t.Fatalf("seed %d, crash %d and then another: %v", seed, i, err)
				}
			}
		}
		if err := w.run(fs, verify); err != nil {
			t.Fatalf("seed %d, crash %d: %v", seed, i, err)
		}
	}
	t.Logf("%d crashes, %d of them twice", len(first)+again, again)
}

// crashesOf runs w in fs and returns what crashes leave at one write or sync in
// a few.
func crashesOf(t *testing.T, seed uint64, fs *crashfs.FS, w *keyWorkload, few int) (crashes []*crashfs.FS) {
	var mu sync.Mutex
	rng := seeded(seed)
	take := errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if !sync && op.Kind.ReadOrWrite() == errorfs.OpIsRead || rng.IntN(few) > 0 {
			return nil
		}
		for _, percent := range []int{0, 50} {
			crashes = append(crashes, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
		}
		return nil
	})
	if err := w.run(errorfs.Wrap(fs, take), nil); err != nil {
		t.Fatal(err)
	}
	return crashes
}

// TestKeysReportEveryFaultOfIngest fails each operation on the tables that are
// ingested in turn: no run is counted that is not there.
func TestKeysReportEveryFaultOfIngest(t *testing.T) {
	w := newKeyWorkload(3, 12)
	faults := 0
	for at := int32(0); ; at++ {
		var n atomic.Int32
		inj := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if strings.Contains(op.Path, "ingest/") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && n.Add(1) == at+1 {
				return syscall.EIO
			}
			return nil
		})
		fs := vfs.NewMem()
		if err := w.run(errorfs.Wrap(fs, inj), nil); err != nil && !errors.Is(err, syscall.EIO) {
			t.Fatalf("operation %d: %v", at, err)
		} else if err != nil {
			faults++
		}
		if n.Load() <= at {
			break
		}
		if err := w.run(fs, w.verify); err != nil {
			t.Fatalf("after a fault of operation %d: %v", at, err)
		}
	}
	if faults < 5 {
		t.Errorf("%d faults reported: the test shows nothing", faults)
	}
}
