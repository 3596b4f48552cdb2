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
	for _, runs := range []int{0, 10, 50} {
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
			s.Runs, len(k.groups), s.Bytes>>20, float64(s.Bytes)/float64(s.Sealed+s.InMemory))
	}
}
