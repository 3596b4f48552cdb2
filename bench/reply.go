package bench

import (
	"bytes"
	"errors"
	"fmt"
)

const (
	maxHead    = 16 << 10 // a reply head beyond this is not one of a payment server
	exampleLen = 512      // bytes of a refused reply that are kept to show
)

var headEnd = []byte("\r\n\r\n")

// reply takes one HTTP/1.1 reply from any sequence of reads. After each
// complete reply, reset makes it ready for the next. It reads what a payment
// server sends (a Content-Length, no chunks) and calls the rest malformed.
type reply struct {
	status   int
	replayed bool
	closes   bool // the server will close the connection after this reply
	// body is complete once feed says so, and valid until the next call.
	body []byte

	at   int    // where the body begins
	size int    // of head and body; 0: the head is not complete
	kept []byte // what came in earlier reads
}

func (r *reply) reset() { *r = reply{kept: r.kept[:0]} }

// feed takes the next bytes of the reply and reports whether it is complete.
// A reply that comes in one piece is not copied.
func (r *reply) feed(data []byte) (done bool, err error) {
	partial := len(r.kept) > 0
	if partial {
		r.kept = append(r.kept, data...)
		data = r.kept
	}
	if r.size == 0 {
		end := bytes.Index(data, headEnd)
		if end >= 0 {
			length, err := r.head(data[:end+2])
			if err != nil {
				return false, err
			}
			r.at = end + len(headEnd)
			r.size = r.at + length
		} else if len(data) > maxHead {
			return false, fmt.Errorf("malformed reply: head of more than %d bytes", maxHead)
		}
	}
	switch {
	case r.size == 0 || len(data) < r.size:
		if !partial {
			r.kept = append(r.kept, data...)
		}
		return false, nil
	case len(data) > r.size:
		return false, fmt.Errorf("malformed reply: %d bytes after its end", len(data)-r.size)
	}
	r.body = data[r.at:]
	return true, nil
}

// head parses the status line and the header fields, each ending in CRLF, and
// returns the length of the body.
func (r *reply) head(data []byte) (length int, err error) {
	const minLine = len("HTTP/1.1 200\r\n")
	if len(data) < minLine || string(data[:7]) != "HTTP/1." || data[8] != ' ' {
		return 0, fmt.Errorf("malformed reply: status line %.40q", data)
	}
	status, ok := digits(data[9:12])
	if !ok || status < 200 || data[12] != ' ' && data[12] != '\r' {
		return 0, fmt.Errorf("malformed reply: status line %.40q", data)
	}
	r.status = int(status)
	r.closes = data[7] == '0'

	known := status == 204
	_, data, _ = bytes.Cut(data, headEnd[:2])
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		line := data[:end]
		data = data[end+1:]
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			return 0, fmt.Errorf("malformed reply: header field %.40q", line)
		}
		name, value := line[:colon], bytes.TrimSpace(line[colon+1:])
		switch {
		case equalFold(name, "Content-Length"):
			n, ok := digits(value)
			if !ok || n > 1<<30 {
				return 0, fmt.Errorf("malformed reply: Content-Length %.40q", value)
			}
			length, known = int(n), true
		case equalFold(name, "Idempotent-Replayed"):
			r.replayed = equalFold(value, "true")
		case equalFold(name, "Connection"):
			r.closes = equalFold(value, "close")
		case equalFold(name, "Transfer-Encoding"):
			return 0, errors.New("malformed reply: Transfer-Encoding is not supported")
		}
	}
	if !known {
		return 0, errors.New("malformed reply: no Content-Length")
	}
	return length, nil
}

// digits parses a run of up to 19 decimal digits.
func digits(text []byte) (n uint64, ok bool) {
	if len(text) == 0 || len(text) > 19 {
		return 0, false
	}
	for _, b := range text {
		if b < '0' || b > '9' {
			return 0, false
		}
		n = n*10 + uint64(b-'0')
	}
	return n, true
}

// equalFold compares ASCII text without regard to case; name is a constant.
// bytes.EqualFold on two byte slices would need one made of name.
func equalFold(text []byte, name string) bool {
	if len(text) != len(name) {
		return false
	}
	for i := range text {
		a, b := text[i], name[i]
		if a != b && (a|0x20 != b|0x20 || a|0x20 < 'a' || a|0x20 > 'z') {
			return false
		}
	}
	return true
}
