package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"purser/internal/ledger"
)

// FindAll finds what Find finds: in tables and runs, hashes that collide, that
// come twice and that nobody inserted, few of a run and nearly all.
func TestFindAllFindsWhatFindDoes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	k := openTestKeys(t, newMemRows(), KeyOptions{RunKeys: 1000}, nil)
	for seq := uint64(1); seq <= 3500; seq++ {
		insertKey(t, k, spread(rng.Uint64N(5000)), seq, ledger.Micros(seq))
	}
	for _, n := range []int{1, 10, 200, 6000} {
		hashes := make([]uint64, n)
		for i := range hashes {
			hashes[i] = spread(rng.Uint64N(6000))
		}
		slices.Sort(hashes)
		got := make([][]uint64, n)
		err := k.FindAll(hashes, func(place int, seq uint64) { got[place] = append(got[place], seq) })
		if err != nil {
			t.Fatal(err)
		}
		for i, hash := range hashes {
			want, err := k.Find(hash, nil)
			if err != nil {
				t.Fatal(err)
			}
			newestFirst(got[i])
			if !slices.Equal(got[i], want) {
				t.Fatalf("%d hashes: %x has %v, want %v", n, hash, got[i], want)
			}
		}
	}
}

func BenchmarkFindAll(b *testing.B) {
	const keys = 4 << 18
	s := openMem(b)
	k := openTestKeys(b, s, KeyOptions{RunKeys: 1 << 18}, nil)
	for seq := uint64(1); seq <= keys; seq++ {
		insertKey(b, k, spread(seq), seq, 1)
	}
	settle(b, k)
	hashes := make([]uint64, 128<<10)
	for i := range hashes {
		hashes[i] = spread(uint64(i) + 1)
	}
	slices.Sort(hashes)
	b.Run("one by one", func(b *testing.B) {
		for b.Loop() {
			for _, hash := range hashes {
				if _, err := k.Find(hash, nil); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(hashes)), "ns/key")
	})
	b.Run("at once", func(b *testing.B) {
		for b.Loop() {
			if err := k.FindAll(hashes, func(int, uint64) {}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(hashes)), "ns/key")
	})
}

// Since has the newest of what Candidates has, wherever it is, and Likely misses
// nothing.
func TestSinceAndLikelyAgreeWithCandidates(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	k := openTestKeys(t, newMemRows(), KeyOptions{RunKeys: 100}, nil)
	const keys = 1000
	for seq := uint64(1); seq <= keys; seq++ {
		insertKey(t, k, spread(rng.Uint64N(400)), seq, ledger.Micros(seq))
		if seq%37 != 0 {
			continue
		}
		k.Begin()
		for range 100 {
			hash, from := spread(rng.Uint64N(800)), rng.Uint64N(keys)
			all, err := k.Candidates(hash, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := k.Since(from, hash, []uint64{7})
			if err != nil {
				t.Fatal(err)
			}
			want := append([]uint64{7}, slices.DeleteFunc(slices.Clone(all), func(seq uint64) bool { return seq < from })...)
			if !slices.Equal(got, want) {
				t.Fatalf("since %d: %v, want %v", from, got, want)
			}
			if len(all) > 0 && !k.Likely(hash) {
				t.Fatalf("%x is not likely, but has %v", hash, all)
			}
		}
		if err := k.End(); err != nil {
			t.Fatal(err)
		}
	}
}
