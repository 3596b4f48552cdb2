package bench

import (
	"fmt"
	"strings"
)

// numberMark stands for the account's number in a pattern. No account id can
// contain braces, so it is never ambiguous.
const numberMark = "{n}"

// pattern is an account id, or a family of ids that differ in a number of
// fixed width, so that one can be written over another in place.
type pattern struct {
	prefix, suffix string
	width          int // decimal digits of the number; 0: the id is constant
}

// newPattern parses text for numbers below accounts.
func newPattern(text string, accounts int) pattern {
	prefix, suffix, numbered := strings.Cut(text, numberMark)
	if !numbered {
		return pattern{prefix: text}
	}
	return pattern{prefix: prefix, suffix: suffix, width: len(fmt.Sprint(accounts - 1))}
}

// world reports whether the pattern names the outside of the ledger, whose
// accounts exist by themselves and need no funds.
func (p pattern) world() bool { return strings.HasPrefix(p.prefix, "world:") }

// count returns how many accounts the pattern names, of a family of accounts.
func (p pattern) count(accounts int) int {
	if p.width == 0 {
		return 1
	}
	return accounts
}

// id returns the id of account number n.
func (p pattern) id(n uint64) string {
	var l layout
	l.account(p).put(l.text, n)
	return string(l.text)
}

// number returns the number of the account with this id, if it is one of the
// pattern's.
func (p pattern) number(id string) (n int, ok bool) {
	rest, ok := strings.CutPrefix(id, p.prefix)
	text, ends := strings.CutSuffix(rest, p.suffix)
	if !ok || !ends || len(text) != p.width {
		return 0, false
	}
	if p.width == 0 {
		return 0, true
	}
	value, ok := digits([]byte(text))
	return int(value), ok
}

func (p pattern) String() string { return p.prefix + strings.Repeat("#", p.width) + p.suffix }

// span is a place for a decimal number of fixed width in a request. The zero
// span has no digits: writing to it changes nothing.
type span struct{ at, width int }

// put writes n over the span, zero-padded; higher digits are cut off.
func (s span) put(buf []byte, n uint64) {
	for i := s.at + s.width - 1; i >= s.at; i-- {
		buf[i] = byte('0' + n%10)
		n /= 10
	}
}

// layout is request text under construction.
type layout struct{ text []byte }

func (l *layout) add(parts ...string) {
	for _, part := range parts {
		l.text = append(l.text, part...)
	}
}

func (l *layout) number(width int) span {
	s := span{at: len(l.text), width: width}
	l.add(strings.Repeat("0", width))
	return s
}

func (l *layout) account(p pattern) span {
	l.add(p.prefix)
	s := l.number(p.width)
	l.add(p.suffix)
	return s
}
