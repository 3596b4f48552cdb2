package transport

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"sync/atomic"
)

// maxRequestIDLen is the longest request id that is taken from a client.
const maxRequestIDLen = 128

// saneRequestID reports whether id can be repeated in headers, bodies and logs:
// 1 to 128 bytes of visible ASCII.
func saneRequestID(id []byte) bool {
	if len(id) == 0 || len(id) > maxRequestIDLen {
		return false
	}
	for _, b := range id {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return true
}

// requestIDs makes up request ids: a random prefix for the process and a counter.
// They are labels, not secrets.
type requestIDs struct {
	prefix string
	last   atomic.Uint64
}

func newRequestIDs() *requestIDs {
	var random [6]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the process instead
	return &requestIDs{prefix: "req_" + hex.EncodeToString(random[:]) + "_"}
}

func (r *requestIDs) append(dst []byte) []byte {
	return strconv.AppendUint(append(dst, r.prefix...), r.last.Add(1), 10)
}
