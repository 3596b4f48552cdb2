package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const worldPrefix = "world:"

// order is what a client asks for, with the fields that the load generator
// sends. Conditions, holds and metadata are not there: PostgreSQL is spared
// their cost.
type order struct {
	Key         string `json:"idempotency_key"` // of a batch; else it is in the header
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Amount      string `json:"amount"`
	Currency    string `json:"currency"`

	amount int64
}

func parseOrder(body []byte) (o order, err error) {
	if err := json.Unmarshal(body, &o); err != nil {
		return order{}, err
	}
	return o, o.check()
}

func parseBatch(body []byte) ([]order, error) {
	var batch struct {
		Payments []order `json:"payments"`
	}
	if err := json.Unmarshal(body, &batch); err != nil {
		return nil, err
	}
	for i := range batch.Payments {
		if err := batch.Payments[i].check(); err != nil {
			return nil, fmt.Errorf("payments[%d]: %w", i, err)
		}
	}
	return batch.Payments, nil
}

// check completes o and refuses what no account can pay.
func (o *order) check() (err error) {
	if o.amount, err = strconv.ParseInt(o.Amount, 10, 64); err != nil || o.amount < 1 {
		return fmt.Errorf("amount %q", o.Amount)
	}
	if o.Destination == "" {
		o.Destination = worldPrefix + o.Currency
	}
	if !plain(o.Source) || !plain(o.Destination) || !plain(o.Currency) || o.Source == o.Destination {
		return fmt.Errorf("source %q, destination %q, currency %q", o.Source, o.Destination, o.Currency)
	}
	return nil
}

// payment is a row of the table of that name: an order and what became of it.
type payment struct {
	Fresh       bool // made by the call that returned it
	Key         string
	Seq         int64
	Status      int
	Source      string
	Destination string
	Amount      int64
	Currency    string
	// The balances after it are nil for accounts of the outside.
	SourcePosted, SourceVersion           *int64
	DestinationPosted, DestinationVersion *int64
	CreatedAt                             time.Time
}

// of reports whether p is what came of o, or of another order with its key.
func (p payment) of(o order) bool {
	return p.Source == o.Source && p.Destination == o.Destination && p.Amount == o.amount && p.Currency == o.Currency
}

// appendBody appends the body of the answer: the same for the same row.
func (p payment) appendBody(to []byte) []byte {
	if p.Status != statusCreated {
		return appendProblem(to, p.Status, "")
	}
	amount := strconv.FormatInt(p.Amount, 10)
	to = append(to, `{"id":"pay_`...)
	to = strconv.AppendInt(to, p.Seq, 36)
	to = append(to, `","seq":`...)
	to = strconv.AppendInt(to, p.Seq, 10)
	to = append(to, `,"status":"captured","source":"`...)
	to = append(to, p.Source...)
	to = append(to, `","destination":"`...)
	to = append(to, p.Destination...)
	to = append(to, `","amount":"`...)
	to = append(to, amount...)
	to = append(to, `","captured":"`...)
	to = append(to, amount...)
	to = append(to, `","refunded":"0","currency":"`...)
	to = append(to, p.Currency...)
	to = append(to, `","reference":null,"metadata":{},"created_at":"`...)
	to = p.CreatedAt.UTC().AppendFormat(to, "2006-01-02T15:04:05.000000Z")
	to = append(to, `","expires_at":null,"source_balance":`...)
	to = appendBalance(to, p.SourcePosted, p.SourceVersion)
	to = append(to, `,"destination_balance":`...)
	to = appendBalance(to, p.DestinationPosted, p.DestinationVersion)
	return append(to, '}')
}

func appendBalance(to []byte, posted, version *int64) []byte {
	if posted == nil || version == nil {
		return append(to, "null"...)
	}
	to = append(to, `{"posted":"`...)
	to = strconv.AppendInt(to, *posted, 10)
	to = append(to, `","held":"0","available":"`...)
	to = strconv.AppendInt(to, *posted, 10)
	to = append(to, `","version":`...)
	to = strconv.AppendInt(to, *version, 10)
	return append(to, '}')
}

// appendProblem appends a problem document.
func appendProblem(to []byte, status int, detail string) []byte {
	text, err := json.Marshal(struct {
		Status int    `json:"status"`
		Code   string `json:"code"`
		Detail string `json:"detail,omitempty"`
	}{status, problemCodes[status], detail})
	if err != nil {
		panic(err) // two strings and a number can be written
	}
	return append(to, text...)
}

var problemCodes = map[int]string{
	400: "invalid_request",
	402: "insufficient_funds",
	404: "not_found",
	409: "account_exists",
	422: "idempotency_key_reused",
	503: "overloaded",
}

// plain reports whether id is there and can stand in JSON as it is.
func plain(id string) bool {
	return id != "" && !strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r > '~' })
}
