package transport

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// A cursor is opaque to clients. It continues exactly the listing that gave it
// out: the check covers what the listing is of, so that a cursor of another
// account, order or prefix is refused instead of skipping something.
//
//	+------+---------+-------------------------------------+
//	| kind | payload | xxhash64 of kind, scope and payload |
//	+------+---------+-------------------------------------+
//
// written in base64url without padding. The payload is the last account's id, or
// the last posting's seq in 8 bytes big-endian.
const (
	cursorAccounts   = 'l'
	cursorAscending  = 'a'
	cursorDescending = 'd'
	cursorCheckLen   = 8
)

var cursorEncoding = base64.RawURLEncoding.Strict()

func cursorCheck(kind byte, scope, payload []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	d.Write([]byte{kind, byte(len(scope)), byte(len(scope) >> 8)})
	d.Write(scope)
	d.Write(payload)
	return d.Sum64()
}

// appendCursor appends a cursor as a JSON string.
func appendCursor(dst []byte, kind byte, scope, payload []byte) []byte {
	raw := append(make([]byte, 0, 1+len(payload)+cursorCheckLen), kind)
	raw = append(raw, payload...)
	raw = binary.BigEndian.AppendUint64(raw, cursorCheck(kind, scope, payload))
	dst = append(dst, '"')
	dst = cursorEncoding.AppendEncode(dst, raw)
	return append(dst, '"')
}

// openCursor returns the payload of a cursor of kind and scope, or refuses it.
func (c *call) openCursor(kind byte, scope, cursor []byte) (payload []byte, ok bool) {
	raw, err := cursorEncoding.AppendDecode(nil, cursor)
	exact := string(cursorEncoding.AppendEncode(nil, raw)) == string(cursor) // decoding drops line breaks
	n := len(raw) - cursorCheckLen
	if err == nil && exact && n > 1 && raw[0] == kind {
		payload = raw[1:n]
		if binary.BigEndian.Uint64(raw[n:]) == cursorCheck(kind, scope, payload) {
			return payload, true
		}
	}
	c.invalid("cursor", "is not a cursor of this listing")
	return nil, false
}

func entriesKind(ascending bool) byte {
	if ascending {
		return cursorAscending
	}
	return cursorDescending
}

// appendEntriesCursor appends the cursor that goes on after the posting last.
func (c *call) appendEntriesCursor(dst []byte, last uint64, ascending bool) []byte {
	var seq [8]byte
	binary.BigEndian.PutUint64(seq[:], last)
	return appendCursor(dst, entriesKind(ascending), c.id, seq[:])
}

// entriesFrom is the seq that the parameter cursor goes on after, 0 without one.
func (c *call) entriesFrom(p *parameters, ascending bool) (from uint64, ok bool) {
	if p.cursor == nil {
		return 0, true
	}
	payload, ok := c.openCursor(entriesKind(ascending), c.id, p.cursor)
	if !ok {
		return 0, false
	}
	if len(payload) != 8 {
		c.invalid("cursor", "is not a cursor of this listing")
		return 0, false
	}
	return binary.BigEndian.Uint64(payload), true
}
