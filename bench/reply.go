package bench

import (
	"bytes"
	"errors"
	"fmt"
)

const (
	maxHead    = 16 << 10 // a reply head beyond this is not one of a payment server
	exampleLen = 512      // bytes of a refused reply's body that are kept to show
)

var (
	headEnd      = []byte("\r\n\r\n")
	resultStatus = []byte(`{"status":`)
)

// reply parses one HTTP/1.1 reply from any sequence of reads. After each
// complete reply, reset makes it ready for the next. It reads what a payment
// server sends (a Content-Length, no chunks) and calls the rest malformed.
type reply struct {
	status   int
	replayed bool
	closes   bool // the server will close the connection after this reply
	// example is the start of the body of a reply that is not a success.
	example []byte

	batch     bool   // the request in flight is a batch
	results   []int  // the status of each result of a batch
	inBody    bool   // the head is complete
	remaining int    // body bytes still to come
	kept      []byte // bytes that need later ones before they mean anything
}

func (r *reply) reset() {
	r.status, r.remaining, r.results = 0, 0, r.results[:0]
	r.replayed, r.closes, r.inBody = false, false, false
	r.example, r.kept = r.example[:0], r.kept[:0]
}

// feed takes the next bytes of the reply and reports whether it is complete.
// It keeps no reference to data.
func (r *reply) feed(data []byte) (done bool, err error) {
	if len(r.kept) > 0 {
		r.kept = append(r.kept, data...)
		data = r.kept
	}
	if !r.inBody {
		end := bytes.Index(data, headEnd)
		if end < 0 {
			if len(data) > maxHead {
				return false, fmt.Errorf("malformed reply: head of more than %d bytes", maxHead)
			}
			r.keep(data)
			return false, nil
		}
		if err := r.head(data[:end+2]); err != nil {
			return false, err
		}
		data = data[end+len(headEnd):]
		r.inBody = true
	}
	return r.body(data)
}

// keep saves data, which may be a part of r.kept, for the next feed.
func (r *reply) keep(data []byte) { r.kept = append(r.kept[:0], data...) }

// head parses the status line and the header fields, each ending in CRLF.
func (r *reply) head(data []byte) error {
	const minLine = len("HTTP/1.1 200\r\n")
	if len(data) < minLine || string(data[:7]) != "HTTP/1." || data[8] != ' ' {
		return fmt.Errorf("malformed reply: status line %.40q", data)
	}
	status, ok := digits(data[9:12])
	if !ok || status < 200 || data[12] != ' ' && data[12] != '\r' {
		return fmt.Errorf("malformed reply: status line %.40q", data)
	}
	r.status = status
	r.closes = data[7] == '0'

	length := -1
	_, data, _ = bytes.Cut(data, headEnd[:2])
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		line := data[:end]
		data = data[end+1:]
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			return fmt.Errorf("malformed reply: header field %.40q", line)
		}
		name, value := line[:colon], bytes.TrimSpace(line[colon+1:])
		switch {
		case equalFold(name, "Content-Length"):
			if length, ok = digits(value); !ok {
				return fmt.Errorf("malformed reply: Content-Length %.40q", value)
			}
		case equalFold(name, "Idempotent-Replayed"):
			r.replayed = equalFold(value, "true")
		case equalFold(name, "Connection"):
			r.closes = equalFold(value, "close")
		case equalFold(name, "Transfer-Encoding"):
			return errors.New("malformed reply: Transfer-Encoding is not supported")
		}
	}
	if length < 0 && status != 204 {
		return errors.New("malformed reply: no Content-Length")
	}
	r.remaining = max(length, 0)
	return nil
}

// body takes body bytes: all of them new, or the kept ones and new ones.
func (r *reply) body(data []byte) (done bool, err error) {
	if len(data) > r.remaining {
		return false, fmt.Errorf("malformed reply: %d bytes after its end", len(data)-r.remaining)
	}
	used := len(data)
	switch {
	case r.status >= 300:
		r.example = append(r.example, data[:min(len(data), exampleLen-len(r.example))]...)
	case r.batch:
		if used, err = r.scan(data); err != nil {
			return false, err
		}
	}
	r.remaining -= used
	r.keep(data[used:])
	return r.remaining == 0, nil
}

// scan collects the results in a part of a batch's body and returns how much of
// it is done with. It relies on each result being an object that starts with
// its status, and on no other object of the body doing so; the caller compares
// the number of results with that of the payments, so that a server which
// writes them otherwise is noticed, not miscounted.
func (r *reply) scan(data []byte) (used int, err error) {
	last := len(data) == r.remaining
	for {
		i := bytes.Index(data[used:], resultStatus)
		if i < 0 {
			break
		}
		at := used + i + len(resultStatus)
		if len(data) < at+3 {
			if last {
				return 0, errors.New("malformed reply: result without a status")
			}
			return used + i, nil
		}
		status, ok := digits(data[at : at+3])
		if !ok || status < 100 {
			return 0, fmt.Errorf("malformed reply: result status %.3q", data[at:at+3])
		}
		r.results = append(r.results, status)
		used = at + 3
	}
	if last {
		return len(data), nil
	}
	return max(used, len(data)-len(resultStatus)+1), nil
}

// digits parses a run of up to nine decimal digits.
func digits(text []byte) (n int, ok bool) {
	if len(text) == 0 || len(text) > 9 {
		return 0, false
	}
	for _, b := range text {
		if b < '0' || b > '9' {
			return 0, false
		}
		n = n*10 + int(b-'0')
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
