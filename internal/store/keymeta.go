package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"purser/internal/ledger"
)

// ErrKeyMeta is wrapped by every error of decoding what Keys.Meta returned.
var ErrKeyMeta = errors.New("store: cannot decode the meta of the idempotency keys")

// The meta of Keys, integers little endian:
//
//	 0        1..3    4..7    8..23   24..31   32..39   40..43   44..47
//	+--------+-------+-------+-------+--------+--------+--------+--------+
//	| version| "key" | CRC   | seed  | epoch  | from   | next   | runs   |
//	+--------+-------+-------+-------+--------+--------+--------+--------+
//	 48 + 32·i
//	+-----------+---------+----------+---------+-----------+
//	| number (4)| keys (4)| first (8)| last (8)| newest (8)| × runs
//	+-----------+---------+----------+---------+-----------+
//
// The CRC-32C covers everything behind it.
const (
	keyMetaVersion   = 1
	keyMetaHeaderLen = 48
	keyMetaRunLen    = 32
)

var keyMetaMagic = [4]byte{keyMetaVersion, 'k', 'e', 'y'}

// keyMeta is what a checkpoint says about the keys.
type keyMeta struct {
	seed  keySeed
	epoch uint64 // how many metas were taken before this one
	from  uint64 // first seq that the runs do not cover
	next  uint32 // number of the next run
	runs  []runInfo
}

func (m *keyMeta) encode() []byte {
	dst := make([]byte, keyMetaHeaderLen, keyMetaHeaderLen+keyMetaRunLen*len(m.runs))
	copy(dst, keyMetaMagic[:])
	binary.LittleEndian.PutUint64(dst[8:], m.seed[0])
	binary.LittleEndian.PutUint64(dst[16:], m.seed[1])
	binary.LittleEndian.PutUint64(dst[24:], m.epoch)
	binary.LittleEndian.PutUint64(dst[32:], m.from)
	binary.LittleEndian.PutUint32(dst[40:], m.next)
	binary.LittleEndian.PutUint32(dst[44:], uint32(len(m.runs)))
	for _, r := range m.runs {
		dst = binary.LittleEndian.AppendUint32(dst, r.number)
		dst = binary.LittleEndian.AppendUint32(dst, r.keys)
		dst = binary.LittleEndian.AppendUint64(dst, r.first)
		dst = binary.LittleEndian.AppendUint64(dst, r.last)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(r.newest))
	}
	binary.LittleEndian.PutUint32(dst[4:], crc32.Checksum(dst[8:], castagnoli))
	return dst
}

func decodeKeyMeta(src []byte) (m keyMeta, err error) {
	if len(src) < keyMetaHeaderLen || [3]byte(src[1:]) != [3]byte(keyMetaMagic[1:]) {
		return keyMeta{}, fmt.Errorf("%w: %d bytes of something else", ErrKeyMeta, len(src))
	}
	if src[0] != keyMetaVersion {
		return keyMeta{}, fmt.Errorf("%w: format %d, this build reads %d", ErrKeyMeta, src[0], keyMetaVersion)
	}
	if want, got := binary.LittleEndian.Uint32(src[4:]), crc32.Checksum(src[8:], castagnoli); want != got {
		return keyMeta{}, fmt.Errorf("%w: checksum %08x, of its bytes %08x", ErrKeyMeta, want, got)
	}
	count := int(binary.LittleEndian.Uint32(src[44:]))
	if len(src)-keyMetaHeaderLen != count*keyMetaRunLen {
		return keyMeta{}, fmt.Errorf("%w: %d runs in %d bytes", ErrKeyMeta, count, len(src))
	}
	m.seed[0] = binary.LittleEndian.Uint64(src[8:])
	m.seed[1] = binary.LittleEndian.Uint64(src[16:])
	m.epoch = binary.LittleEndian.Uint64(src[24:])
	m.from = binary.LittleEndian.Uint64(src[32:])
	m.next = binary.LittleEndian.Uint32(src[40:])
	m.runs = make([]runInfo, count)
	for i := range m.runs {
		run := src[keyMetaHeaderLen+i*keyMetaRunLen:]
		m.runs[i] = runInfo{
			number: binary.LittleEndian.Uint32(run),
			keys:   binary.LittleEndian.Uint32(run[4:]),
			first:  binary.LittleEndian.Uint64(run[8:]),
			last:   binary.LittleEndian.Uint64(run[16:]),
			newest: ledger.Micros(binary.LittleEndian.Uint64(run[24:])),
		}
	}
	return m, m.check()
}

// check verifies what every meta has in common: runs in order, none beyond from.
func (m *keyMeta) check() error {
	var last runInfo
	for i, r := range m.runs {
		switch {
		case i > 0 && r.number <= last.number, r.number >= m.next, r.keys == 0,
			r.first <= last.last, r.last < r.first, r.last >= m.from, i > 0 && r.newest < last.newest:
			return fmt.Errorf("%w: run %d does not follow run %d", ErrKeyMeta, r.number, last.number)
		}
		last = r
	}
	return nil
}
