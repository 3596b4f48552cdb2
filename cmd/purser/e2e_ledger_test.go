package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// balance is an account's money as responses have it.
type balance struct {
	Posted, Held int64 `json:",string"`
	Available    string
	Version      int64
}

// account is what GET /v1/accounts/{id} answers.
type account struct {
	ID, Currency, Status string
	balance
}

// payment is what the requests on a payment answer.
type payment struct {
	ID                         string
	Seq                        uint64
	Status                     string
	Source, Destination        string
	Amount, Captured, Refunded int64    `json:",string"`
	SourceBalance              *balance `json:"source_balance"`
	DestinationBalance         *balance `json:"destination_balance"`
}

// entry is one line of an account's history.
type entry struct {
	Seq             uint64
	Payment         string
	Kind, Direction string
	Amount          int64 `json:",string"`
	Version         int64
}

func parse[T any](tb testing.TB, body string) (v T) {
	tb.Helper()
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		tb.Fatalf("parse %s: %v", body, err)
	}
	return v
}

func accountPath(id string) string { return "/v1/accounts/" + id }

// create makes an account in USD with a balance paid from the outside.
func (c *conn) create(id string, funds int64) {
	c.tb.Helper()
	c.expect(201, request{method: "PUT", path: accountPath(id), body: `{"currency":"USD"}`})
	if funds > 0 {
		c.expect(201, post("/v1/payments", "fund-"+id, payBody("world:USD", id, funds)))
	}
}

func (c *conn) account(id string) account {
	c.tb.Helper()
	return parse[account](c.tb, c.expect(200, get(accountPath(id))).body)
}

// payBody is a payment in USD; further are more fields.
func payBody(source, destination string, amount int64, further ...string) string {
	fields := append([]string{
		fmt.Sprintf(`"source":%q`, source), fmt.Sprintf(`"destination":%q`, destination),
		fmt.Sprintf(`"amount":"%d"`, amount), `"currency":"USD"`,
	}, further...)
	return "{" + strings.Join(fields, ",") + "}"
}

// pages calls visit with every page of a list whose path has a query.
func (c *conn) pages(path string, visit func(body string)) {
	c.tb.Helper()
	for cursor := ""; ; {
		a := c.expect(200, get(path+cursor))
		visit(a.body)
		next := parse[struct {
			Cursor string `json:"next_cursor"`
		}](c.tb, a.body).Cursor
		if next == "" {
			return
		}
		cursor = "&cursor=" + url.QueryEscape(next)
	}
}

// entries returns an account's whole history, read in the given order.
func (c *conn) entries(id, order string) (all []entry) {
	c.tb.Helper()
	c.pages(accountPath(id)+"/entries?limit=500&consistency=stale&order="+order, func(body string) {
		all = append(all, parse[struct{ Entries []entry }](c.tb, body).Entries...)
	})
	return all
}

// state is everything that clients can see of the accounts and their histories.
// Its reads leave no trace in the log.
func (c *conn) state() string {
	c.tb.Helper()
	var b strings.Builder
	ids := []string{"world:USD", "world:EUR"}
	c.pages("/v1/accounts?limit=100&consistency=stale", func(body string) {
		for _, a := range parse[struct{ Accounts []account }](c.tb, body).Accounts {
			ids = append(ids, a.ID)
		}
	})
	for _, id := range ids {
		b.WriteString(c.expect(200, get(accountPath(id)+"?consistency=stale")).body + "\n")
		c.pages(accountPath(id)+"/entries?order=asc&limit=500&consistency=stale", func(body string) {
			b.WriteString(body + "\n")
		})
	}
	return b.String()
}
