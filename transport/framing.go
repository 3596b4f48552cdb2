package transport

import (
	"iter"

	"github.com/valyala/fasthttp"
)

// framedTwice reports whether a request has both Content-Length and
// Transfer-Encoding, which two servers could read as different requests.
// fasthttp reads on and closes the connection afterwards; that tells where to
// look closer.
func framedTwice(h *fasthttp.RequestHeader) bool {
	length, coding := false, false
	for line := range splitLines(h.RawHeaders()) {
		length = length || hasName(line, "content-length")
		coding = coding || hasName(line, "transfer-encoding")
	}
	return length && coding
}

// splitLines yields the lines of a request's head.
func splitLines(head []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		from := 0
		for i, b := range head {
			if b != '\n' {
				continue
			}
			if !yield(head[from:i]) {
				return
			}
			from = i + 1
		}
	}
}

// hasName reports whether line is the header of that lower-case name.
func hasName(line []byte, name string) bool {
	return len(line) > len(name) && line[len(name)] == ':' && equalFold(line[:len(name)], []byte(name))
}
