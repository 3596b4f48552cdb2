package store

import (
	"encoding/binary"
	"math/bits"
)

// keySeed keys the hash of idempotency keys. Clients choose their keys: under a
// hash that they could compute, one of them could send keys that all collide,
// and every lookup would read all of these from the journal. The seed is drawn
// once and kept in Keys.Meta; replicas need not share it, for no outcome
// depends on a hash.
type keySeed [2]uint64

// sum is SipHash-2-4 of key (Aumasson and Bernstein, 2012).
func (s keySeed) sum(key []byte) uint64 {
	v0 := s[0] ^ 0x736f6d6570736575
	v1 := s[1] ^ 0x646f72616e646f6d
	v2 := s[0] ^ 0x6c7967656e657261
	v3 := s[1] ^ 0x7465646279746573
	last := uint64(len(key)) << 56
	for ; len(key) >= 8; key = key[8:] {
		m := binary.LittleEndian.Uint64(key)
		v3 ^= m
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
		v0 ^= m
	}
	for i, b := range key {
		last |= uint64(b) << (8 * i)
	}
	v3 ^= last
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	v0 ^= last
	v2 ^= 0xff
	for range 4 {
		v0, v1, v2, v3 = sipRound(v0, v1, v2, v3)
	}
	return v0 ^ v1 ^ v2 ^ v3
}

func sipRound(v0, v1, v2, v3 uint64) (uint64, uint64, uint64, uint64) {
	v0 += v1
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v0 = bits.RotateLeft64(v0, 32)
	v2 += v3
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v0 += v3
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	v2 += v1
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v2 = bits.RotateLeft64(v2, 32)
	return v0, v1, v2, v3
}
