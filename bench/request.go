package bench

import (
	"fmt"
	"strconv"
)

const keyDigits = 12 // a connection's payments; 10^12 is years of the fastest load

// request is one connection's HTTP request, built once and patched in place
// before each sending. It belongs to its connection, so that what is in
// flight can be sent again unchanged.
type request struct {
	buf   []byte
	items []item
}

// item is where one payment, or one account, of a request is patched.
type item struct{ key, source, destination span }

// patch makes item i the payment with this key number between these accounts.
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

// payments describes the payment requests of a job.
type payments struct {
	host                string
	keyPrefix           string
	source, destination pattern
	amount              int64
	currency            string
	batch               int // payments per request; 1: not a batch request
}

// key returns what precedes the number in the keys of a connection.
func key(prefix string, conn int) string { return fmt.Sprintf("%s-%05d-", prefix, conn) }

// request builds the request of connection conn.
func (p payments) request(conn int) *request {
	if p.batch == 1 {
		return p.single(conn)
	}
	var head, body layout
	items := make([]item, p.batch)
	body.add(`{"payments":[`)
	for i := range items {
		if i > 0 {
			body.add(",")
		}
		body.add(`{"idempotency_key":"`, key(p.keyPrefix, conn))
		items[i].key = body.number(keyDigits)
		body.add(`",`)
		p.payment(&body, &items[i])
	}
	body.add("]}")

	head.add("POST /v1/payments/batch HTTP/1.1\r\n")
	head.fields(p.host, len(body.text))
	head.add("\r\n")
	return join(&head, &body, items, false)
}

func (p payments) single(conn int) *request {
	var head, body layout
	var it item
	body.add("{")
	p.payment(&body, &it)

	head.add("POST /v1/payments HTTP/1.1\r\n")
	head.fields(p.host, len(body.text))
	head.add("Idempotency-Key: ", key(p.keyPrefix, conn))
	it.key = head.number(keyDigits)
	head.add("\r\n\r\n")
	return join(&head, &body, []item{it}, true)
}

// payment writes the members of one payment object and its closing brace.
func (p payments) payment(body *layout, it *item) {
	body.add(`"source":"`)
	it.source = body.account(p.source)
	body.add(`","destination":"`)
	it.destination = body.account(p.destination)
	body.add(`","amount":"`, strconv.FormatInt(p.amount, 10), `","currency":"`, p.currency, `"}`)
}

// accountRequest builds the request that creates the accounts of a pattern,
// one by one. The account is patched as the item's destination.
func accountRequest(host, currency string, p pattern) *request {
	var head, body layout
	body.add(`{"currency":"`, currency, `"}`)

	head.add("PUT /v1/accounts/")
	account := head.account(p)
	head.add(" HTTP/1.1\r\n")
	head.fields(host, len(body.text))
	head.add("\r\n")
	r := join(&head, &body, nil, false)
	r.items = []item{{destination: account}}
	return r
}
