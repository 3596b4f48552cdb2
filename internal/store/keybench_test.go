package store

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// lostRows takes runs and keeps nothing, as a lookup that touches its rows in a
// benchmark of memory would measure the disk.
type lostRows struct{}

func (lostRows) ingestSorted(rows iter.Seq2[[]byte, []byte], _ keyRange) error {
	for range rows {
	}
	return nil
}

func (lostRows) scanRange(_, _ []byte, _ func(key, value []byte) error) error { return nil }
func (lostRows) deleteRange(_, _ []byte) error                                { return nil }

// sealedKeys returns an index with runs full runs, and the last seq in it.
func sealedKeys(b *testing.B, runs int) (*Keys, uint64) {
	k := openTestKeys(b, lostRows{}, KeyOptions{}, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	seq := uint64(0)
	for range runs * defaultRunKeys {
		seq++
		insertKey(b, k, rng.Uint64(), seq, 1)
	}
	settle(b, k)
	return k, seq
}

// BenchmarkKeyFresh is a key that was never seen: a lookup and an insert, on its
// own and as one of the 256 of a log entry. It reports the median over the
// entries, which other load on the machine moves less than the mean, and takes
// that of the filters' false positives on its own: rows are not in a real store.
func BenchmarkKeyFresh(b *testing.B) {
	const entry = 256
	for _, runs := range []int{0, 10, 50, 100} {
		k, seq := sealedKeys(b, runs)
		rng := rand.New(rand.NewPCG(3, 4))
		hashes := make([]uint64, entry)
		var buf [8]uint64
		one := func(b *testing.B, hash uint64) {
			if _, err := k.Candidates(hash, buf[:0]); err != nil {
				b.Fatal(err)
			}
			seq++
			if err := k.Insert(hash, seq, 1); err != nil {
				b.Fatal(err)
			}
		}
		for _, mode := range []string{"alone", "prefetched"} {
			b.Run(fmt.Sprintf("runs=%d/%s", runs, mode), func(b *testing.B) {
				var took []time.Duration
				for b.Loop() {
					if k.active.count > defaultRunKeys*3/4 {
						k.active.reset() // measure no seal
					}
					for j := range hashes {
						hashes[j] = rng.Uint64()
					}
					start := time.Now()
					k.Begin()
					if mode == "prefetched" {
						k.Prefetch(hashes)
					}
					for _, hash := range hashes {
						one(b, hash)
					}
					if err := k.End(); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(start))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2])/entry, "p50-ns/key")
			})
		}
		s := k.Stats()
		b.Logf("%d runs, %d groups: %d MiB, %.2f bytes per key",
			s.Runs, len(groupsOf(k)), s.Bytes>>20, float64(s.Bytes)/float64(s.Sealed+s.InMemory))
	}
}

// BenchmarkKeySeal is one full run from the table to the disk, on the goroutine
// beside the log: sorting, filters, rows, sync.
func BenchmarkKeySeal(b *testing.B) {
	s := openDisk(b)
	k := openTestKeys(b, s, KeyOptions{}, nil)
	seq := uint64(0)
	for b.Loop() {
		b.StopTimer()
		for range defaultRunKeys {
			seq++
			insertKey(b, k, spread(seq), seq, 1)
		}
		b.StartTimer()
		settle(b, k)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(seq), "ns/key")
	var size uint64
	for _, r := range k.runs {
		n, err := s.db.EstimateDiskUsage(appendRunPrefix(nil, r.number), appendRunPrefix(nil, r.number+1))
		if err != nil {
			b.Fatal(err)
		}
		size += n
	}
	b.ReportMetric(float64(size)/float64(seq), "disk-B/key")
}

// BenchmarkKeyStored is a lookup with rows in a real store: of keys that are in
// a run, and of fresh ones, with what their false positives cost.
func BenchmarkKeyStored(b *testing.B) {
	s := openDisk(b)
	k := openTestKeys(b, s, KeyOptions{}, nil)
	seq := uint64(0)
	for range 4 * defaultRunKeys {
		seq++
		insertKey(b, k, spread(seq), seq, 1)
	}
	settle(b, k)
	rng := rand.New(rand.NewPCG(5, 6))
	var buf [8]uint64
	find := func(b *testing.B, of func() uint64, want int) {
		for b.Loop() {
			got, err := k.Find(of(), buf[:0])
			if err != nil || len(got) != want {
				b.Fatal(got, err)
			}
		}
	}
	b.Run("known", func(b *testing.B) { find(b, func() uint64 { return spread(1 + rng.Uint64N(seq)) }, 1) })
	b.Run("fresh", func(b *testing.B) { find(b, rng.Uint64, 0) })
	b.Run("open", func(b *testing.B) {
		meta := k.Meta()
		for b.Loop() {
			again, err := openKeys(s, noScan, KeyOptions{}, meta, 1<<60)
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := again.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(seq), "ns/key")
	})
	b.Run("regroup", func(b *testing.B) {
		meta := k.Meta()
		for b.Loop() {
			again := openTestKeys(b, s, KeyOptions{}, meta)
			await(b, again)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(seq), "ns/key")
	})
}

func openDisk(b *testing.B) *Store {
	s, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { closeStore(b, s) })
	return s
}

// BenchmarkKeySorted is what a full table takes to be put in order.
func BenchmarkKeySorted(b *testing.B) {
	t := newKeyTable(defaultRunKeys)
	for seq := range uint64(defaultRunKeys) {
		t.insert(spread(seq), seq+1, 1)
	}
	for b.Loop() {
		for range t.sorted() {
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/defaultRunKeys, "ns/key")
}

// BenchmarkKeyHash is the hash of a key as long as a UUID.
func BenchmarkKeyHash(b *testing.B) {
	seed, key, sum := keySeed{1, 2}, []byte("5f8e2c1a-9a1b-4c3d-8e7f-444455556666"), uint64(0)
	for b.Loop() {
		sum += seed.sum(key)
	}
	_ = sum
}
