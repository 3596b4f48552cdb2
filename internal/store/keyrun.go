package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"iter"
	"slices"

	"github.com/cespare/xxhash/v2"

	"purser/internal/ledger"
)

// A sealed run is one ingested table of rows under its number (integers of keys
// are big endian, others little endian):
//
//	k run(4) 0 hash(8) seq(8)   one key; no value
//	k run(4) 1 chunk(4)         a part of its filter, as below
//	k run(4) 2 chunk(4)         a part of that of its group, see keyGroup
//
//	 0        1..3     4..7       8..
//	+--------+--------+----------+------------------+
//	| version| zero   | CRC      | words (8) of it  |
//	+--------+--------+----------+------------------+
//
// All chunks but the last have filterChunkWords words; how many there are in all
// follows from the number of keys, see newBlockBloom. The CRC-32C covers the row's
// key and then the words: a chunk in another's place is as broken as a changed
// one.
const (
	prefixKeys = 'k'

	keyRowTag    = 0
	keyFilterTag = 1

	keyRowLen        = 1 + 4 + 1 + 8 + 8
	filterVersion    = 1
	filterHeaderLen  = 8
	filterChunkWords = 32 << 10
)

// keyRows is where runs are kept: the Store.
type keyRows interface {
	// ingestSorted makes ascending rows durable and visible, all or none.
	ingestSorted(rows iter.Seq2[[]byte, []byte], drop keyRange) error
	// scanRange calls fn for the rows from lower to upper, exclusive, in order.
	scanRange(lower, upper []byte, fn func(key, value []byte) error) error
	// deleteRange deletes them; after a crash they may be back.
	deleteRange(start, end []byte) error
}

var _ keyRows = (*Store)(nil)

// runInfo describes a run. It is part of the format of Keys.Meta.
type runInfo struct {
	number uint32
	keys   uint32
	first  uint64 // seq of the oldest key
	last   uint64
	newest ledger.Micros // log time of the newest key
}

// keyRun is a sealed run: its keys are durable rows.
type keyRun struct {
	runInfo
	filter blockBloom
	group  *keyGroup // that has all keys of the run; nil right after OpenKeys. Keys guards it
}

// lookup appends the run's seqs of hash to dst, newest first.
func (r *keyRun) lookup(rows keyRows, hash uint64, dst []uint64) ([]uint64, error) {
	start := len(dst)
	lower := appendKeyRow(nil, r.number, hash, 0)
	upper := appendKeyRow(nil, r.number, hash, ^uint64(0)) // no command has this seq
	err := rows.scanRange(lower, upper, func(key, _ []byte) error {
		_, seq, err := r.parse(key)
		if err == nil && r.covers(seq) {
			dst = append(dst, seq)
		}
		return err
	})
	if err != nil {
		return dst[:start], fmt.Errorf("look up in idempotency run %d: %w", r.number, err)
	}
	newestFirst(dst[start:])
	return dst, nil
}

// sum tells r from another run that had its number before a crash.
func (r *keyRun) sum() uint64 {
	var d xxhash.Digest
	d.Reset()
	var bytes [8 * blockWords]byte
	binary.LittleEndian.PutUint64(bytes[0:], uint64(r.keys))
	binary.LittleEndian.PutUint64(bytes[8:], r.first)
	binary.LittleEndian.PutUint64(bytes[16:], r.last)
	_, _ = d.Write(bytes[:]) // never fails
	for block := range slices.Chunk(r.filter, blockWords) {
		for i, word := range block {
			binary.LittleEndian.PutUint64(bytes[8*i:], word)
		}
		_, _ = d.Write(bytes[:])
	}
	return d.Sum64()
}

// parse reads the key of a row.
func (r *keyRun) parse(key []byte) (hash, seq uint64, err error) {
	if len(key) != keyRowLen {
		return 0, 0, corrupt(key, "not the row of an idempotency key")
	}
	return keyNumber(key, keyRowLen-16), keyNumber(key, keyRowLen-8), nil
}

// covers reports whether seq is within the bounds of the run. A row outside is of
// an earlier life of the run's number, before a crash: it may name a command
// that is yet to come.
func (r *keyRun) covers(seq uint64) bool { return seq >= r.first && seq <= r.last }

func appendKeyRow(dst []byte, run uint32, hash, seq uint64) []byte {
	dst = append(appendRunPrefix(dst, run), keyRowTag)
	dst = binary.BigEndian.AppendUint64(dst, hash)
	return binary.BigEndian.AppendUint64(dst, seq)
}

func appendFilterRow(dst []byte, run, chunk uint32) []byte {
	dst = append(appendRunPrefix(dst, run), keyFilterTag)
	return binary.BigEndian.AppendUint32(dst, chunk)
}

func appendRunPrefix(dst []byte, run uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, prefixKeys), run)
}

// write makes the keys of t durable as the rows of r, together with the filter,
// which it fills, and calls add with the hash of each.
func (r *keyRun) write(rows keyRows, t *keyTable, add func(hash uint64)) error {
	r.filter = newBlockBloom(int(r.keys))
	err := rows.ingestSorted(func(yield func(key, value []byte) bool) {
		var row [keyRowLen]byte
		for k := range t.sorted() {
			r.filter.add(k.hash)
			add(k.hash)
			if !yield(appendKeyRow(row[:0], r.number, k.hash, k.seq), nil) {
				return
			}
		}
		r.filterRows(yield)
	}, keyRange{})
	if err != nil {
		return fmt.Errorf("write idempotency run %d: %w", r.number, err)
	}
	return nil
}

// filterRows yields the filter of r in chunks.
func (r *keyRun) filterRows(yield func(key, value []byte) bool) {
	var key, value []byte
	chunk := uint32(0)
	for words := range slices.Chunk(r.filter, filterChunkWords) {
		key = appendFilterRow(key[:0], r.number, chunk)
		value = appendChunk(value[:0], key, words)
		if !yield(key, value) {
			return
		}
		chunk++
	}
}

// appendChunk appends to dst the value of the row key: a part of a filter.
func appendChunk(dst, key []byte, words []uint64) []byte {
	dst = append(dst, filterVersion, 0, 0, 0, 0, 0, 0, 0)
	for _, word := range words {
		dst = binary.LittleEndian.AppendUint64(dst, word)
	}
	binary.LittleEndian.PutUint32(dst[4:], filterSum(key, dst))
	return dst
}

// load reads the filter of r. One that is not whole is a CorruptionError:
// without it, keys would be missed.
func (r *keyRun) load(rows keyRows) error {
	r.filter = newBlockBloom(int(r.keys))
	rest := r.filter
	due := appendFilterRow(nil, r.number, 0) // key of the next chunk
	chunk := uint32(0)
	end := appendGroupRow(nil, r.number, 0)
	err := rows.scanRange(due, end, func(key, value []byte) error {
		if string(key) != string(due) {
			return corrupt(due, "missing; row %x follows", key)
		}
		n := min(len(rest), filterChunkWords)
		if err := loadChunk(key, value, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
		chunk++
		due = appendFilterRow(due[:0], r.number, chunk)
		return nil
	})
	if err == nil && len(rest) > 0 {
		err = corrupt(due, "missing, and with it %d of the %d words of a filter", len(rest), len(r.filter))
	}
	if err != nil {
		return fmt.Errorf("load idempotency run %d: %w", r.number, err)
	}
	return nil
}

func loadChunk(key, value []byte, words []uint64) error {
	switch {
	case len(value) < filterHeaderLen:
		return corrupt(key, "part of a filter of %d bytes", len(value))
	case value[0] != filterVersion:
		return corrupt(key, "filter format %d, this build reads %d", value[0], filterVersion)
	case len(value) != filterHeaderLen+8*len(words):
		return corrupt(key, "part of a filter of %d bytes, not %d", len(value), filterHeaderLen+8*len(words))
	}
	if want, got := binary.LittleEndian.Uint32(value[4:]), filterSum(key, value); want != got {
		return corrupt(key, "part of a filter has checksum %08x, its bytes %08x", want, got)
	}
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(value[filterHeaderLen+8*i:])
	}
	return nil
}

// filterSum is the checksum of a chunk: of its key and of value behind the
// checksum.
func filterSum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value[filterHeaderLen:])
}

// regroup calls add with the hashes of r, read from the store. It reports whether
// they were all there; they are not when the run is dropped and deleted
// meanwhile.
func (r *keyRun) regroup(rows keyRows, add func(hash uint64)) (whole bool, err error) {
	n := uint32(0)
	err = rows.scanRange(appendKeyRow(nil, r.number, 0, 0), appendFilterRow(nil, r.number, 0), func(key, _ []byte) error {
		hash, seq, err := r.parse(key)
		if err == nil && r.covers(seq) {
			add(hash)
			n++
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("read idempotency run %d: %w", r.number, err)
	}
	return n == r.keys, nil
}
