package raftfsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"slices"
)

var (
	// ErrStableDamaged says that the stable store's file, or the record in it, is not
	// what was written: the term and the vote in it cannot be trusted.
	ErrStableDamaged = errors.New("term and vote are damaged")

	// ErrStableFormat says that the stable store was written by a newer purser.
	ErrStableFormat = errors.New("term and vote have a newer format")
)

// The record of the stable store, all numbers little-endian:
//
//	 0        4         5      8       12       16
//	+--------+---------+------+-------+--------+-----------------------------------+
//	| "PrSt" | version | zero | CRC   | length | rows: len key (1), len value (2), |
//	|        |         |      |       |        |       key, value                  |
//	+--------+---------+------+-------+--------+-----------------------------------+
//
// CRC is the CRC-32C of everything but itself, length that of the record. Rows are
// in ascending order of their keys. Every version keeps magic, version and CRC.
const (
	stableMagic     = "PrSt"
	stableVersion   = 1
	stableHeaderLen = 16
	stableRowLen    = 3 // of a row without its key and value

	// maxStableBytes is far more than raft ever stores.
	maxStableBytes = 1 << 20
)

// castagnoli is the CRC-32C table: the polynomial with hardware support, and
// the one the log uses.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeStable lays values out as above. Its only errors are a key or a value
// that is too long, or too many of them.
func encodeStable(values map[string][]byte) ([]byte, error) {
	b := make([]byte, stableHeaderLen, 256)
	copy(b, stableMagic)
	b[4] = stableVersion
	for _, key := range slices.Sorted(maps.Keys(values)) {
		val := values[key]
		if len(key) > math.MaxUint8 || len(val) > math.MaxUint16 {
			return nil, fmt.Errorf("store %.20q: a key of %d bytes with a value of %d", key, len(key), len(val))
		}
		b = append(b, byte(len(key)))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(val)))
		b = append(append(b, key...), val...)
	}
	if len(b) > maxStableBytes {
		return nil, fmt.Errorf("stable store of %d bytes, at most %d", len(b), maxStableBytes)
	}
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[8:], stableSum(b))
	return b, nil
}

// stableSum is the checksum of all of b but the checksum.
func stableSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:8], castagnoli), castagnoli, b[12:])
}

// decodeStable is the inverse of encodeStable. Its errors wrap ErrStableDamaged
// or ErrStableFormat. The values alias b.
func decodeStable(b []byte) (map[string][]byte, error) {
	if len(b) < stableHeaderLen || string(b[:4]) != stableMagic {
		return nil, fmt.Errorf("%w: %d bytes of something else", ErrStableDamaged, len(b))
	}
	if want, got := binary.LittleEndian.Uint32(b[8:]), stableSum(b); want != got {
		return nil, fmt.Errorf("%w: checksum %08x, of its bytes %08x", ErrStableDamaged, want, got)
	}
	switch length := binary.LittleEndian.Uint32(b[12:]); {
	case b[4] > stableVersion:
		return nil, fmt.Errorf("%w: %d, this build reads %d", ErrStableFormat, b[4], stableVersion)
	case b[4] != stableVersion || b[5]|b[6]|b[7] != 0:
		return nil, fmt.Errorf("%w: version %d was never written", ErrStableDamaged, b[4])
	case int(length) != len(b):
		return nil, fmt.Errorf("%w: %d bytes of %d", ErrStableDamaged, len(b), length)
	}
	values := map[string][]byte{}
	last := ""
	for rest := b[stableHeaderLen:]; len(rest) > 0; {
		if len(rest) < stableRowLen {
			return nil, fmt.Errorf("%w: %d bytes behind the last row", ErrStableDamaged, len(rest))
		}
		k := stableRowLen + int(rest[0])
		n := k + int(binary.LittleEndian.Uint16(rest[1:]))
		if n > len(rest) {
			return nil, fmt.Errorf("%w: a row of %d bytes in %d", ErrStableDamaged, n, len(rest))
		}
		key := string(rest[stableRowLen:k])
		if len(values) > 0 && key <= last {
			return nil, fmt.Errorf("%w: row %.20q behind row %.20q", ErrStableDamaged, key, last)
		}
		values[key], last = rest[k:n:n], key
		rest = rest[n:]
	}
	return values, nil
}
