package clients

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// request is one HTTP request.
type request struct {
	method, path string
	key          string // Idempotency-Key, empty for none
	body         string
}

// bytes is r on the wire.
func (r *request) bytes() []byte {
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: purser\r\n", r.method, r.path)
	if r.key != "" {
		b = fmt.Appendf(b, "Idempotency-Key: %s\r\n", r.key)
	}
	if r.body != "" {
		b = append(b, "Content-Type: application/json\r\n"...)
	}
	if r.method != "GET" {
		b = fmt.Appendf(b, "Content-Length: %d\r\n", len(r.body))
	}
	return append(append(b, "\r\n"...), r.body...)
}

func get(path string) request { return request{method: "GET", path: path} }

const (
	pathPayments = "/v1/payments"
	pathBatch    = "/v1/payments/batch"
)

func accountPath(id string) string { return "/v1/accounts/" + id }

func entriesPath(id, cursor string) string {
	path := accountPath(id) + "/entries?order=asc&limit=500&consistency=stale"
	if cursor != "" {
		path += "&cursor=" + url.QueryEscape(cursor)
	}
	return path
}

func keyPath(key string) string { return "/v1/idempotency-keys/" + key }

// asRequest is the request that asks for what o is meant to do.
func (o *operation) asRequest(key string) request {
	switch o.kind {
	case pay, authorize:
		return request{method: "POST", path: pathPayments, key: key, body: "{" + o.paymentFields() + "}"}
	case capture:
		return o.onPaymentRequest(key, `"final":`+strconv.FormatBool(o.final))
	case void, refund:
		return o.onPaymentRequest(key, "")
	case batch:
		var b strings.Builder
		for i, item := range o.items {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"idempotency_key":%q,%s}`, item.key, item.paymentFields())
		}
		return request{method: "POST", path: pathBatch, body: `{"payments":[` + b.String() + "]}"}
	case read:
		return get(accountPath(o.account))
	case stale:
		return get(accountPath(o.account) + "?consistency=stale")
	case follow:
		return get(accountPath(o.account) + "?consistency=stale&min_index=" + strconv.FormatUint(o.minIndex, 10))
	case list:
		return get("/v1/accounts?limit=500&prefix=" + o.account)
	case lookup:
		return get(pathPayments + "/" + o.payment)
	}
	panic("clients: no request for " + string(o.kind))
}

// paymentFields are the fields of a new payment.
func (i *intent) paymentFields() string {
	b := fmt.Appendf(nil, `"source":%q,"destination":%q,"amount":"%d","currency":"USD"`, i.source, i.destination, i.amount)
	if i.expiresIn != 0 {
		b = fmt.Appendf(b, `,"capture":false,"expires_in":%d`, i.expiresIn)
	}
	if i.floor >= 0 {
		b = fmt.Appendf(b, `,"conditions":{"min_available_after":"%d"}`, i.floor)
	}
	return string(b)
}

// onPaymentRequest asks for a later event of a payment.
func (o *operation) onPaymentRequest(key, fields string) request {
	if o.amount > 0 {
		if fields != "" {
			fields += ","
		}
		fields += fmt.Sprintf(`"amount":"%d"`, o.amount)
	}
	path := pathPayments + "/" + o.payment + "/" + string(o.kind)
	return request{method: "POST", path: path, key: key, body: "{" + fields + "}"}
}
