package store

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// newWordBlooms returns three filters for keys keys each.
func newWordBlooms(keys int) wordBlooms {
	none := wordBlooms{places: wordsFor(keys)}
	return none.beside(nil, nil, nil)
}

func hasWord(b *wordBlooms, filter int, hash uint64) bool {
	return hasAll(&b.at(hash)[filter], wordBits(hash))
}

// Rates over a million keys and four million others. The bounds are the figures
// in the comments of bloom.go.
func TestBloomFalsePositives(t *testing.T) {
	const keys, asked = 1 << 20, 1 << 22
	words, blocks := newWordBlooms(keys), newBlockBloom(keys)
	rng := rand.New(rand.NewPCG(1, 1))
	for range keys {
		hash := rng.Uint64()
		words.add(1, hash)
		blocks.add(hash)
	}
	rng = rand.New(rand.NewPCG(1, 1))
	for range keys {
		if hash := rng.Uint64(); !hasWord(&words, 1, hash) || !blocks.has(hash) {
			t.Fatalf("hash %x is missed", hash)
		}
	}
	var word, block, both float64
	for range asked {
		hash := rng.Uint64()
		w, b := hasWord(&words, 1, hash), blocks.has(hash)
		if w {
			word++
		}
		if b {
			block++
		}
		if w && b {
			both++
		}
	}
	word, block, both = word/asked, block/asked, both/asked
	t.Logf("false positives: words %.4f%%, blocks %.4f%%, both %.5f%%", 100*word, 100*block, 100*both)
	if word > 0.006 || block > 0.006 {
		t.Errorf("more than 0.6%% pass a filter")
	}
	if both > 2*word*block {
		t.Errorf("the filters are not independent: both pass at %.5f%%", 100*both)
	}
	if per := float64(words.bytes()/words.width+blocks.bytes()) / keys; per > 3.51 {
		t.Errorf("filters take %.2f bytes per key", per)
	}
}

func TestBloomOfAnySizeMissesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for keys := 1; keys < 3000; keys += 1 + keys/7 {
		words, blocks := newWordBlooms(keys), newBlockBloom(keys)
		hashes := []uint64{0, ^uint64(0), 1, 1 << 63}
		for range keys {
			hashes = append(hashes, rng.Uint64())
		}
		for _, hash := range hashes {
			words.add(1, hash)
			blocks.add(hash)
		}
		for _, hash := range hashes {
			if !hasWord(&words, 1, hash) || !blocks.has(hash) {
				t.Fatalf("filters for %d keys miss %x", keys, hash)
			}
		}
	}
}

// What is in a filter stays in it, and in no other one, when others come beside it.
func TestBloomsSideBySide(t *testing.T) {
	const keys = 1000
	rng := rand.New(rand.NewPCG(3, 3))
	b := wordBlooms{places: wordsFor(keys)}
	var filters [][]uint64 // each on its own
	for i := range 5 {
		b = b.beside(nil)
		for range keys {
			b.add(i, rng.Uint64())
		}
		filters = append(filters, b.part(nil, i, 0, b.places))
	}
	for i, want := range filters {
		if got := b.part(nil, i, 0, b.places); !slices.Equal(got, want) {
			t.Errorf("filter %d has changed", i)
		}
		var got []uint64
		for place := 0; place < b.places; place += 7 {
			got = b.part(got, i, place, min(7, b.places-place))
		}
		if !slices.Equal(got, want) {
			t.Errorf("filter %d in parts is another one", i)
		}
	}
	none := wordBlooms{places: b.places}
	two := none.beside(filters[:2]...)
	again := two.beside(filters[2:]...)
	if !slices.Equal(again.words, b.words) || again.width != b.width {
		t.Error("put together again, the filters are others")
	}
}

// A filter is on disk: the bits of a hash must never change.
func TestBloomBitsAreFixed(t *testing.T) {
	b := newBlockBloom(100)
	for _, hash := range []uint64{1, 0x0123456789abcdef, 1 << 63} {
		b.add(hash)
	}
	var sum uint64
	for i, word := range b {
		sum = spread(sum ^ word + uint64(i))
	}
	if want := uint64(0x77fd91fbeae6e443); sum != want {
		t.Errorf("sum of the filter is %#x, want %#x", sum, want)
	}
}
