package store

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The reference vectors of SipHash-2-4: key and input are 00 01 02 …, by length
// of the input (Aumasson and Bernstein, siphash vectors.h, first bytes as a
// little-endian number; the one of 15 bytes is in the paper, appendix A).
func TestKeyHashIsSipHash(t *testing.T) {
	var seed [16]byte
	var input [64]byte
	for i := range input {
		input[i] = byte(i)
	}
	copy(seed[:], input[:])
	s := keySeed{binary.LittleEndian.Uint64(seed[:]), binary.LittleEndian.Uint64(seed[8:])}
	for n, want := range map[int]uint64{
		0:  0x726fdb47dd0e0e31,
		1:  0x74f839c593dc67fd,
		8:  0x93f5f5799a932462,
		15: 0xa129ca6149be45e5,
		63: 0x958a324ceb064572,
	} {
		if got := s.sum(input[:n]); got != want {
			t.Errorf("hash of %d bytes is %016x, want %016x", n, got, want)
		}
	}
}

// The table against a list, with hashes that collide, and reused in rounds.
func TestKeyTableAgreesWithAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := newKeyTable(rapid.SampledFrom([]int{1, 10, 5000}).Draw(t, "sized for"))
		// Few hashes in few segments, so that clusters form, or many.
		mask := rapid.SampledFrom([]uint64{0, 3, 0xff00_0000_0000_0001, ^uint64(0)}).Draw(t, "mask")
		seq := uint64(0)
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			var list []keySlot
			rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			for range rapid.IntRange(0, 300).Draw(t, "keys") {
				hash := rng.Uint64()
				seq++
				list = append(list, keySlot{hash: hash & mask, seq: seq})
				table.insert(hash&mask, seq, 1)
			}
			if table.count != len(list) {
				t.Fatalf("%d keys counted, %d inserted", table.count, len(list))
			}
			for _, key := range append(slices.Clone(list), keySlot{hash: rng.Uint64()}) {
				var want []uint64
				for _, other := range list {
					if other.hash == key.hash {
						want = append(want, other.seq)
					}
				}
				got := table.find(key.hash, nil)
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Fatalf("find(%x) = %v, want %v", key.hash, got, want)
				}
			}
			slices.SortFunc(list, func(a, b keySlot) int {
				return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.seq, b.seq))
			})
			if got := slices.Collect(table.sorted()); !slices.Equal(got, list) {
				t.Fatalf("sorted: %v, want %v", got, list)
			}
			table.reset()
		}
	})
}

// A segment that doubles is the longest pause of an insert: at full size it
// moves 1/256 of the table's keys.
func TestKeyTableGrowsInParts(t *testing.T) {
	const keys = 1 << 16
	table := newKeyTable(keys)
	hash := keySeed{1, 2}
	var input [8]byte
	for i := range uint64(keys) {
		binary.LittleEndian.PutUint64(input[:], i)
		table.insert(hash.sum(input[:]), i+1, 1)
	}
	for i := range table.segments {
		if n := len(table.segments[i].slots); n > keys/keySegments*2 {
			t.Errorf("segment %d has %d slots for %d keys", i, n, table.segments[i].used)
		}
	}
	if per := float64(table.bytes()) / keys; per > 27 {
		t.Errorf("the full table takes %.1f bytes per key", per)
	}
}
