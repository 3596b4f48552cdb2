package transport

// Sizes of pages.
const (
	defaultLimit = 100
	maxLimit     = 500
)

// parameters of a query, by name. nil means absent.
type parameters struct {
	consistency, minIndex, prefix, limit, cursor, order []byte
}

// noQuery checks that there are no query parameters.
func (c *call) noQuery() bool {
	_, ok := c.parameters(nil)
	return ok
}

// parameters reads the query strictly: each parameter must be among names, occur
// once and be well encoded.
func (c *call) parameters(names []string) (p parameters, ok bool) {
	for rest := c.query; len(rest) > 0; {
		pair := rest
		rest = nil
		for i, b := range pair {
			if b == '&' {
				pair, rest = pair[:i], pair[i+1:]
				break
			}
		}
		if !c.parameter(&p, names, pair) {
			return parameters{}, false
		}
	}
	return p, true
}

func (c *call) parameter(p *parameters, names []string, pair []byte) bool {
	name, value := pair, []byte(nil)
	for i, b := range pair {
		if b == '=' {
			name, value = pair[:i], pair[i+1:]
			break
		}
	}
	var field *[]byte
	for _, known := range names {
		if string(name) == known {
			field = p.field(known)
		}
	}
	if field == nil {
		c.fail(fault{code: codeInvalidRequest, param: name, detail: "there is no such query parameter"})
		return false
	}
	if *field != nil {
		c.fail(fault{code: codeInvalidRequest, param: name, detail: "the query parameter occurs twice"})
		return false
	}
	from := len(c.text)
	var ok bool
	if c.text, ok = percentDecode(c.text, value); !ok {
		c.fail(fault{code: codeInvalidRequest, param: name, detail: "the percent-encoding is malformed"})
		return false
	}
	*field = c.text[from:len(c.text):len(c.text)]
	if *field == nil {
		*field = []byte{}
	}
	return true
}

func (p *parameters) field(name string) *[]byte {
	switch name {
	case "consistency":
		return &p.consistency
	case "min_index":
		return &p.minIndex
	case "prefix":
		return &p.prefix
	case "limit":
		return &p.limit
	case "cursor":
		return &p.cursor
	case "order":
		return &p.order
	}
	return nil
}

// pageLimit reads the parameter limit, 1 to 500.
func (c *call) pageLimit(p *parameters) (limit int, ok bool) {
	if p.limit == nil {
		return defaultLimit, true
	}
	v, ok := parseNatural(p.limit)
	if !ok || v < 1 || v > maxLimit {
		c.invalid("limit", "must be a number from 1 to 500")
		return 0, false
	}
	return int(v), true
}
