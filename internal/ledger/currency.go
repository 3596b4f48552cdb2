package ledger

// maxCurrencyLen is the longest currency code, in bytes.
const maxCurrencyLen = 12

// Currency is a currency code such as "USD", padded with zero bytes. It is
// comparable and holds no pointer, so accounts can carry it by value.
type Currency [maxCurrencyLen]byte

// ParseCurrency reads a code of the form [A-Z][A-Z0-9]{2,11}; ok is false for
// anything else.
func ParseCurrency(code []byte) (c Currency, ok bool) {
	if len(code) < 3 || len(code) > maxCurrencyLen {
		return Currency{}, false
	}
	for i, b := range code {
		letter := b >= 'A' && b <= 'Z'
		digit := b >= '0' && b <= '9'
		if !letter && (i == 0 || !digit) {
			return Currency{}, false
		}
	}
	copy(c[:], code)
	return c, true
}

// Append appends the code without its padding.
func (c Currency) Append(dst []byte) []byte {
	return append(dst, c[:c.len()]...)
}

// String returns the code without its padding.
func (c Currency) String() string { return string(c[:c.len()]) }

func (c Currency) len() int {
	n := 0
	for n < len(c) && c[n] != 0 {
		n++
	}
	return n
}
