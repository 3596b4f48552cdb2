package transport

import "purser/internal/ledger"

// The checks of a request's head. Each returns false with the refusal as the
// response.

// jsonBody checks that the body says that it is JSON, uncompressed.
func (c *call) jsonBody() bool {
	h := &c.ctx.Request.Header
	switch {
	case !isJSON(h.ContentType()):
		c.fail(fault{code: codeUnsupportedMediaType, detail: "Content-Type must be application/json"})
	case len(h.PeekCanonical(nameContentEncoding)) > 0:
		c.fail(fault{code: codeUnsupportedMediaType, detail: "Content-Encoding is not supported"})
	default:
		return true
	}
	return false
}

// isJSON reports whether a Content-Type is application/json. A charset must be
// UTF-8; other parameters have no meaning and are ignored.
func isJSON(value []byte) bool {
	if len(value) < len(typeJSON) || !equalFold(value[:len(typeJSON)], typeJSON) {
		return false
	}
	rest := trimSpace(value[len(typeJSON):])
	for len(rest) > 0 {
		if rest[0] != ';' {
			return false
		}
		end := 1
		for end < len(rest) && rest[end] != ';' {
			end++
		}
		const charset = "charset="
		param := trimSpace(rest[1:end])
		if len(param) >= len(charset) && equalFold(param[:len(charset)], []byte(charset)) {
			name := param[len(charset):]
			if !equalFold(name, []byte("utf-8")) && !equalFold(name, []byte(`"utf-8"`)) {
				return false
			}
		}
		rest = rest[end:]
	}
	return true
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// equalFold compares with a lower-case ASCII text.
func equalFold(b, lower []byte) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, x := range b {
		if x >= 'A' && x <= 'Z' {
			x += 'a' - 'A'
		}
		if x != lower[i] {
			return false
		}
	}
	return true
}

// key reads the header Idempotency-Key into the command.
func (c *call) key() bool {
	var value []byte
	times := 0
	for name, v := range c.ctx.Request.Header.All() {
		if string(name) == headerKey {
			value = v
			times++
		}
	}
	switch times {
	case 0:
		c.fail(fault{code: codeKeyMissing, param: []byte(headerKey), detail: "the header is required"})
		return false
	case 1:
	default:
		c.fail(fault{code: codeKeyInvalid, param: []byte(headerKey), detail: "the header must occur once"})
		return false
	}
	var ok bool
	c.cmd.Key, c.text, ok = parseKey(value, c.text)
	if !ok {
		c.fail(fault{code: codeKeyInvalid, param: []byte(headerKey), detail: keyRule})
	}
	return ok
}

const headerKey = "Idempotency-Key"

// ifMatch reads the header If-Match into the command: an entity tag that this API
// gave out, or the asterisk, which any account matches.
func (c *call) ifMatch() bool {
	values := c.ctx.Request.Header.PeekAll(headerIfMatch)
	if len(values) == 0 || len(values) == 1 && string(values[0]) == "*" {
		return true
	}
	const rule = `must be one entity tag of the account, such as "7", or *`
	v := values[0]
	if len(values) > 1 || len(v) < 3 || v[0] != '"' || v[len(v)-1] != '"' {
		c.invalid(headerIfMatch, rule)
		return false
	}
	version, ok := parseNatural(v[1 : len(v)-1])
	if !ok {
		c.invalid(headerIfMatch, rule)
		return false
	}
	c.cmd.IfVersion = ledger.Optional{Set: true, Value: version}
	return true
}

// account checks that the path names an account.
func (c *call) account() bool {
	if ledger.ValidAccountID(c.id) {
		return true
	}
	c.invalid("id", accountIDRule)
	return false
}

// ownAccount checks that the path names an account that can be written.
func (c *call) ownAccount() bool {
	if !c.account() {
		return false
	}
	if ledger.IsWorld(c.id) {
		c.invalid("id", "world accounts exist by themselves and cannot be written")
		return false
	}
	return true
}

// percentDecode appends text with its percent-encoding resolved; ok is false
// where a percent sign does not stand before two hex digits.
func percentDecode(dst, text []byte) (decoded []byte, ok bool) {
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			dst = append(dst, text[i])
			continue
		}
		if i+2 >= len(text) {
			return dst, false
		}
		high, ok1 := unhex(text[i+1])
		low, ok2 := unhex(text[i+2])
		if !ok1 || !ok2 {
			return dst, false
		}
		dst = append(dst, high<<4|low)
		i += 2
	}
	return dst, true
}
