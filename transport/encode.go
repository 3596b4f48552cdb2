package transport

import (
	"strconv"
	"unicode/utf8"

	"purser/internal/ledger"
)

// Everything here appends to a response under construction and returns it.

const hexDigits = "0123456789abcdef"

// appendText appends s as a JSON string, quotes included. Bytes that are not
// valid UTF-8 become U+FFFD.
func appendText(dst, s []byte) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, s)
	return append(dst, '"')
}

func appendEscaped(dst, s []byte) []byte {
	from := 0 // first byte that is not appended yet
	for i := 0; i < len(s); {
		b := s[i]
		if b >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[from:i]...), "\ufffd"...)
				from = i + 1
			}
			i += size
			continue
		}
		if b >= ' ' && b != '"' && b != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
		i++
		from = i
	}
	return append(dst, s[from:]...)
}

// appendAmount appends v as a string of decimal digits.
func appendAmount(dst []byte, v int64) []byte {
	dst = append(dst, '"')
	dst = strconv.AppendInt(dst, v, 10)
	return append(dst, '"')
}

// appendHeadroom appends what an account can spend, the word for an account
// without a limit included.
func appendHeadroom(dst []byte, h ledger.Headroom, none bool) []byte {
	if none {
		return append(dst, `"unlimited"`...)
	}
	dst = append(dst, '"')
	if h.Negative {
		dst = append(dst, '-')
	}
	dst = strconv.AppendUint(dst, h.Magnitude, 10)
	return append(dst, '"')
}

// appendMetadata appends m as an object of strings.
func appendMetadata(dst []byte, m ledger.Metadata) []byte {
	dst = append(dst, '{')
	start := len(dst)
	for k, v := range m.All() {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = appendText(dst, k)
		dst = append(dst, ':')
		dst = appendText(dst, v)
	}
	return append(dst, '}')
}

// appendTime appends t as a quoted RFC 3339 time in UTC with microseconds. The
// date is Howard Hinnant's civil_from_days, which counts years from March.
func appendTime(dst []byte, t ledger.Micros) []byte {
	const (
		secondsPerDay = 86_400
		daysPerEra    = 146_097 // 400 years
		epochToEra    = 719_468 // days from 0000-03-01 to 1970-01-01
	)
	micros, seconds := int64(t%ledger.Second), int64(t/ledger.Second)
	if micros < 0 {
		micros, seconds = micros+int64(ledger.Second), seconds-1
	}
	days, clock := seconds/secondsPerDay, seconds%secondsPerDay
	if clock < 0 {
		days, clock = days-1, clock+secondsPerDay
	}
	days += epochToEra
	era := days / daysPerEra
	ofEra := days % daysPerEra
	yearOfEra := (ofEra - ofEra/1460 + ofEra/36524 - ofEra/146096) / 365
	ofYear := ofEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	shifted := (5*ofYear + 2) / 153
	day := ofYear - (153*shifted+2)/5 + 1
	month, year := shifted+3, yearOfEra+era*400
	if month > 12 {
		month, year = month-12, year+1
	}
	dst = append(dst, '"')
	dst = appendDigits(dst, year, 4)
	dst = append(dst, '-')
	dst = appendDigits(dst, month, 2)
	dst = append(dst, '-')
	dst = appendDigits(dst, day, 2)
	dst = append(dst, 'T')
	dst = appendDigits(dst, clock/3600, 2)
	dst = append(dst, ':')
	dst = appendDigits(dst, clock/60%60, 2)
	dst = append(dst, ':')
	dst = appendDigits(dst, clock%60, 2)
	dst = append(dst, '.')
	dst = appendDigits(dst, micros, 6)
	return append(dst, 'Z', '"')
}

// appendDigits appends v in exactly width digits, an even number of up to 6.
func appendDigits(dst []byte, v int64, width int) []byte {
	dst = append(dst, "000000"[:width]...)
	for i := len(dst) - 2; width > 0; i, width = i-2, width-2 {
		pair := v % 100
		v /= 100
		dst[i], dst[i+1] = byte('0'+pair/10), byte('0'+pair%10)
	}
	return dst
}

// appendTimeOrNull appends null for the zero time.
func appendTimeOrNull(dst []byte, t ledger.Micros) []byte {
	if t == 0 {
		return append(dst, "null"...)
	}
	return appendTime(dst, t)
}
