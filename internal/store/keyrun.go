package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"iter"
	"math/bits"

	"purser/internal/ledger"
)

// A sealed run is one ingested table of rows under its number (integers of keys
// are big endian, others little endian):
//
//	k run(4) 0 hash(8) seq(8)   one key; no value
//	k run(4) 1 chunk(4)         its filters, cut into chunks:
//
//	 0        1..3     4..7       8..
//	+--------+--------+----------+------------------------------------+
//	| version| zero   | CRC      | words: word filter, then blocks    |
//	+--------+--------+----------+------------------------------------+
//
// All chunks but the last have filterChunkWords words. How many there are of
// each kind follows from the number of keys, see wordBits and newBloom. The
// CRC-32C covers the row's key and then the words: a chunk in another's place is
// as broken as a changed one.
const (
	prefixKeys = 'k'

	keyRowTag    = 0
	keyFilterTag = 1

	keyRowLen         = 1 + 4 + 1 + 8 + 8
	filterVersion     = 1
	filterHeaderLen   = 8
	filterChunkWords  = 32 << 10
	filterChunkMaxLen = filterHeaderLen + 8*filterChunkWords
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

// keyRun is a sealed run: its keys are durable rows. It does not change.
type keyRun struct {
	runInfo
	blocks bloom
	shelf  *bloomShelf
	lane   int // of the word filter, on shelf
}

// lookup appends the run's seqs of hash to dst, newest first.
func (r *keyRun) lookup(rows keyRows, hash uint64, dst []uint64) ([]uint64, error) {
	start := len(dst)
	lower := appendKeyRow(nil, r.number, hash, 0)
	upper := appendKeyRow(nil, r.number, hash, ^uint64(0)) // no command has this seq
	err := rows.scanRange(lower, upper, func(key, _ []byte) error {
		if len(key) != keyRowLen {
			return corrupt(key, "not the key of an idempotency row")
		}
		// Rows outside the run's bounds are of an earlier life of its number,
		// before a crash: they may name commands that are yet to come.
		if seq := keyNumber(key, keyRowLen-8); seq >= r.first && seq <= r.last {
			dst = append(dst, seq)
		}
		return nil
	})
	if err != nil {
		return dst[:start], fmt.Errorf("look up in idempotency run %d: %w", r.number, err)
	}
	newestFirst(dst[start:])
	return dst, nil
}

// bytes is the memory of the run's own filter.
func (r *keyRun) bytes() int { return 8 * len(r.blocks) }

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

// runBuilder makes rows and filters of tables. It keeps its buffer between runs
// and belongs to one goroutine.
type runBuilder struct {
	words bloomWords
}

// build ingests the keys of t as the run r, which it completes but for the
// shelf, and leaves the word filter in b.words.
func (b *runBuilder) build(rows keyRows, t *keyTable, r *keyRun) error {
	b.resize(int(r.keys))
	r.blocks = newBloom(int(r.keys))
	return rows.ingestSorted(func(yield func(key, value []byte) bool) {
		var row [keyRowLen]byte
		for k := range t.sorted() {
			b.words.add(k.hash)
			r.blocks.add(k.hash)
			if !yield(appendKeyRow(row[:0], r.number, k.hash, k.seq), nil) {
				return
			}
		}
		b.filterRows(r)(yield)
	}, keyRange{})
}

// resize empties the word filter and makes it fit keys keys.
func (b *runBuilder) resize(keys int) {
	n := 1 << wordBits(keys)
	if cap(b.words) < n {
		b.words = make(bloomWords, n)
	}
	b.words = b.words[:n]
	clear(b.words)
}

// filterRows yields the filters of r as chunks.
func (b *runBuilder) filterRows(r *keyRun) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		var key, value []byte
		total := len(b.words) + len(r.blocks)
		for from := 0; from < total; from += filterChunkWords {
			key = appendFilterRow(key[:0], r.number, uint32(from/filterChunkWords))
			value = append(value[:0], filterVersion, 0, 0, 0, 0, 0, 0, 0)
			for i := from; i < min(from+filterChunkWords, total); i++ {
				value = binary.LittleEndian.AppendUint64(value, *b.word(r, i))
			}
			binary.LittleEndian.PutUint32(value[4:], filterSum(key, value))
			if !yield(key, value) {
				return
			}
		}
	}
}

// word is the i-th of the words of both filters.
func (b *runBuilder) word(r *keyRun, i int) *uint64 {
	if i < len(b.words) {
		return &b.words[i]
	}
	return &r.blocks[i-len(b.words)]
}

// load reads back the filters of r, as build left them. A filter that is not
// whole is a CorruptionError: without it, keys would be missed.
func (b *runBuilder) load(rows keyRows, r *keyRun) error {
	b.resize(int(r.keys))
	r.blocks = newBloom(int(r.keys))
	total := len(b.words) + len(r.blocks)
	at := 0
	want := make([]byte, 0, keyRowLen)
	err := rows.scanRange(appendFilterRow(nil, r.number, 0), appendRunPrefix(nil, r.number+1), func(key, value []byte) error {
		want = appendFilterRow(want[:0], r.number, uint32(at/filterChunkWords))
		n := min(total-at, filterChunkWords)
		switch {
		case string(key) != string(want):
			return corrupt(want, "a chunk of an idempotency run's filters is missing")
		case len(value) < filterHeaderLen:
			return corrupt(key, "filter chunk of %d bytes", len(value))
		case value[0] != filterVersion:
			return corrupt(key, "filter format %d, this build reads %d", value[0], filterVersion)
		case len(value) != filterHeaderLen+8*n:
			return corrupt(key, "filter chunk of %d bytes, want %d", len(value), filterHeaderLen+8*n)
		}
		if want, got := binary.LittleEndian.Uint32(value[4:]), filterSum(key, value); want != got {
			return corrupt(key, "filter chunk has checksum %08x, its bytes %08x", want, got)
		}
		for i := range n {
			*b.word(r, at+i) = binary.LittleEndian.Uint64(value[filterHeaderLen+8*i:])
		}
		at += n
		return nil
	})
	if err == nil && at < total {
		err = corrupt(appendFilterRow(nil, r.number, uint32(at/filterChunkWords)),
			"filters of an idempotency run end after %d of %d words", at, total)
	}
	if err != nil {
		return fmt.Errorf("load idempotency run %d: %w", r.number, err)
	}
	return nil
}

// filterSum is the checksum of a chunk: of its key and of value behind the
// checksum.
func filterSum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value[filterHeaderLen:])
}

// sealer turns frozen tables into runs on a goroutine of its own, one at a time.
type sealer struct {
	rows    keyRows
	fatal   func(error)
	builder runBuilder
	shelves []*bloomShelf // with at least one lane taken

	jobs    chan sealJob    // one fits: Keys never seals while a job is under way
	done    chan sealResult // one fits, so that the sealer never waits for Keys
	stopped chan struct{}
}

// sealJob asks for the run of table, which does not change until the result is
// taken.
type sealJob struct {
	table *keyTable
	run   *keyRun
	freed []*keyRun // dropped since the last job: their lanes may be reused
}

type sealResult struct {
	run *keyRun
	err error
}

func newSealer(rows keyRows, fatal func(error)) *sealer {
	return &sealer{
		rows:    rows,
		fatal:   fatal,
		jobs:    make(chan sealJob, 1),
		done:    make(chan sealResult, 1),
		stopped: make(chan struct{}),
	}
}

// loop runs until jobs is closed.
func (s *sealer) loop() {
	defer close(s.stopped)
	for job := range s.jobs {
		for _, r := range job.freed {
			r.shelf.taken &^= 1 << r.lane
		}
		err := s.builder.build(s.rows, job.table, job.run)
		if err == nil {
			s.shelve(job.run)
		} else {
			err = fmt.Errorf("seal idempotency run %d: %w", job.run.number, err)
		}
		s.done <- sealResult{run: job.run, err: err}
		if err != nil {
			s.fatal(err)
		}
	}
}

// shelve puts the word filter of r, which the builder just made, on the first
// shelf with room for it.
func (s *sealer) shelve(r *keyRun) {
	used := s.shelves[:0]
	for _, shelf := range s.shelves {
		if shelf.taken != 0 {
			used = append(used, shelf)
		}
	}
	clear(s.shelves[len(used):])
	s.shelves = used
	for _, shelf := range s.shelves {
		if shelf.fits(len(s.builder.words)) {
			r.shelf, r.lane = shelf, shelf.put(s.builder.words)
			return
		}
	}
	shelf := newBloomShelf(bits.TrailingZeros(uint(len(s.builder.words))))
	s.shelves = append(s.shelves, shelf)
	r.shelf, r.lane = shelf, shelf.put(s.builder.words)
}
