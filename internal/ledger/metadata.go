package ledger

import (
	"bytes"
	"encoding/binary"
	"iter"
	"slices"
)

// Limits of metadata: pairs, and bytes of a key and of a value.
const (
	MaxMetadataPairs    = 16
	MaxMetadataKeyLen   = 40
	MaxMetadataValueLen = 200
)

// Metadata is a set of string pairs in canonical form: sorted by key, each
// string with its length (uvarint) before it. Two equal sets have equal bytes.
// Empty means no pairs.
type Metadata []byte

// Pair is one metadata entry.
type Pair struct{ Key, Value []byte }

// AppendMetadata appends the canonical form of pairs to dst. It sorts pairs in
// place. The caller has checked limits and that no key occurs twice.
func AppendMetadata(dst []byte, pairs []Pair) Metadata {
	slices.SortFunc(pairs, func(a, b Pair) int { return bytes.Compare(a.Key, b.Key) })
	for _, p := range pairs {
		dst = appendBytes(dst, p.Key)
		dst = appendBytes(dst, p.Value)
	}
	return dst
}

// All yields the pairs in key order. It stops early at bytes that are not
// canonical metadata; decoding has verified those that come from the log.
func (m Metadata) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		rest := []byte(m)
		for len(rest) > 0 {
			var k, v []byte
			var ok bool
			if k, rest, ok = cutBytes(rest); !ok {
				return
			}
			if v, rest, ok = cutBytes(rest); !ok || !yield(k, v) {
				return
			}
		}
	}
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

func cutBytes(src []byte) (b, rest []byte, ok bool) {
	n, w := binary.Uvarint(src)
	if w <= 0 || n > uint64(len(src)-w) {
		return nil, nil, false
	}
	return src[w : w+int(n) : w+int(n)], src[w+int(n):], true
}
