package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// refusal is a request that must be refused with code, about param.
type refusal struct {
	name   string
	status int
	code   string
	param  string
	request
}

// committedRefusals are requests on the accounts of refusalSetUp that get
// into the log and are refused there. Those with a key are remembered.
func committedRefusals(s *refusalSetUp) []refusal {
	pay := func(status int, code, param, body string) refusal {
		return refusal{"pay", status, code, param, post("/v1/payments", "", body)}
	}
	on := func(status int, code, param, id, verb, body string) refusal {
		return refusal{verb, status, code, param, post("/v1/payments/"+id+"/"+verb, "", body)}
	}
	account := func(status int, code, param, method, id, body, header string) refusal {
		return refusal{method, status, code, param, request{method: method, path: accountPath(id), body: body, header: header}}
	}
	return []refusal{
		pay(402, "insufficient_funds", "amount", payBody("alice", "bob", 10_001)),
		pay(402, "insufficient_funds", "amount", payBody("alice", "bob", 10_001, `"capture":false`)),
		pay(402, "insufficient_funds", "amount", payBody("alice", "bob", 1<<62)),
		pay(402, "insufficient_funds", "amount", payBody("bob", "world:USD", 1)),
		on(402, "insufficient_funds", "amount", s.spent, "refund", `{}`),
		pay(404, "account_not_found", "source", payBody("nobody", "bob", 1)),
		pay(404, "account_not_found", "destination", payBody("alice", "nobody", 1)),
		account(404, "account_not_found", "id", "PATCH", "nobody", `{"status":"frozen"}`, ""),
		on(404, "payment_not_found", "id", "pay_0000000zzzzzz", "capture", `{}`),
		on(404, "payment_not_found", "id", "pay_0000000zzzzzz", "void", `{}`),
		on(404, "payment_not_found", "id", "no-such-thing", "refund", `{}`),
		account(409, "account_exists", "id", "PUT", "alice", `{"currency":"EUR"}`, ""),
		account(409, "account_exists", "id", "PUT", "alice", `{"currency":"USD","overdraft_limit":"1"}`, ""),
		account(409, "account_exists", "id", "PUT", "alice", `{"currency":"USD","metadata":{"a":"b"}}`, ""),
		pay(409, "account_frozen", "source", payBody("frozen", "bob", 1)),
		on(409, "account_frozen", "destination", s.toFrozen, "refund", `{}`),
		pay(409, "account_closed", "source", payBody("closed", "bob", 1)),
		pay(409, "account_closed", "destination", payBody("alice", "closed", 1)),
		account(409, "account_closed", "id", "PATCH", "closed", `{"status":"active"}`, ""),
		account(409, "account_not_empty", "status", "PATCH", "alice", `{"status":"closed"}`, ""),
		on(409, "payment_not_open", "id", s.captured, "capture", `{}`),
		on(409, "payment_not_open", "id", s.captured, "void", `{}`),
		on(409, "payment_not_open", "id", s.voided, "capture", `{"amount":"1"}`),
		on(409, "payment_not_refundable", "id", s.voided, "refund", `{}`),
		on(409, "payment_not_refundable", "id", s.refunded, "refund", `{"amount":"1"}`),
		on(409, "payment_not_refundable", "id", s.held, "refund", `{}`),
		pay(412, "version_mismatch", "conditions.source_version", payBody("alice", "bob", 1, `"conditions":{"source_version":1}`)),
		account(412, "version_mismatch", "If-Match", "PATCH", "alice", `{"status":"frozen"}`, "If-Match: \"1\"\r\n"),
		pay(412, "condition_failed", "conditions.min_available_after", payBody("alice", "bob", 1, `"conditions":{"min_available_after":"10000"}`)),
		pay(422, "currency_mismatch", "currency", payBody("euro", "bob", 1)),
		pay(422, "currency_mismatch", "currency", payBody("alice", "euro", 1)),
		pay(422, "currency_mismatch", "currency", payBody("alice", "world:EUR", 1)),
		pay(422, "same_account", "destination", payBody("alice", "alice", 1)),
		on(422, "amount_exceeds_authorized", "amount", s.held, "capture", `{"amount":"101"}`),
		on(422, "amount_exceeds_captured", "amount", s.captured, "refund", `{"amount":"51"}`),
		pay(422, "balance_overflow", "amount", payBody("alice", "full", 1)),
		pay(422, "balance_overflow", "amount", payBody("alice", "full", 1, `"capture":false`)),
	}
}

// rejections are requests that are refused before anything gets into the log.
func rejections(s *refusalSetUp) []refusal {
	var all []refusal
	add := func(status int, code, param string, r request) {
		all = append(all, refusal{"rejected", status, code, param, r})
	}
	pay := func(code, param, body string) { add(400, code, param, post("/v1/payments", "fresh", body)) }
	ok := payBody("alice", "bob", 1)
	for _, body := range []string{"", "{", ok + "x", ok + ok, ok[:len(ok)-1], `{"source":"alice`, `{'source':1}`, "\xff" + ok} {
		r := post("/v1/payments", "fresh", body)
		if body == "" {
			r.header = "Content-Type: application/json\r\n"
		}
		add(400, "invalid_json", "*", r)
	}
	pay("invalid_request", "", "[]")
	for _, amount := range []string{`0`, `"0"`, `-1`, `"-1"`, `1.0`, `1e3`, `"1.5"`, `""`, `"9223372036854775808"`, `9223372036854775808`, `null`, `true`, `[]`, `"+1"`, `" 1"`} {
		pay("*", "amount", `{"source":"alice","destination":"bob","amount":`+amount+`,"currency":"USD"}`)
	}
	pay("unknown_field", "sources", payBody("alice", "bob", 1, `"sources":"x"`))
	pay("unknown_field", "final", payBody("alice", "bob", 1, `"final":true`))
	pay("invalid_request", "amount", payBody("alice", "bob", 1, `"amount":"1"`))
	pay("invalid_request", "source", `{"destination":"bob","amount":"1","currency":"USD"}`)
	pay("invalid_request", "currency", `{"source":"alice","amount":"1"}`)
	pay("invalid_request", "currency", `{"source":"alice","amount":"1","currency":"usd"}`)
	pay("invalid_request", "source", payBody("-alice", "bob", 1))
	pay("invalid_request", "destination", payBody("alice", "world:usd", 1))
	pay("invalid_request", "expires_in", payBody("alice", "bob", 1, `"expires_in":2592001`))
	pay("invalid_request", "expires_in", payBody("alice", "bob", 1, `"expires_in":0`))
	pay("invalid_request", "reference", payBody("alice", "bob", 1, `"reference":"`+strings.Repeat("r", 256)+`"`))
	pay("invalid_request", "capture", payBody("alice", "bob", 1, `"capture":"true"`))
	pay("unknown_field", "conditions.x", payBody("alice", "bob", 1, `"conditions":{"x":1}`))
	add(400, "idempotency_key_missing", "*", post("/v1/payments", "", ok))
	add(400, "idempotency_key_missing", "*", post("/v1/payments/"+s.held+"/capture", "", `{}`))
	add(400, "idempotency_key_invalid", "*", post("/v1/payments", strings.Repeat("k", 256), ok))
	add(400, "idempotency_key_invalid", "*", post("/v1/payments", `"open`, ok))
	add(400, "idempotency_key_invalid", "*", post("/v1/payments", "two words", ok))
	add(400, "unknown_field", "x", post("/v1/payments/"+s.held+"/void", "fresh", `{"x":1}`))
	add(400, "invalid_request", "amount", post("/v1/payments/"+s.held+"/capture", "fresh", `{"amount":"0"}`))
	add(400, "invalid_request", "*", post("/v1/payments/batch", "", `{"payments":[]}`))
	add(400, "invalid_request", "*", post("/v1/payments/batch", "", `{"payments":[`+strings.Repeat(`{},`, 1000)+`{}]}`))
	for _, id := range []string{"world:USD", "-x", strings.Repeat("a", 129)} {
		add(400, "invalid_request", "id", request{method: "PUT", path: accountPath(id), body: `{"currency":"USD"}`})
		add(400, "invalid_request", "id", request{method: "PATCH", path: accountPath(id), body: `{"status":"frozen"}`})
	}
	add(400, "invalid_request", "currency", request{method: "PUT", path: accountPath("new"), body: `{}`})
	add(400, "invalid_request", "overdraft_limit", request{method: "PUT", path: accountPath("new"), body: `{"currency":"USD","overdraft_limit":"none"}`})
	add(400, "invalid_request", "status", request{method: "PATCH", path: accountPath("alice"), body: `{"status":"gone"}`})
	add(400, "invalid_request", "consistency", get("/v1/accounts/alice?consistency=eventual"))
	add(400, "invalid_request", "cursor", get("/v1/accounts?cursor=x"))
	add(400, "invalid_request", "limit", get("/v1/accounts/alice/entries?limit=501"))
	add(404, "not_found", "*", post("/v1/nothing", "fresh", ok))
	add(404, "account_not_found", "id", get("/v1/accounts/nobody?consistency=stale"))
	add(404, "payment_not_found", "id", get("/v1/payments/pay_0000000zzzzzz?consistency=stale"))
	add(404, "idempotency_key_not_found", "key", get("/v1/idempotency-keys/fresh?consistency=stale"))
	add(405, "method_not_allowed", "*", get("/v1/payments"))
	add(405, "method_not_allowed", "*", request{method: "DELETE", path: accountPath("alice")})
	add(405, "method_not_allowed", "*", request{method: "PUT", path: "/v1/payments", key: "fresh", body: ok})
	add(413, "body_too_large", "*", post("/v1/payments", "fresh", payBody("alice", "bob", 1, `"reference":"`+strings.Repeat(" ", 64<<10)+`"`)))
	add(413, "body_too_large", "*", post("/v1/payments/batch", "", `{"payments":[`+strings.Repeat(" ", 8<<20)+`]}`))
	add(415, "unsupported_media_type", "*", request{method: "POST", path: "/v1/payments", key: "fresh", body: ok, media: "text/plain"})
	add(415, "unsupported_media_type", "*", request{method: "PUT", path: accountPath("new"), body: `{"currency":"USD"}`, media: "application/x-www-form-urlencoded"})
	return all
}

// refusalSetUp are the payments that requests to refuse are about.
type refusalSetUp struct{ captured, held, voided, refunded, spent, toFrozen string }

func newRefusalSetUp(c *conn) *refusalSetUp {
	c.create("alice", 10_210)
	for _, id := range []string{"bob", "frozen", "closed", "shop"} {
		c.create(id, 0)
	}
	c.create("full", 1<<63-1)
	c.expect(201, request{method: "PUT", path: accountPath("euro"), body: `{"currency":"EUR"}`})
	pay := func(key, body string) string {
		return parse[payment](c.tb, c.expect(201, post("/v1/payments", key, body)).body).ID
	}
	s := &refusalSetUp{
		captured: pay("captured", payBody("alice", "world:USD", 50)),
		held:     pay("held", payBody("alice", "bob", 100, `"capture":false`)),
		voided:   pay("voided", payBody("alice", "bob", 100, `"capture":false`)),
		refunded: pay("refunded", payBody("alice", "bob", 100)),
		spent:    pay("spent", payBody("alice", "shop", 50)),
		toFrozen: pay("to-frozen", payBody("alice", "frozen", 10)),
	}
	pay("spend", payBody("shop", "world:USD", 50))
	c.expect(200, post("/v1/payments/"+s.voided+"/void", "void", `{}`))
	c.expect(200, post("/v1/payments/"+s.refunded+"/refund", "refund", `{}`))
	for _, status := range []string{"frozen", "closed"} {
		c.expect(200, request{method: "PATCH", path: accountPath(status), body: `{"status":"` + status + `"}`})
	}
	return s
}

// notReached are the codes that this test cannot provoke from outside; those of
// draining and of a full disk have tests of their own.
var notReached = []string{
	"unauthenticated", "forbidden", "rate_limited", "idempotency_in_progress",
	"no_leader", "overloaded", "draining", "storage_full", "outcome_unknown",
}

var documentedCodes = strings.Fields(`invalid_json invalid_request unknown_field idempotency_key_missing
	idempotency_key_invalid unauthenticated forbidden insufficient_funds not_found account_not_found payment_not_found
	idempotency_key_not_found method_not_allowed account_exists account_frozen account_closed account_not_empty
	payment_not_open payment_not_refundable idempotency_in_progress version_mismatch condition_failed body_too_large
	unsupported_media_type currency_mismatch same_account amount_exceeds_authorized amount_exceeds_captured
	balance_overflow idempotency_key_reused rate_limited no_leader overloaded draining storage_full outcome_unknown`)

// TestRefusedChangesNothing sends everything that is to be refused. What is
// refused before the log leaves no trace at all; what is refused in the log
// leaves its key, and every account as it was.
func TestRefusedChangesNothing(t *testing.T) {
	p := serve(t, t.TempDir())
	c := dial(t, p.api)
	defer c.close()
	s := newRefusalSetUp(c)
	before := c.state()
	reached := map[string]bool{}

	at := p.position()
	for _, r := range rejections(s) {
		reached[c.refused(r)] = true
		if now := p.position(); now != at {
			t.Errorf("%s %s %.200s moved the log from %+v to %+v", r.method, r.path, r.body, at, now)
			at = now
		}
	}
	for _, key := range []string{"fresh", "two words"} {
		path := "/v1/idempotency-keys/" + strings.ReplaceAll(key, " ", "%20")
		if a := c.must(get(path)); a.status != 404 && a.status != 400 {
			t.Errorf("key %s remembers %s", key, a.body)
		}
	}
	if after := c.state(); after != before {
		t.Errorf("what was refused before the log changed the ledger from\n%s\nto\n%s", before, after)
	}

	for i, r := range committedRefusals(s) {
		keyed := r.method == "POST"
		if keyed {
			r.key = fmt.Sprintf("refused-%d", i)
		}
		reached[c.refused(r)] = true
		if after := c.state(); after != before {
			t.Errorf("%s %s %s changed the ledger from\n%s\nto\n%s", r.method, r.path, r.body, before, after)
			before = after
		}
		if !keyed {
			continue
		}
		if remembered := c.must(get("/v1/idempotency-keys/" + r.key)); remembered.status != 200 {
			t.Errorf("%s %s %s is not remembered: %s", r.method, r.path, r.body, remembered.body)
		}
		r.code, r.status, r.param = "idempotency_key_reused", 422, "path"
		r.path = "/v1/payments/" + s.held + "/void"
		r.body = `{}`
		if r.name != "void" {
			reached[c.refused(r)] = true
		}
	}
	c.refusedBatch()
	if after := c.state(); after != before {
		t.Errorf("refused requests changed the ledger from\n%s\nto\n%s", before, after)
	}
	for _, code := range documentedCodes {
		if reached[code] == slices.Contains(notReached, code) {
			t.Errorf("code %s: reached=%t", code, reached[code])
		}
	}
	p.verify()
	p.stop()
}

// refused sends r, checks the problem that it is answered with, and returns its
// code. "*" stands for a code or param that the table leaves open.
func (c *conn) refused(r refusal) string {
	c.tb.Helper()
	a := c.must(r.request)
	problem := parse[struct {
		Type, Title, Code, Detail, Param string
		Status                           int
		RequestID                        string `json:"request_id"`
	}](c.tb, a.body)
	what := fmt.Sprintf("%s %s %.200s", r.method, r.path, r.body)
	if a.status != r.status || r.code != "*" && problem.Code != r.code || r.param != "*" && problem.Param != r.param {
		c.tb.Errorf("%s answered %d %s, want %d %s about %q", what, a.status, a.body, r.status, r.code, r.param)
	}
	if problem.Status != a.status || problem.Type != "/problems/"+problem.Code || problem.Title == "" ||
		problem.Detail == "" || problem.RequestID == "" || a.header.Get("X-Request-Id") == "" ||
		a.header.Get("Purser-Index") == "" || a.header.Get("Content-Type") != "application/problem+json" {
		c.tb.Errorf("%s: not a problem: %+v %s", what, a.header, a.body)
	}
	if a.status == 405 && a.header.Get("Allow") == "" {
		c.tb.Errorf("%s: no Allow", what)
	}
	if a.replayed() {
		c.tb.Errorf("%s: a replay: %s", what, a.body)
	}
	return problem.Code
}

// refusedBatch sends a batch of which every item is refused, each in its way.
func (c *conn) refusedBatch() {
	c.tb.Helper()
	a := c.expect(200, post("/v1/payments/batch", "", `{"payments":[`+strings.Join([]string{
		payBody("alice", "bob", 1),
		payBody("alice", "bob", 1, `"idempotency_key":"held"`),
		payBody("alice", "bob", 10_001, `"idempotency_key":"refused-b1"`),
		payBody("frozen", "bob", 1, `"idempotency_key":"refused-b2"`),
	}, ",")+`]}`))
	results := parse[struct {
		Results []struct {
			Status int
			Error  struct{ Code string }
		}
	}](c.tb, a.body).Results
	var got []string
	for _, r := range results {
		got = append(got, fmt.Sprint(r.Status, " ", r.Error.Code))
	}
	want := []string{"400 idempotency_key_missing", "422 idempotency_key_reused", "402 insufficient_funds", "409 account_frozen"}
	if !slices.Equal(got, want) {
		c.tb.Errorf("a batch answered %q, want %q", got, want)
	}
}

// TestStorageFull starts a server that finds its disk full: writes are refused,
// certainly not applied, and reads go on.
func TestStorageFull(t *testing.T) {
	dir := t.TempDir()
	p := serve(t, dir)
	c := dial(t, p.api)
	c.create("alice", 100)
	held := parse[payment](t, c.expect(201, post("/v1/payments", "held", payBody("alice", "world:USD", 10, `"capture":false`))).body).ID
	before := c.state()
	p.stop()
	c.close()

	p = serve(t, dir, "--min-free-bytes=9223372036854775807")
	c = dial(t, p.api)
	eventually(t, "the disk is found full", func() bool {
		return c.must(post("/v1/payments/none/void", "probe", `{}`)).code() == "storage_full"
	})
	at := p.position()
	for _, r := range []request{
		post("/v1/payments", "k", payBody("alice", "world:USD", 1)),
		post("/v1/payments/"+held+"/capture", "k", `{}`),
		post("/v1/payments/batch", "", `{"payments":[`+payBody("alice", "world:USD", 1, `"idempotency_key":"k"`)+`]}`),
		{method: "PUT", path: accountPath("new"), body: `{"currency":"USD"}`},
		{method: "PATCH", path: accountPath("alice"), body: `{"status":"frozen"}`},
	} {
		c.refused(refusal{"full", 503, "storage_full", "", r})
		if a := c.must(r); a.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", r.path)
		}
	}
	if now := p.position(); now != at {
		t.Errorf("refused writes moved the log from %+v to %+v", at, now)
	}
	if after := c.state(); after != before {
		t.Errorf("a full disk changed the ledger from\n%s\nto\n%s", before, after)
	}
	c.expect(404, get("/v1/idempotency-keys/k"))
	p.stop()
	c.close()

	p = serve(t, dir)
	c = dial(t, p.api)
	if a := c.expect(201, post("/v1/payments", "k", payBody("alice", "world:USD", 1))); a.replayed() {
		t.Errorf("a refused write was remembered: %s", a.body)
	}
	c.close()
	p.stop()
}
