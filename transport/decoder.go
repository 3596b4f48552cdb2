package transport

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"purser/internal/ledger"
)

// maxDepth bounds how deep values may nest. Requests need four levels.
const maxDepth = 16

// fault is why a request is refused before it becomes a command. param names the
// field, is empty where it is about none, and may alias the request.
type fault struct {
	code   code
	param  []byte
	detail string
}

// decoder reads one JSON text strictly: valid UTF-8, no unpaired surrogates, no
// field twice, nothing after the value. It reads RFC 8259's grammar and no more.
//
// The first fault sticks: later reads return zero values and consume nothing.
// Strings that are read alias src, or scratch where escapes had to be resolved.
// The zero decoder is ready after reset; one is used for many requests, so that
// decoding a typical one allocates nothing.
type decoder struct {
	src     []byte
	pos     int
	fault   fault
	scratch []byte // resolved strings, default ids, canonical metadata
	pairs   []ledger.Pair
	prefix  string // of the names of fields, inside a nested object
}

func (d *decoder) reset(src []byte) {
	d.src, d.pos, d.fault, d.prefix = src, 0, fault{}, ""
	d.scratch = d.scratch[:0]
}

func (d *decoder) failed() bool { return d.fault.code != noCode }

func (d *decoder) fail(c code, param []byte, detail string) {
	if d.failed() {
		return
	}
	if d.prefix != "" && param != nil {
		param = append([]byte(d.prefix), param...)
	}
	d.fault = fault{code: c, param: param, detail: detail}
}

func (d *decoder) syntax(detail string) { d.fail(codeInvalidJSON, nil, detail) }

func (d *decoder) invalid(param, detail string) {
	d.fail(codeInvalidRequest, []byte(param), detail)
}

// peek skips white space and returns the next byte without taking it, 0 at the end.
func (d *decoder) peek() byte {
	for d.pos < len(d.src) {
		switch b := d.src[d.pos]; b {
		case ' ', '\n', '\t', '\r':
			d.pos++
		default:
			return b
		}
	}
	return 0
}

// take consumes b as the next byte after white space, or fails.
func (d *decoder) take(b byte, detail string) bool {
	if d.failed() {
		return false
	}
	if d.peek() != b {
		d.syntax(detail)
		return false
	}
	d.pos++
	return true
}

// end fails unless nothing but white space is left.
func (d *decoder) end() {
	if !d.failed() && (d.peek() != 0 || d.pos < len(d.src)) {
		d.syntax("something follows the JSON value")
	}
}

// mismatch fails with a wrong type for param, or with a syntax error where no
// value starts at all.
func (d *decoder) mismatch(param, detail string) {
	switch b := d.peek(); {
	case b == '"', b == '{', b == '[', b == '-', b >= '0' && b <= '9',
		d.literal("true"), d.literal("false"), d.literal("null"):
		d.invalid(param, detail)
	default:
		d.syntax("a value is expected")
	}
}

// literal reports whether word is next, without taking it.
func (d *decoder) literal(word string) bool {
	end := d.pos + len(word)
	return end <= len(d.src) && string(d.src[d.pos:end]) == word
}

// object iterates over the fields of one object.
type object struct {
	name    []byte // of the current field
	started bool
	seen    uint32 // fields read so far, a bit each
}

// open takes the brace that starts the object which is the value of param.
func (d *decoder) open(param string) bool {
	if d.failed() {
		return false
	}
	if d.peek() != '{' {
		d.mismatch(param, "must be an object")
		return false
	}
	d.pos++
	return true
}

// next moves to the next field of o and stands before its value; it returns
// false after the last one, with the closing brace taken, and on a fault.
func (d *decoder) next(o *object) bool {
	if d.failed() {
		return false
	}
	if d.peek() == '}' {
		d.pos++
		return false
	}
	if o.started && !d.take(',', "a comma or a closing brace is expected") {
		return false
	}
	o.started = true
	if d.peek() != '"' {
		d.syntax("a field name is expected")
		return false
	}
	o.name = d.text()
	return d.take(':', "a colon is expected")
}

// once records that o's current field was read and fails if it was read before.
func (d *decoder) once(o *object, bit uint32) bool {
	if o.seen&bit != 0 {
		d.fail(codeInvalidRequest, o.name, "the field occurs twice")
		return false
	}
	o.seen |= bit
	return !d.failed()
}

func (d *decoder) unknown(o *object) {
	d.fail(codeUnknownField, o.name, "there is no such field")
}

// str reads a string as the value of param.
func (d *decoder) str(param string) []byte {
	if d.failed() {
		return nil
	}
	if d.peek() != '"' {
		d.mismatch(param, "must be a string")
		return nil
	}
	return d.text()
}

// bool reads a boolean as the value of param.
func (d *decoder) bool(param string) bool {
	if d.failed() {
		return false
	}
	d.peek()
	switch {
	case d.literal("true"):
		d.pos += len("true")
		return true
	case d.literal("false"):
		d.pos += len("false")
	default:
		d.mismatch(param, "must be true or false")
	}
	return false
}

// text reads the string that starts at the quote under the cursor.
func (d *decoder) text() []byte {
	start := d.pos + 1
	for i := skipPlain(d.src, start); i < len(d.src); {
		switch b := d.src[i]; {
		case b == '"':
			d.pos = i + 1
			return d.src[start:i]
		case b == '\\':
			return d.escaped(start, i)
		case b < ' ':
			d.syntax("a control character must be escaped")
			return nil
		case b < utf8.RuneSelf:
			i++
		default:
			size := d.rune(i)
			if size == 0 {
				return nil
			}
			i += size
		}
	}
	d.syntax("a string does not end")
	return nil
}

// skipPlain returns where the plain text that starts at i ends, or somewhat before: at
// a byte that ends the string or needs a look. It takes eight bytes at a time: no
// borrow or carry reaches the first of them that is not plain.
func skipPlain(src []byte, i int) int {
	const each, high = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(src); i += 8 {
		w := binary.LittleEndian.Uint64(src[i:])
		quote, backslash := w^each*'"', w^each*'\\'
		special := (w | (w-each*' ')&^w | (quote-each)&^quote | (backslash-each)&^backslash) & high
		if special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
	}
	return i
}

// rune returns the length of the UTF-8 sequence at i, or fails and returns 0.
func (d *decoder) rune(i int) int {
	r, size := utf8.DecodeRune(d.src[i:])
	if r == utf8.RuneError && size == 1 {
		d.syntax("the body is not valid UTF-8")
		return 0
	}
	return size
}

// escaped reads on a string from its first backslash, at i, into scratch.
func (d *decoder) escaped(start, i int) []byte {
	from := len(d.scratch)
	d.scratch = append(d.scratch, d.src[start:i]...)
	for i < len(d.src) {
		switch b := d.src[i]; {
		case b == '"':
			d.pos = i + 1
			return d.scratch[from:len(d.scratch):len(d.scratch)]
		case b == '\\':
			if i = d.escape(i + 1); i == 0 {
				return nil
			}
		case b < ' ':
			d.syntax("a control character must be escaped")
			return nil
		default:
			size := 1
			if b >= utf8.RuneSelf {
				if size = d.rune(i); size == 0 {
					return nil
				}
			}
			d.scratch = append(d.scratch, d.src[i:i+size]...)
			i += size
		}
	}
	d.syntax("a string does not end")
	return nil
}

// escape resolves the escape whose letter is at i and returns the position after
// it, or fails and returns 0.
func (d *decoder) escape(i int) int {
	var b byte
	if i < len(d.src) {
		b = d.src[i]
	}
	switch b {
	case '"', '\\', '/':
	case 'b':
		b = '\b'
	case 'f':
		b = '\f'
	case 'n':
		b = '\n'
	case 'r':
		b = '\r'
	case 't':
		b = '\t'
	case 'u':
		return d.unicode(i + 1)
	default:
		d.syntax("there is no such escape")
		return 0
	}
	d.scratch = append(d.scratch, b)
	return i + 1
}

const (
	surrogates    = 0xD800 // first of the high half
	lowSurrogates = 0xDC00
	surrogatesEnd = 0xE000
)

// unicode resolves the four hex digits at i, and the second half of a pair.
func (d *decoder) unicode(i int) int {
	r, ok := hex4(d.src, i)
	i += 4
	if ok && r >= surrogates && r < surrogatesEnd {
		var low rune
		paired := r < lowSurrogates && i+1 < len(d.src) && d.src[i] == '\\' && d.src[i+1] == 'u'
		if paired {
			low, paired = hex4(d.src, i+2)
		}
		if !paired || low < lowSurrogates || low >= surrogatesEnd {
			d.syntax("a surrogate has no partner")
			return 0
		}
		r = 0x10000 + (r-surrogates)<<10 + (low - lowSurrogates)
		i += 6
	}
	if !ok {
		d.syntax("four hex digits are expected")
		return 0
	}
	d.scratch = utf8.AppendRune(d.scratch, r)
	return i
}

func hex4(src []byte, at int) (r rune, ok bool) {
	if at+4 > len(src) {
		return 0, false
	}
	for _, b := range src[at : at+4] {
		v, ok := unhex(b)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(v)
	}
	return r, true
}

func unhex(b byte) (v byte, ok bool) {
	switch {
	case b >= '0' && b <= '9':
		return b - '0', true
	case b >= 'a' && b <= 'f':
		return b - 'a' + 10, true
	case b >= 'A' && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}
