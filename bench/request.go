package bench

import "strconv"

const keyDigits = 12 // 10^12 payments are years of the fastest load

// request is the text of an HTTP request, built once per connection and kind
// and patched in place before each sending. It belongs to its connection, so
// that what is in flight can be sent again unchanged.
type request struct {
	buf    []byte
	items  []item
	target span // the id of the payment that a capture, void or refund names
}

// item is where one payment, or one account, of a request is patched.
type item struct{ key, source, destination span }

// patch makes item i the operation with this key number between these accounts.
func (r *request) patch(i int, key, source, destination uint64) {
	it := r.items[i]
	it.key.put(r.buf, key)
	it.source.put(r.buf, source)
	it.destination.put(r.buf, destination)
}

// keys returns the numbers in the idempotency keys that the request carries.
func (r *request) keys() []string {
	var keys []string
	for _, it := range r.items {
		if it.key.width > 0 {
			keys = append(keys, string(r.buf[it.key.at:it.key.at+it.key.width]))
		}
	}
	return keys
}

// join makes a request of a head and a body whose items have spans relative
// to the body, except for the key, which may stand in the head.
func join(head, body *layout, items []item, keyInHead bool) *request {
	at := len(head.text)
	for i := range items {
		if !keyInHead {
			items[i].key.at += at
		}
		items[i].source.at += at
		items[i].destination.at += at
	}
	return &request{buf: append(head.text, body.text...), items: items}
}

// fields writes the header fields that every request has.
func (l *layout) fields(host string, length int) {
	l.add("Host: ", host, "\r\nContent-Type: application/json\r\nContent-Length: ", strconv.Itoa(length), "\r\n")
}

// keyField writes the header field of the idempotency key and ends the head.
func (l *layout) keyField(prefix string) span {
	l.add("Idempotency-Key: ", keyText(prefix))
	number := l.number(keyDigits)
	l.add("\r\n\r\n")
	return number
}

// keyText returns what precedes the number in a key.
func keyText(prefix string) string { return prefix + "-" }

// payments describes the requests of a job.
type payments struct {
	host                string
	keyPrefix           string
	source, destination pattern
	amount              int64
	currency            string
	batch               int    // payments per request; 1: not a batch request
	query               string // of a read of a journal, with the question mark
}

// request builds a request of a kind. For one that names an earlier payment,
// idWidth is the length of the payment's id.
func (p payments) request(k kind, idWidth int) *request {
	switch {
	case k.follows():
		return p.followUp(k, idWidth)
	case k == read:
		return p.read("")
	case k == journal:
		return p.read("/entries" + p.query)
	case k == create:
		return p.create()
	case p.batch > 1:
		return p.many()
	}
	var head, body layout
	var it item
	body.add("{")
	p.payment(&body, &it, k)
	head.add("POST /v1/payments HTTP/1.1\r\n")
	head.fields(p.host, len(body.text))
	it.key = head.keyField(p.keyPrefix)
	return join(&head, &body, []item{it}, true)
}

// many builds a batch of payments.
func (p payments) many() *request {
	var head, body layout
	items := make([]item, p.batch)
	body.add(`{"payments":[`)
	for i := range items {
		if i > 0 {
			body.add(",")
		}
		body.add(`{"idempotency_key":"`, keyText(p.keyPrefix))
		items[i].key = body.number(keyDigits)
		body.add(`",`)
		p.payment(&body, &items[i], pay)
	}
	body.add("]}")

	head.add("POST /v1/payments/batch HTTP/1.1\r\n")
	head.fields(p.host, len(body.text))
	head.add("\r\n")
	return join(&head, &body, items, false)
}

// payment writes the members of one payment object and its closing brace.
func (p payments) payment(body *layout, it *item, k kind) {
	body.add(`"source":"`)
	it.source = body.account(p.source)
	body.add(`","destination":"`)
	it.destination = body.account(p.destination)
	body.add(`","amount":"`, strconv.FormatInt(p.amount, 10), `","currency":"`, p.currency, `"`)
	if k == authorize {
		body.add(`,"capture":false`)
	}
	body.add("}")
}

// followUp builds a capture of all that is held, its release, or a refund of
// all that was captured.
func (p payments) followUp(k kind, idWidth int) *request {
	var head layout
	const body = "{}"
	head.add("POST /v1/payments/")
	target := head.number(idWidth)
	head.add("/", k.String(), " HTTP/1.1\r\n")
	head.fields(p.host, len(body))
	key := head.keyField(p.keyPrefix)
	return &request{buf: append(head.text, body...), items: []item{{key: key}}, target: target}
}

// read builds the read of a source account, or of what its path has after that.
func (p payments) read(rest string) *request {
	var head layout
	head.add("GET /v1/accounts/")
	account := head.account(p.source)
	head.add(rest, " HTTP/1.1\r\nHost: ", p.host, "\r\n\r\n")
	return &request{buf: head.text, items: []item{{source: account}}}
}

// create builds the request that creates an account of the destination's
// family.
func (p payments) create() *request {
	var head layout
	body := `{"currency":"` + p.currency + `"}`
	head.add("PUT /v1/accounts/")
	account := head.account(p.destination)
	head.add(" HTTP/1.1\r\n")
	head.fields(p.host, len(body))
	head.add("\r\n", body)
	return &request{buf: head.text, items: []item{{destination: account}}}
}
