package ledger

import "errors"

// MaxAccountIDLen is the longest account id, in bytes.
const MaxAccountIDLen = 128

// worldPrefix starts the id of the account that stands for everything outside
// the ledger in one currency.
const worldPrefix = "world:"

// ValidAccountID reports whether id has 1 to 128 bytes of A-Z a-z 0-9 . _ : -
// and starts with a letter or a digit. Ids under "world:" are valid only when a
// currency code follows.
func ValidAccountID(id []byte) bool {
	if len(id) == 0 || len(id) > MaxAccountIDLen || !alphanumeric(id[0]) {
		return false
	}
	for _, b := range id[1:] {
		if !alphanumeric(b) && b != '.' && b != '_' && b != ':' && b != '-' {
			return false
		}
	}
	if IsWorld(id) {
		_, ok := WorldCurrency(id)
		return ok
	}
	return true
}

func alphanumeric(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
}

// IsWorld reports whether id lies in the reserved "world:" namespace.
func IsWorld(id []byte) bool {
	return len(id) >= len(worldPrefix) && string(id[:len(worldPrefix)]) == worldPrefix
}

// WorldCurrency returns the currency of a world account's id; ok is false for
// every other id.
func WorldCurrency(id []byte) (c Currency, ok bool) {
	if !IsWorld(id) {
		return Currency{}, false
	}
	return ParseCurrency(id[len(worldPrefix):])
}

// AppendWorldID appends the id of the world account of currency c.
func AppendWorldID(dst []byte, c Currency) []byte {
	return c.Append(append(dst, worldPrefix...))
}

// A payment's public id is its sequence number in Crockford's base 32: it is
// unique, sorts in ledger order, and leads to the journal row without an index.
const (
	paymentPrefix    = "pay_"
	paymentDigits    = 13 // ceil(64 bits / 5)
	crockfordDigits  = "0123456789abcdefghjkmnpqrstvwxyz"
	paymentIDLen     = len(paymentPrefix) + paymentDigits
	maxLeadingDigit  = 16 // 13 digits hold 65 bits: the first digit is below 16
	invalidCrockford = 0xff
)

// ErrPaymentID is returned for a text that no payment's id can be.
var ErrPaymentID = errors.New("not a payment id")

var crockfordValue = func() (t [256]byte) {
	for i := range t {
		t[i] = invalidCrockford
	}
	for i := range len(crockfordDigits) {
		t[crockfordDigits[i]] = byte(i)
	}
	return t
}()

// AppendPaymentID appends the public id of the payment with sequence number seq.
func AppendPaymentID(dst []byte, seq uint64) []byte {
	dst = append(dst, paymentPrefix...)
	for shift := 5 * (paymentDigits - 1); shift >= 0; shift -= 5 {
		dst = append(dst, crockfordDigits[seq>>shift&31])
	}
	return dst
}

// ParsePaymentID returns the sequence number that a public payment id names, or
// ErrPaymentID.
func ParsePaymentID(id []byte) (uint64, error) {
	if len(id) != paymentIDLen || string(id[:len(paymentPrefix)]) != paymentPrefix {
		return 0, ErrPaymentID
	}
	digits := id[len(paymentPrefix):]
	if crockfordValue[digits[0]] >= maxLeadingDigit {
		return 0, ErrPaymentID
	}
	var seq uint64
	for _, d := range digits {
		v := crockfordValue[d]
		if v == invalidCrockford {
			return 0, ErrPaymentID
		}
		seq = seq<<5 | uint64(v)
	}
	if seq == 0 {
		return 0, ErrPaymentID
	}
	return seq, nil
}
