package transport

import "math"

// number reads a token of JSON's number grammar; the cursor is at its first byte.
func (d *decoder) number() []byte {
	start, i := d.pos, d.pos
	digits := func() bool {
		from := i
		for i < len(d.src) && d.src[i] >= '0' && d.src[i] <= '9' {
			i++
		}
		return i > from
	}
	at := func(a, b byte) bool { return i < len(d.src) && (d.src[i] == a || d.src[i] == b) }
	if at('-', '-') {
		i++
	}
	whole := i
	ok := digits() && (d.src[whole] != '0' || i == whole+1)
	if ok && at('.', '.') {
		i++
		ok = digits()
	}
	if ok && at('e', 'E') {
		i++
		if at('+', '-') {
			i++
		}
		ok = digits()
	}
	if !ok {
		d.syntax("a number is malformed")
		return nil
	}
	d.pos = i
	return d.src[start:i]
}

// digitsOrString reads a number or a string that stands for a number.
func (d *decoder) digitsOrString(param string) []byte {
	if d.failed() {
		return nil
	}
	switch b := d.peek(); {
	case b == '"':
		return d.text()
	case b == '-', b >= '0' && b <= '9':
		return d.number()
	}
	d.mismatch(param, "must be a string of decimal digits")
	return nil
}

// natural reads an amount that may be zero, in minor units.
func (d *decoder) natural(param string) int64 {
	v, ok := parseNatural(d.digitsOrString(param))
	if !ok {
		d.invalid(param, "must be decimal digits of a number up to 9223372036854775807")
	}
	return v
}

// amount reads an amount of at least 1, in minor units.
func (d *decoder) amount(param string) int64 {
	v, ok := parseNatural(d.digitsOrString(param))
	if !ok || v == 0 {
		d.invalid(param, "must be decimal digits of a number from 1 to 9223372036854775807")
		return 0
	}
	return v
}

// integer reads a JSON integer from least to most.
func (d *decoder) integer(param string, least, most int64, detail string) int64 {
	if d.failed() {
		return 0
	}
	if b := d.peek(); b != '-' && (b < '0' || b > '9') {
		d.mismatch(param, detail)
		return 0
	}
	v, ok := parseNatural(d.number())
	if !ok || v < least || v > most {
		d.invalid(param, detail)
		return 0
	}
	return v
}

// parseNatural reads decimal digits and nothing else; ok is false for anything
// else and above the largest int64.
func parseNatural(text []byte) (v int64, ok bool) {
	if len(text) == 0 {
		return 0, false
	}
	for _, b := range text {
		digit := int64(b - '0') // a byte: anything below '0' wraps to more than 9
		if digit > 9 || v > (math.MaxInt64-digit)/10 {
			return 0, false
		}
		v = v*10 + digit
	}
	return v, true
}
