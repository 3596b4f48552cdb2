package store

import (
	"math/bits"
	"sync/atomic"
)

// Every sealed run of keys has a filter of its own, of blocks. But fifty of them
// are fifty cache misses for a key that is in none, so there is a second filter,
// of words, over the keys of all the runs of a keyGroup, and the words of several
// groups lie side by side, see keyStripe: three or four misses for a hundred million
// keys, which Keys.Prefetch takes together. Only what passes that is asked of the
// group's runs, by other bits of the hash, so that the rates of false positives
// multiply: 0.5% by 0.5%, see TestBloomFalsePositives.
//
// Both are blocked Bloom filters (Putze, Sanders, Singler: "Cache-, Hash- and
// Space-Efficient Bloom Filters", 2007), which find all bits of a key with one
// cache miss. One goroutine adds while others ask.

const (
	keysPerWord = 4 // 16 bits per key
	wordProbes  = 6

	blockBitsPerKey = 12
	blockBits       = 512
	blockWords      = blockBits / 64
	blockProbes     = 7 // of 9 bits each: a probe is a bit of a block
)

// wordBlooms are filters of one size that keep all bits of a key in one word of 64.
// That takes four more bits per key than a block for the same rate, but the answer
// hangs on one load: the processor goes on to the next filter, and the next key, while
// it waits for memory. The first words of all filters come first, then the second
// ones, and so on, so that the words of a hash in all of them are one miss.
//
// Methods take a pointer: the copy of a value of five words, made by overlapping moves,
// cannot be forwarded to the loads behind it, which then wait for every miss before;
// that made Keys.Prefetch five times slower (BenchmarkKeyFresh).
type wordBlooms struct {
	words  []uint64
	places int // words of each filter
	width  int // filters
}

// beside returns copies of the filters in b and, behind them, of more; nil is an empty
// one.
func (b *wordBlooms) beside(more ...[]uint64) wordBlooms {
	wide := wordBlooms{places: b.places, width: b.width + len(more)}
	wide.words = make([]uint64, wide.places*wide.width)
	for place := range wide.places {
		words := wide.words[place*wide.width:][:wide.width]
		copy(words, b.words[place*b.width:][:b.width])
		for i, filter := range more {
			if filter != nil {
				if len(filter) != wide.places { // keys would be missed, and retries applied
					panic("store: filters of different sizes side by side")
				}
				words[b.width+i] = filter[place]
			}
		}
	}
	return wide
}

// wordsFor is the size of a filter for keys keys.
func wordsFor(keys int) int { return (keys + keysPerWord - 1) / keysPerWord }

// at returns the words of hash, by filter: places are in the order of the hashes, so
// that adding sorted hashes walks through memory once.
func (b *wordBlooms) at(hash uint64) []uint64 {
	place, _ := bits.Mul64(hash, uint64(b.places))
	return b.words[int(place)*b.width:][:b.width]
}

// wordBits returns the bits of a hash, from its low end, as the high end chooses
// the place.
func wordBits(hash uint64) (set uint64) {
	for range wordProbes {
		set |= 1 << (hash & 63)
		hash >>= 6
	}
	return set
}

func (b *wordBlooms) add(filter int, hash uint64) {
	atomic.OrUint64(&b.at(hash)[filter], wordBits(hash))
}

// touch reads the words of hash.
func (b *wordBlooms) touch(hash uint64) uint64 {
	words := b.at(hash)
	return atomic.LoadUint64(&words[0]) + atomic.LoadUint64(&words[len(words)-1])
}

// hasAll reports whether all bits of set are in word, one of those of a hash whose
// wordBits are set: whether it may have been added. It never misses one that was.
func hasAll(word *uint64, set uint64) bool { return set&^atomic.LoadUint64(word) == 0 }

// part appends to dst n words of a filter, from place on.
func (b *wordBlooms) part(dst []uint64, filter, place, n int) []uint64 {
	for ; n > 0; n-- {
		dst = append(dst, b.words[place*b.width+filter])
		place++
	}
	return dst
}

// bytes is the memory that the filters take.
func (b *wordBlooms) bytes() int { return 8 * len(b.words) }

// blockBloom spreads the bits of a key over one cache line.
type blockBloom []uint64

func newBlockBloom(keys int) blockBloom {
	blocks := max(1, (keys*blockBitsPerKey+blockBits-1)/blockBits)
	return make(blockBloom, blocks*blockWords)
}

func (b blockBloom) block(hash uint64) *[blockWords]uint64 {
	i, _ := bits.Mul64(hash, uint64(len(b)/blockWords))
	return (*[blockWords]uint64)(b[i*blockWords:])
}

func (b blockBloom) add(hash uint64) {
	block := b.block(hash)
	probes := spread(hash)
	for range blockProbes {
		block[probes>>6%blockWords] |= 1 << (probes & 63)
		probes >>= 9
	}
}

// has reports whether hash may have been added. It never misses one that was. It
// looks at all bits: to stop at the first zero would be a branch that waits for
// memory and is often predicted wrong, so that the misses of many runs add up.
func (b blockBloom) has(hash uint64) bool {
	block := b.block(hash)
	probes := spread(hash)
	all := uint64(1)
	for range blockProbes {
		all &= block[probes>>6%blockWords] >> (probes & 63)
		probes >>= 9
	}
	return all != 0
}

// bytes is the memory that the filter takes.
func (b blockBloom) bytes() int { return 8 * len(b) }

// spread makes another hash of a hash (the finalizer of MurmurHash3, Appleby).
func spread(hash uint64) uint64 {
	hash ^= hash >> 33
	hash *= 0xff51afd7ed558ccd
	hash ^= hash >> 33
	hash *= 0xc4ceb9fe1a85ec53
	return hash ^ hash>>33
}
