package bench

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// entryLine is a line of an account's journal. The texts are parts of the reply
// that it was read from.
type entryLine struct {
	seq                      uint64
	payment, kind, direction []byte
	amount                   int64
	posted, held             int64 // after it
}

var errEntries = errors.New("not the JSON of entries")

// scanEntries reads a page of entries, appends its lines to dst, and returns
// them with the cursor of the next page, empty after the last. It takes JSON
// without white space and without escapes, which is what servers send, in any
// order of members: reading all journals of a run is mostly this, and the
// general decoder takes ten times as long (BenchmarkScanEntries).
func scanEntries(body []byte, dst []entryLine) (lines []entryLine, cursor string, err error) {
	s := scanner{rest: body}
	s.take(`{"entries":`)
	if s.has("null") { // how some write an empty list
		s.take("null")
	} else {
		s.take("[")
		for i := 0; s.err == nil && !s.has("]"); i++ {
			if i > 0 {
				s.take(",")
			}
			var line entryLine
			s.object(line.set)
			dst = append(dst, line)
		}
		s.take("]")
	}
	s.take(`,"next_cursor":`)
	cursor = string(s.value())
	s.take("}")
	if s.err == nil && len(s.rest) > 0 {
		s.err = errEntries
	}
	if cursor == "null" {
		cursor = ""
	}
	return dst, cursor, s.err
}

func (e *entryLine) set(name, value []byte) (err error) {
	switch string(name) {
	case "seq":
		var ok bool
		if e.seq, ok = digits(value); !ok {
			err = fmt.Errorf("%w: seq %q", errEntries, value)
		}
	case "payment":
		e.payment = value
	case "kind":
		e.kind = value
	case "direction":
		e.direction = value
	case "amount":
		e.amount = amount(value)
	case "posted":
		e.posted = amount(value)
	case "held":
		e.held = amount(value)
	}
	return err
}

// amount reads an amount. One that is none does not compare equal to any that
// follows from another, so that it is noticed.
func amount(text []byte) int64 {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return math.MinInt64
	}
	return n
}

// change is what the line added to posted.
func (e *entryLine) change() int64 {
	switch string(e.direction) {
	case "debit":
		return -e.amount
	case "credit":
		return e.amount
	}
	return 0
}

// scanner reads JSON from its beginning; after the first error it reads nothing.
type scanner struct {
	rest []byte
	err  error
}

func (s *scanner) has(text string) bool {
	return len(s.rest) >= len(text) && string(s.rest[:len(text)]) == text
}

// take reads exactly this text.
func (s *scanner) take(text string) {
	if s.err != nil {
		return
	}
	if !s.has(text) {
		s.err = fmt.Errorf("%w: %.40q, want %q", errEntries, s.rest, text)
		return
	}
	s.rest = s.rest[len(text):]
}

// object reads an object whose values are strings, numbers or null.
func (s *scanner) object(set func(name, value []byte) error) {
	s.take("{")
	for i := 0; s.err == nil && !s.has("}"); i++ {
		if i > 0 {
			s.take(",")
		}
		name := s.value()
		s.take(":")
		value := s.value()
		if s.err == nil {
			s.err = set(name, value)
		}
	}
	s.take("}")
}

// value reads a string, without its quotes, or a number, or a word.
func (s *scanner) value() (text []byte) {
	quoted := s.has(`"`)
	end := -1
	if quoted {
		s.take(`"`)
		end = bytes.IndexByte(s.rest, '"')
	} else {
		end = bytes.IndexAny(s.rest, ",}]")
	}
	if s.err != nil || end < 0 || bytes.IndexByte(s.rest[:end], '\\') >= 0 || !quoted && end == 0 {
		if s.err == nil {
			s.err = fmt.Errorf("%w: value %.40q", errEntries, s.rest)
		}
		return nil
	}
	text = s.rest[:end]
	if quoted {
		end++
	}
	s.rest = s.rest[end:]
	return text
}
