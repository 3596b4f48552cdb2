package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrDecode is wrapped by every error of decoding a command, an entry or a
// record: the bytes were never written by this package's encoders.
var ErrDecode = errors.New("ledger: cannot decode")

// reader takes fields off the front of src. The first fault sticks: later reads
// return zero values, and err tells at the end.
type reader struct {
	src []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: bad %s", ErrDecode, what)
	}
	r.src = nil
}

func (r *reader) byte(what string) byte {
	if len(r.src) == 0 {
		r.fail(what)
		return 0
	}
	b := r.src[0]
	r.src = r.src[1:]
	return b
}

func (r *reader) uint(what string) uint64 {
	if len(r.src) > 0 && r.src[0] < 0x80 {
		v := uint64(r.src[0])
		r.src = r.src[1:]
		return v
	}
	v, n := binary.Uvarint(r.src)
	if n <= 0 {
		r.fail(what)
		return 0
	}
	r.src = r.src[n:]
	return v
}

// natural reads an int64 that is never negative.
func (r *reader) natural(what string) int64 {
	v := r.uint(what)
	if int64(v) < 0 {
		r.fail(what)
		return 0
	}
	return int64(v)
}

func (r *reader) int(what string) int64 {
	u := r.uint(what)
	return int64(u>>1) ^ -int64(u&1)
}

func (r *reader) bytes(what string) []byte {
	b, rest, ok := cutBytes(r.src)
	if !ok {
		r.fail(what)
		return nil
	}
	r.src = rest
	return b
}

func (r *reader) currency() (c Currency) {
	n := copy(c[:], r.src)
	if n < len(c) {
		r.fail("currency")
		return Currency{}
	}
	r.src = r.src[n:]
	return c
}

func (r *reader) metadata() Metadata {
	m := Metadata(r.bytes("metadata"))
	for rest := []byte(m); len(rest) > 0; {
		var ok bool
		if _, rest, ok = cutBytes(rest); ok {
			_, rest, ok = cutBytes(rest)
		}
		if !ok {
			r.fail("metadata")
			return nil
		}
	}
	return m
}

func appendInt(dst []byte, v int64) []byte {
	return binary.AppendUvarint(dst, uint64(v)<<1^uint64(v>>63))
}
