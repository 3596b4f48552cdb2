package transport

import "purser/internal/ledger"

const keyRule = "must be 1 to 255 visible ASCII characters, bare or as a quoted string of RFC 8941"

// validKey reports whether key is an idempotency key: 1 to 255 bytes of visible
// ASCII.
func validKey(key []byte) bool {
	if len(key) == 0 || len(key) > ledger.MaxKeyLen {
		return false
	}
	for _, b := range key {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return true
}

// parseKey reads the value of an Idempotency-Key header. A value that starts
// with a quote is a string of RFC 8941 and names the same key as its content.
// The key aliases value, or was appended to scratch, which is returned.
func parseKey(value, scratch []byte) (key, grown []byte, ok bool) {
	if len(value) == 0 || value[0] != '"' {
		return value, scratch, validKey(value)
	}
	from := len(scratch)
	for i := 1; i < len(value); i++ {
		switch b := value[i]; b {
		case '"':
			key = scratch[from:len(scratch):len(scratch)]
			return key, scratch, i == len(value)-1 && validKey(key)
		case '\\':
			i++
			if i == len(value) || value[i] != '"' && value[i] != '\\' {
				return nil, scratch, false
			}
			scratch = append(scratch, value[i])
		default:
			scratch = append(scratch, b)
		}
	}
	return nil, scratch, false
}
