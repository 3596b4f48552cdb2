package store

import (
	"encoding/binary"

	"purser/internal/ledger"
)

// Row prefixes. They are part of the on-disk format. That of the checkpoint comes
// before all that commits write: see replaceSorted.
const (
	prefixCheckpoint = 'c'
	prefixEvent      = 'e'
	prefixHistory    = 'h'
	prefixID         = 'i'
	prefixJournal    = 'j'
	prefixExpiry     = 'x'
)

// worldMarker starts the history key of a world account, where an account's
// number would have its most significant byte.
const worldMarker = 0xff

const (
	journalKeyLen = 1 + 8
	pairKeyLen    = 1 + 8 + 8 // events and expiries
	pageKeyLen    = 1 + 4 + 4
)

// historyStride is how many postings lie between two rows of the sparse history
// index: a walk along the backward chain reads at most this many rows to get to
// any posting. A row of it lies anywhere among all earlier ones, and each compaction
// writes all of them again, so that four times as many cost sixteen times as much. Rows
// between, as stores have from when it was 64, do no harm.
const historyStride = 256

// History names one chain of postings: that of the account with the number, or,
// if Account is 0, that of the world account of the currency.
type History struct {
	Account uint64
	World   ledger.Currency
}

func (h History) append(dst []byte) []byte {
	if h.Account != 0 {
		return binary.BigEndian.AppendUint64(dst, h.Account)
	}
	dst = append(dst, worldMarker)
	return append(dst, h.World[:]...)
}

func journalKey(dst []byte, first uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, prefixJournal), first)
}

func eventKey(dst []byte, payment, seq uint64) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, prefixEvent), payment)
	return binary.BigEndian.AppendUint64(dst, seq)
}

// expiryKey sorts by time because at is never negative: log time starts in 1970.
func expiryKey(dst []byte, at ledger.Micros, seq uint64) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, prefixExpiry), uint64(at))
	return binary.BigEndian.AppendUint64(dst, seq)
}

func idKey(dst, id []byte) []byte { return append(append(dst, prefixID), id...) }

func historyKey(dst []byte, h History, ordinal uint64) []byte {
	dst = h.append(append(dst, prefixHistory))
	return binary.BigEndian.AppendUint64(dst, ordinal)
}

func pageRowKey(dst []byte, k PageKey) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, prefixCheckpoint), k.Shard)
	return binary.BigEndian.AppendUint32(dst, k.Page)
}

// keyNumber reads the 8 bytes of key from offset on.
func keyNumber(key []byte, offset int) uint64 {
	return binary.BigEndian.Uint64(key[offset : offset+8])
}

// successor returns the first key after all that start with prefix, or nil if
// there is none.
func successor(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
