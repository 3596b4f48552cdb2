package store

import (
	"encoding/binary"
	"hash/crc32"

	"purser/internal/ledger"
)

// A journal block is one Pebble row that holds consecutive rows of one log
// entry: one insert for 64 payments instead of 64. A block never spans entries,
// so replay cuts the same blocks and writes the same keys.
//
//	 0        1..4       5..12       13..20      21..28      29      30..
//	+--------+----------+-----------+-----------+-----------+-------+-----------------+
//	| version| CRC (LE) | first(LE) | index(LE) | stamp(LE) | count | count × (len row)|
//	+--------+----------+-----------+-----------+-----------+-------+-----------------+
//
// first is the seq in the key: a block under another key is as broken as a
// changed one. index is the log index of the entry, stamp its time in µs, len a
// uvarint, row what ledger.AppendRecord wrote. The CRC-32C covers all behind it.
const (
	blockVersion   = 1
	blockHeaderLen = 30

	// maxBlockRows and maxBlockBytes end a block at whichever comes first; only a
	// single row may make it longer. They are part of the format: replay has to
	// cut where the first execution did.
	maxBlockRows  = 64
	maxBlockBytes = 16 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// finishBlock fills the header of value, whose rows start at blockHeaderLen.
func finishBlock(value []byte, first, index uint64, stamp ledger.Micros, rows int) {
	value[0] = blockVersion
	binary.LittleEndian.PutUint64(value[5:], first)
	binary.LittleEndian.PutUint64(value[13:], index)
	binary.LittleEndian.PutUint64(value[21:], uint64(stamp))
	value[29] = byte(rows)
	binary.LittleEndian.PutUint32(value[1:], crc32.Checksum(value[5:], castagnoli))
}

// appendRow appends the row of rec with its length to a block.
func appendRow(block []byte, rec *ledger.Record) []byte {
	// Most rows need two bytes for their length. Leave that room, and move the
	// row when it turns out to need another.
	const room = 2
	at := len(block)
	block = ledger.AppendRecord(append(block, 0, 0), rec)
	n := len(block) - at - room
	var length [binary.MaxVarintLen64]byte
	w := binary.PutUvarint(length[:], uint64(n))
	if w != room {
		if w > room {
			block = append(block, length[:w-room]...)
		}
		copy(block[at+w:at+w+n], block[at+room:])
		block = block[:at+w+n]
	}
	copy(block[at:], length[:w])
	return block
}

// block is a verified journal block. Its memory is Pebble's, or the caller's.
type block struct {
	key   []byte
	first uint64
	index uint64
	stamp ledger.Micros
	count int
	rows  []byte
}

// openBlock verifies the block stored as value under key.
func openBlock(key, value []byte) (block, error) {
	if len(key) != journalKeyLen || key[0] != prefixJournal {
		return block{}, corrupt(key, "not a journal key")
	}
	if len(value) < blockHeaderLen {
		return block{}, corrupt(key, "journal block of %d bytes", len(value))
	}
	if value[0] != blockVersion {
		return block{}, corrupt(key, "journal block format %d, this build reads %d", value[0], blockVersion)
	}
	if want, got := binary.LittleEndian.Uint32(value[1:]), crc32.Checksum(value[5:], castagnoli); want != got {
		return block{}, corrupt(key, "journal block has checksum %08x, its bytes %08x", want, got)
	}
	b := block{
		key:   key,
		first: binary.LittleEndian.Uint64(value[5:]),
		index: binary.LittleEndian.Uint64(value[13:]),
		stamp: ledger.Micros(binary.LittleEndian.Uint64(value[21:])),
		count: int(value[29]),
		rows:  value[blockHeaderLen:],
	}
	if at := keyNumber(key, 1); at != b.first || at == 0 {
		return block{}, corrupt(key, "journal block of rows from %d on is stored under %d", b.first, at)
	}
	if b.count == 0 || b.count > maxBlockRows || b.first+uint64(b.count) < b.first {
		return block{}, corrupt(key, "journal block of %d rows from %d on", b.count, b.first)
	}
	return b, nil
}

// holds reports whether the row of seq is in b.
func (b *block) holds(seq uint64) bool {
	return seq >= b.first && seq-b.first < uint64(b.count)
}

// row returns the encoded row of seq, which b holds.
func (b *block) row(seq uint64) ([]byte, error) {
	rest := b.rows
	for skip := seq - b.first; ; skip-- {
		row, next, ok := cutRow(rest)
		if !ok {
			return nil, corrupt(b.key, "journal block ends before row %d", seq)
		}
		if skip == 0 {
			return row, nil
		}
		rest = next
	}
}

// each calls fn for every row of b in order and verifies that nothing is left.
func (b *block) each(fn func(seq uint64, row []byte) error) error {
	rest := b.rows
	for i := range b.count {
		row, next, ok := cutRow(rest)
		if !ok {
			return corrupt(b.key, "journal block ends before row %d", b.first+uint64(i))
		}
		if err := fn(b.first+uint64(i), row); err != nil {
			return err
		}
		rest = next
	}
	if len(rest) > 0 {
		return corrupt(b.key, "%d bytes after the last row", len(rest))
	}
	return nil
}

// record decodes row, the row of seq, into a record that lives in memory of its
// own.
func (b *block) record(seq uint64, row []byte) (*ledger.Record, error) {
	rec := new(ledger.Record)
	err := b.decode(seq, append([]byte(nil), row...), rec)
	if err != nil {
		return nil, err
	}
	return rec, nil
}

// decode is record into rec, whose slices alias row.
func (b *block) decode(seq uint64, row []byte, rec *ledger.Record) error {
	if err := ledger.DecodeRecord(row, rec); err != nil {
		return corrupt(b.key, "row %d: %v", seq, err)
	}
	rec.Seq, rec.Time = seq, b.stamp
	return nil
}

func cutRow(src []byte) (row, rest []byte, ok bool) {
	n, w := binary.Uvarint(src)
	if w <= 0 || n > uint64(len(src)-w) {
		return nil, nil, false
	}
	return src[w : w+int(n) : w+int(n)], src[w+int(n):], true
}
