package main

import "testing"

// TestKeyReused sends known keys with other requests: the answer names the
// first field that differs, whatever happened to the server meanwhile. Other
// spellings of the same request are the same request.
func TestKeyReused(t *testing.T) {
	dir := t.TempDir()
	p := serve(t, dir)
	c := dial(t, p.api)
	c.create("alice", 10_000)
	c.create("bob", 0)
	const full = `{"source":"alice","destination":"bob","amount":"5","currency":"USD","capture":true,"expires_in":100,` +
		`"reference":"r","metadata":{"a":"b","c":"d"},"conditions":{"source_version":2,"min_available_after":"1"}}`
	paid := c.expect(201, post("/v1/payments", "full", full))
	plain := c.expect(201, post("/v1/payments", "plain", payBody("alice", "bob", 7)))
	held := parse[payment](t, c.expect(201, post("/v1/payments", "hold", payBody("alice", "bob", 90, `"capture":false`))).body)
	other := parse[payment](t, c.expect(201, post("/v1/payments", "hold-2", payBody("alice", "bob", 90, `"capture":false`))).body)
	capturePath := "/v1/payments/" + held.ID + "/capture"
	captured := c.expect(200, post(capturePath, "capture", `{"amount":"30","final":false}`))
	refunded := c.expect(200, post("/v1/payments/"+held.ID+"/refund", "refund", `{"amount":"10"}`))
	item := payBody("alice", "bob", 11)
	c.expect(200, post("/v1/payments/batch", "", `{"payments":[`+payBody("alice", "bob", 11, `"idempotency_key":"item"`)+`]}`))

	same := []struct {
		name  string
		first *answer // nil for a payment of a batch, which had no response of its own
		r     request
	}{
		{"other order and white space", paid, post("/v1/payments", "full", ` { "conditions" : {"min_available_after":1,"source_version":2},`+
			"\n\t"+`"metadata":{"c":"d","a":"b"},"reference":"\u0072","expires_in":100,"currency":"USD","amount":5,"destination":"bob","source":"alice"}`)},
		{"quoted key", paid, post("/v1/payments", `"full"`, full)},
		{"defaults spelled out", plain, post("/v1/payments", "plain", payBody("alice", "bob", 7, `"capture":true`, `"expires_in":604800`, `"metadata":{}`))},
		{"capture", captured, post(capturePath, "capture", `{"final":false,"amount":30}`)},
		{"refund", refunded, post("/v1/payments/"+held.ID+"/refund", "refund", `{"amount":10}`)},
		{"batch item on its own", nil, post("/v1/payments", "item", item)},
	}
	pay := func(key, body, param string) reuse { return reuse{post("/v1/payments", key, body), param} }
	with := func(fields string) string {
		return `{"source":"alice","destination":"bob","amount":"5","currency":"USD",` + fields + `}`
	}
	const rest = `"expires_in":100,"reference":"r","metadata":{"a":"b","c":"d"}`
	const conditions = `,"conditions":{"source_version":2,"min_available_after":"1"}`
	different := []reuse{
		pay("full", payBody("bob", "alice", 6), "source"),
		pay("full", payBody("alice", "world:USD", 6), "destination"),
		pay("full", `{"source":"alice","amount":"5","currency":"USD",`+rest+conditions+`}`, "destination"),
		pay("full", payBody("alice", "bob", 6), "amount"),
		pay("full", `{"source":"alice","destination":"bob","amount":"5","currency":"EUR"}`, "currency"),
		pay("full", with(`"capture":false`), "capture"),
		pay("full", with(`"expires_in":101`), "expires_in"),
		pay("full", with(`"expires_in":100,"reference":"R"`), "reference"),
		pay("full", with(`"expires_in":100,"reference":"r","metadata":{"a":"b","c":"e"}`), "metadata"),
		pay("full", with(rest), "conditions.source_version"),
		pay("full", with(rest+`,"conditions":{"source_version":3,"min_available_after":"1"}`), "conditions.source_version"),
		pay("full", with(rest+`,"conditions":{"source_version":2,"min_available_after":"2"}`), "conditions.min_available_after"),
		pay("item", payBody("alice", "bob", 12), "amount"),
		pay("capture", full, "path"),
		{post(capturePath, "plain", `{}`), "path"},
		{post("/v1/payments/"+other.ID+"/capture", "capture", `{"amount":"30","final":false}`), "path"},
		{post("/v1/payments/"+held.ID+"/refund", "capture", `{"amount":"30"}`), "path"},
		{post("/v1/payments/"+held.ID+"/void", "capture", `{}`), "path"},
		{post(capturePath, "capture", `{"amount":"31","final":false}`), "amount"},
		{post(capturePath, "capture", `{"final":false}`), "amount"},
		{post(capturePath, "capture", `{"amount":"30","final":true}`), "final"},
		{post(capturePath, "capture", `{"amount":"30"}`), "final"},
		{post("/v1/payments/"+held.ID+"/refund", "refund", `{"amount":"11"}`), "amount"},
	}
	check := func(when string) {
		t.Helper()
		before := c.state()
		for _, s := range same {
			a := c.must(s.r)
			if !a.replayed() || s.first != nil && !a.sameAs(s.first) {
				t.Errorf("%s, %s: replayed=%t %d %s", when, s.name, a.replayed(), a.status, a.body)
			}
		}
		for _, d := range different {
			d.check(t, c, when)
		}
		if after := c.state(); after != before {
			t.Errorf("%s: the ledger changed from\n%s\nto\n%s", when, before, after)
		}
	}
	check("at first")
	for _, from := range []string{"the log", "a snapshot"} {
		if from == "a snapshot" {
			p.snapshot()
		}
		p.kill()
		p = serve(t, dir)
		c.close()
		c = dial(t, p.api)
		check("restarted from " + from)
	}
	c.close()
	p.stop()
}

// reuse is a request with a known key that differs first in param.
type reuse struct {
	request
	param string
}

func (d reuse) check(t *testing.T, c *conn, when string) {
	t.Helper()
	a := c.must(d.request)
	problem := parse[struct{ Code, Param string }](t, a.body)
	if a.status != 422 || problem.Code != "idempotency_key_reused" || problem.Param != d.param || a.replayed() {
		t.Errorf("%s: %s with key %s and %s answered %d %s, want param %s", when, d.path, d.key, d.body, a.status, a.body, d.param)
	}
}
