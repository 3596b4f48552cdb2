package store

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"testing"

	"purser/internal/ledger"
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

func noScan(_, _ uint64, _ func(uint64, ledger.Micros, []byte) error) error { return nil }

// sealedKeys returns an index with runs full runs, and the last seq in it.
func sealedKeys(b *testing.B, rows keyRows, runs int) (*Keys, uint64) {
	k, err := openKeys(rows, noScan, KeyOptions{}, nil, 1)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := k.Close(); err != nil {
			b.Error(err)
		}
	})
	rng := rand.New(rand.NewPCG(1, 2))
	seq := uint64(0)
	for range runs {
		for range defaultRunKeys {
			seq++
			insertKey(b, k, rng.Uint64(), seq, 1)
		}
	}
	if runs > 0 { // the next one seals, that after it awaits
		k.Begin()
		for range 2 {
			if k.active.count > 0 {
				if err := k.seal(); err != nil {
					b.Fatal(err)
				}
			}
		}
		if k.frozen != nil {
			k.sealed(<-k.sealer.done)
		}
		if err := k.End(); err != nil {
			b.Fatal(err)
		}
	}
	return k, seq
}

func insertKey(t testing.TB, k *Keys, hash, seq uint64, at ledger.Micros) {
	k.Begin()
	err := k.Insert(hash, seq, at)
	if fault := k.End(); err != nil || fault != nil {
		t.Fatal(err, fault)
	}
}

// BenchmarkKeyFresh is a key that was never seen: a lookup and an insert. Beyond
// the memory it measures what false positives cost, with rows in a real store.
func BenchmarkKeyFresh(b *testing.B) {
	for _, runs := range []int{0, 10, 50} {
		b.Run(fmt.Sprintf("runs=%d", runs), func(b *testing.B) {
			k, seq := sealedKeys(b, lostRows{}, runs)
			rng := rand.New(rand.NewPCG(3, 4))
			var buf [8]uint64
			runtime.GC()
			b.ResetTimer()
			for b.Loop() {
				hash := rng.Uint64()
				k.Begin()
				if _, err := k.Candidates(hash, buf[:0]); err != nil {
					b.Fatal(err)
				}
				seq++
				if err := k.Insert(hash, seq, 1); err != nil {
					b.Fatal(err)
				}
				if err := k.End(); err != nil {
					b.Fatal(err)
				}
			}
			s := k.Stats()
			if n := s.Sealed + s.InMemory; runs > 0 {
				b.ReportMetric(float64(s.Bytes)/float64(n), "B/key")
			}
			b.ReportMetric(float64(s.Bytes)/(1<<20), "MiB")
		})
	}
}
