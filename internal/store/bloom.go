package store

import "math/bits"

// Every sealed run of keys has two Bloom filters over its hashes, made for a
// lookup that asks all runs and expects no from each.
//
// The first is cut into words of 64 bits, one word per four keys; a key sets up
// to six bits of one word (16 bits per key). The words of up to eight runs that
// a hash may be in lie in one cache line, a bloomShelf, so that fifty runs cost
// seven cache misses, which the processor can wait for together.
//
// What passes is asked of the run's own filter of 512-bit blocks, one cache line
// per key with seven probes (12 bits per key). Both are functions of different
// bits of the hash, so their rates multiply: see TestBloomFalsePositives for the
// measured ones. Blocked filters: Putze, Sanders, Singler, "Cache-, Hash- and
// Space-Efficient Bloom Filters", 2007.

const (
	keysPerWord  = 4  // at most, on average, in the words of a full run
	bitsPerKey   = 12 // of the block filter
	blockBits    = 512
	wordsInBlock = blockBits / 64
	blockProbes  = 7

	// shelfLanes is how many runs share a shelf: as many words as a cache line has.
	shelfLanes = 8
)

// bloom is the block filter of one run: eight words per block.
type bloom []uint64

func newBloom(keys int) bloom {
	blocks := max(1, (keys*bitsPerKey+blockBits-1)/blockBits)
	return make(bloom, blocks*wordsInBlock)
}

// block returns the block of hash: blocks are in the order of the hashes, so
// that a sorted build walks through memory once.
func (b bloom) block(hash uint64) *[wordsInBlock]uint64 {
	i, _ := bits.Mul64(hash, uint64(len(b)/wordsInBlock))
	return (*[wordsInBlock]uint64)(b[i*wordsInBlock:])
}

func (b bloom) add(hash uint64) {
	block := b.block(hash)
	probes := spread(hash)
	for range blockProbes {
		block[probes>>6%wordsInBlock] |= 1 << (probes & 63)
		probes >>= 9
	}
}

func (b bloom) has(hash uint64) bool {
	block := b.block(hash)
	probes := spread(hash)
	for range blockProbes {
		if block[probes>>6%wordsInBlock]&(1<<(probes&63)) == 0 {
			return false
		}
		probes >>= 9
	}
	return true
}

// spread makes of a hash seven times nine bits that do not follow from wordMask
// (the finalizer of MurmurHash3, Appleby).
func spread(hash uint64) uint64 {
	hash ^= hash >> 33
	hash *= 0xff51afd7ed558ccd
	hash ^= hash >> 33
	hash *= 0xc4ceb9fe1a85ec53
	return hash ^ hash>>33
}

// wordMask is the bits of hash in the word filter: up to six of 64, from the low
// end of the hash, as the high end chooses the word.
func wordMask(hash uint64) uint64 {
	return 1<<(hash&63) | 1<<(hash>>6&63) | 1<<(hash>>12&63) |
		1<<(hash>>18&63) | 1<<(hash>>24&63) | 1<<(hash>>30&63)
}

// wordBits returns the binary logarithm of the number of words for keys keys.
func wordBits(keys int) int {
	return bits.Len(uint((keys - 1) / keysPerWord))
}

// bloomWords is the word filter of one run, before it is put on a shelf. Its
// length is a power of two.
type bloomWords []uint64

func (w bloomWords) add(hash uint64) {
	w[hash>>(64-bits.TrailingZeros(uint(len(w))))] |= wordMask(hash)
}

// bloomShelf interleaves the word filters of up to eight runs.
type bloomShelf struct {
	lines [][shelfLanes]uint64 // a power of two
	shift int                  // of a hash, to get its line

	// taken are the lanes in use, or waiting to be. It belongs to the goroutine
	// that seals.
	taken uint8

	// live are the lanes of published runs, and runs these. Keys guards both; a
	// lane that is not live must not be read.
	live uint8
	runs [shelfLanes]*keyRun
}

func newBloomShelf(lineBits int) *bloomShelf {
	return &bloomShelf{lines: make([][shelfLanes]uint64, 1<<lineBits), shift: 64 - lineBits}
}

// fits reports whether the shelf has a free lane for a filter of n words.
func (s *bloomShelf) fits(n int) bool { return s.taken != 0xff && n <= len(s.lines) }

// put copies words into a free lane and returns its number. A filter of fewer
// words than the shelf has lines is repeated: the word of a hash is chosen by
// its first bits, here more of them.
func (s *bloomShelf) put(words bloomWords) int {
	lane := bits.TrailingZeros8(^s.taken)
	s.taken |= 1 << lane
	each := len(s.lines) / len(words)
	for i, word := range words {
		for j := i * each; j < (i+1)*each; j++ {
			s.lines[j][lane] = word
		}
	}
	return lane
}

// maybe returns the lanes of the live runs that may hold hash.
func (s *bloomShelf) maybe(hash uint64) (found uint8) {
	line := &s.lines[hash>>s.shift]
	mask := wordMask(hash)
	for live := s.live; live != 0; live &= live - 1 {
		lane := bits.TrailingZeros8(live)
		if line[lane%shelfLanes]&mask == mask {
			found |= 1 << lane
		}
	}
	return found
}

// bytes is the memory that the shelf takes.
func (s *bloomShelf) bytes() int { return 8 * shelfLanes * len(s.lines) }
