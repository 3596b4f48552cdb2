package store

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"

	"purser/internal/ledger"
	"purser/internal/planted"
)

// retainedBatchBytes is how much memory a Batch keeps between entries: enough
// for an entry of a few thousand payments.
const retainedBatchBytes = 4 << 20

// Batch collects the rows of one log entry. The store has one, which Begin hands
// out again and again; it belongs to the goroutine that applies the log, from
// Begin to Commit.
type Batch struct {
	rows   *pebble.Batch
	fatal  func(error)
	pacer  *pacer
	index  uint64
	stamp  ledger.Micros
	first  uint64        // seq of the first row of block
	next   uint64        // seq that the next row must have, 0 before the first
	count  int           // rows in block
	block  []byte        // header to be filled, and the rows so far
	key    []byte        // scratch
	digest xxhash.Digest // of all rows of the entry

	indexes indexes
	put     func(key, value []byte) // set, made once: a closure for each row would be garbage
}

// Begin starts the batch of the log entry at index, stamped stamp. It drops
// whatever the last one collected without committing.
func (s *Store) Begin(index uint64, stamp ledger.Micros) *Batch {
	b := &s.batch
	b.rows.Reset()
	b.index, b.stamp = index, stamp
	b.next, b.count = 0, 0
	b.digest.Reset()
	return b
}

// Add appends the journal row of rec, which has the seq after the last one's,
// and the index rows that lead to it. It keeps nothing of rec. It panics on a
// gap in seq: the journal would lie about what was executed.
func (b *Batch) Add(rec *ledger.Record) {
	if rec.Seq == 0 || b.next != 0 && rec.Seq != b.next {
		panic(fmt.Sprintf("store: row %d where %d is due", rec.Seq, b.next))
	}
	b.next = rec.Seq + 1
	if b.count == maxBlockRows || b.count > 0 && len(b.block) >= maxBlockBytes {
		b.seal()
	}
	if b.count == 0 {
		b.first = rec.Seq
		if planted.Is(planted.JournalRowOverwritten) && rec.Command.Kind.OnPayment() {
			b.first = rec.Command.Payment
		}
		b.block = append(b.block[:0], make([]byte, blockHeaderLen)...)
	}
	b.block = appendRow(b.block, rec)
	b.count++
	if rec.Code == ledger.OK {
		b.indexes.each(rec, b.put)
	}
}

// seal ends the block and adds it to the batch.
func (b *Batch) seal() {
	if b.count == 0 {
		return
	}
	finishBlock(b.block, b.first, b.index, b.stamp, b.count)
	if !planted.Is(planted.DigestSkipped) {
		_, _ = b.digest.Write(b.block[blockHeaderLen:]) // never fails
	}
	b.key = journalKey(b.key[:0], b.first)
	b.set(b.key, b.block)
	b.count = 0
}

// set adds one row. Pebble documents no error for a batch that is not indexed
// and was not committed.
func (b *Batch) set(key, value []byte) {
	if err := b.rows.Set(key, value, nil); err != nil {
		panic(fmt.Sprintf("store: add row %x: %v", key, err))
	}
}

// Digest chains prev, the digest before the entry, with the entry's index, stamp
// and rows: two replicas with equal digests executed the same commands to the
// same outcomes. Call it after the last Add. How the rows are cut into blocks
// does not matter.
func (b *Batch) Digest(prev uint64) uint64 {
	b.seal()
	var link [32]byte
	binary.LittleEndian.PutUint64(link[0:], prev)
	binary.LittleEndian.PutUint64(link[8:], b.index)
	binary.LittleEndian.PutUint64(link[16:], uint64(b.stamp))
	binary.LittleEndian.PutUint64(link[24:], b.digest.Sum64())
	return xxhash.Sum64(link[:])
}

// Commit makes the rows visible to readers, all at once. They are not durable;
// see the package comment. An error has gone to Options.Fatal too. An entry
// without rows commits nothing.
func (b *Batch) Commit() error {
	b.seal()
	if b.rows.Empty() {
		return nil
	}
	b.pacer.committed.Add(int64(b.rows.Len()))
	if err := b.rows.Commit(pebble.NoSync); err != nil {
		err = fmt.Errorf("store: commit entry %d: %w", b.index, err)
		b.fatal(err)
		return err
	}
	return nil
}
