package transport

import (
	"strings"
	"testing"
)

func TestPaymentResponse(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "10000")
	s.fund("merchant-7", "0")
	a := s.post("/v1/payments", "k", `{"source":"alice","destination":"merchant-7","amount":1250,"currency":"USD",`+
		`"reference":"order \"991\"","metadata":{"b":"2","a":"1\n"}}`)
	want := `{"id":"pay_0000000000004","seq":4,"status":"captured","source":"alice","destination":"merchant-7","amount":"1250",` +
		`"captured":"1250","refunded":"0","currency":"USD","reference":"order \"991\"","metadata":{"a":"1\n","b":"2"},` +
		`"created_at":"2026-01-02T03:04:09.000000Z","expires_at":null,` +
		`"source_balance":{"posted":"8750","held":"0","available":"8750","version":3},` +
		`"destination_balance":{"posted":"1250","held":"0","available":"1250","version":2}}`
	if a.status != 201 || a.body != want {
		t.Errorf("%d\ngot  %s\nwant %s", a.status, a.body, want)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("content type %q", got)
	}
	if got := a.header.Get("Purser-Index"); got != "4" {
		t.Errorf("Purser-Index %q, want the entry's 4", got)
	}
	if got := s.do("GET", "/v1/payments/pay_0000000000004", ""); got.status != 200 || got.body != want {
		t.Errorf("GET: %d %s", got.status, got.body)
	}
}

func TestWorldIsDefaultDestinationWithoutBalance(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100")
	a := s.post("/v1/payments", "k", `{"source":"alice","amount":"40","currency":"USD"}`)
	if a.str("destination") != "world:USD" || a.fields["destination_balance"] != nil || a.fields["reference"] != nil {
		t.Errorf("%d %s", a.status, a.body)
	}
	if !strings.Contains(a.body, `"destination_balance":null`) {
		t.Errorf("the balance of a world account must be null: %s", a.body)
	}
	a = s.do("GET", "/v1/accounts/world:USD", "")
	want := `{"id":"world:USD","currency":"USD","status":"active","posted":"-60","held":"0","available":"unlimited",` +
		`"overdraft_limit":"unlimited","version":0,"created_at":null,"updated_at":null,"metadata":{}}`
	if a.status != 200 || a.body != want {
		t.Errorf("%d\ngot  %s\nwant %s", a.status, a.body, want)
	}
}

// TestLifecycle walks an authorization through its events. Every response is the
// payment under its own id, seq and creation.
func TestLifecycle(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "1000")
	s.fund("shop", "0")
	a := s.post("/v1/payments", "auth", `{"source":"alice","destination":"shop","amount":"800","currency":"USD","capture":false,"expires_in":60,"reference":"r"}`)
	id, created := a.str("id"), a.str("created_at")
	if a.status != 201 || a.str("status") != "authorized" || a.str("expires_at") != "2026-01-02T03:05:09.000000Z" ||
		!strings.Contains(a.body, `"source_balance":{"posted":"1000","held":"800","available":"200","version":3}`) {
		t.Fatalf("authorize: %d %s", a.status, a.body)
	}
	steps := []struct {
		event, key, body                    string
		status, captured, refunded, balance string
	}{
		{"capture", "c1", `{"amount":"300","final":false}`, "authorized", "300", "0", `"source_balance":{"posted":"700","held":"500","available":"200","version":4}`},
		{"capture", "c2", `{"amount":100}`, "captured", "400", "0", `"source_balance":{"posted":"600","held":"0","available":"600","version":5}`},
		{"refund", "r1", `{"amount":"150"}`, "captured", "400", "150", `"destination_balance":{"posted":"250","held":"0","available":"250","version":4}`},
		{"refund", "r2", ``, "refunded", "400", "400", `"destination_balance":{"posted":"0","held":"0","available":"0","version":5}`},
	}
	for _, step := range steps {
		a := s.post("/v1/payments/"+id+"/"+step.event, step.key, step.body)
		if a.status != 200 || a.str("id") != id || a.str("seq") != "4" || a.str("created_at") != created || a.str("reference") != "r" ||
			a.str("amount") != "800" || a.str("status") != step.status || a.str("captured") != step.captured ||
			a.str("refunded") != step.refunded || !strings.Contains(a.body, step.balance) {
			t.Errorf("%s %s: %d %s", step.event, step.key, a.status, a.body)
		}
		if got := s.do("GET", "/v1/payments/"+id, ""); got.body != a.body {
			t.Errorf("GET after %s:\ngot  %s\nwant %s", step.key, got.body, a.body)
		}
		if again := s.post("/v1/payments/"+id+"/"+step.event, step.key, step.body); again.body != a.body || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s again: %s", step.key, again.body)
		}
	}
	a = s.post("/v1/payments", "auth2", `{"source":"alice","amount":"5","currency":"USD","capture":false}`)
	a = s.post("/v1/payments/"+a.str("id")+"/void", "v", ``)
	if a.status != 200 || a.str("status") != "voided" {
		t.Errorf("void: %d %s", a.status, a.body)
	}
}

// TestNoBodyIsEmptyObject: both are the same request.
func TestNoBodyIsEmptyObject(t *testing.T) {
	for _, event := range []string{"capture", "void", "refund"} {
		s := newSite(t)
		s.fund("alice", "100")
		a := s.post("/v1/payments", "auth", `{"source":"alice","amount":"10","currency":"USD","capture":false}`)
		path := "/v1/payments/" + a.str("id") + "/"
		if event == "refund" {
			s.post(path+"capture", "c", "")
		}
		first := s.post(path+event, "k", "")
		again := s.post(path+event, "k", "{}")
		if first.status != 200 || again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: %d %s, then %d %s", event, first.status, first.body, again.status, again.body)
		}
	}
}

func TestAccounts(t *testing.T) {
	s := newSite(t)
	first := s.do("PUT", "/v1/accounts/alice", `{"currency":"USD","overdraft_limit":"500","metadata":{"k":"v"}}`)
	want := `{"id":"alice","currency":"USD","status":"active","posted":"0","held":"0","available":"500","overdraft_limit":"500",` +
		`"version":1,"created_at":"2026-01-02T03:04:06.000000Z","updated_at":"2026-01-02T03:04:06.000000Z","metadata":{"k":"v"}}`
	if first.status != 201 || first.body != want || first.header.Get("ETag") != `"1"` {
		t.Errorf("%d %s\ngot  %s\nwant %s", first.status, first.header.Get("ETag"), first.body, want)
	}
	if a := s.do("PUT", "/v1/accounts/alice", `{"metadata":{"k":"v"},"overdraft_limit":500,"currency":"USD"}`); a.status != 200 || a.body != want {
		t.Errorf("the same definition again: %d %s", a.status, a.body)
	}
	if a := s.do("GET", "/v1/accounts/%61lice", ""); a.status != 200 || a.body != want || a.header.Get("ETag") != `"1"` {
		t.Errorf("GET: %d %s", a.status, a.body)
	}
	a := s.do("PATCH", "/v1/accounts/alice", `{"overdraft_limit":"unlimited"}`, "If-Match", `"1"`)
	if a.status != 200 || a.str("available") != "unlimited" || a.str("overdraft_limit") != "unlimited" || a.header.Get("ETag") != `"2"` {
		t.Errorf("PATCH: %d %s", a.status, a.body)
	}
	a = s.do("PATCH", "/v1/accounts/alice", `{"status":"frozen","metadata":{}}`, "If-Match", "*")
	if a.status != 200 || a.str("status") != "frozen" || a.str("metadata") != "{}" || a.str("version") != "3" {
		t.Errorf("PATCH: %d %s", a.status, a.body)
	}
	a = s.do("PATCH", "/v1/accounts/alice", `{"overdraft_limit":"0","status":"closed"}`)
	if a.status != 200 || a.str("status") != "closed" || a.str("available") != "0" {
		t.Errorf("PATCH: %d %s", a.status, a.body)
	}
	for _, tag := range []string{`W/"1"`, `1`, `"1","2"`, `""`, `"x"`, `"-1"`, `"1`} {
		s.wantProblem(s.do("PATCH", "/v1/accounts/alice", `{}`, "If-Match", tag), codeInvalidRequest, "If-Match")
	}
}

func TestOverdraftShowsNegativeAvailable(t *testing.T) {
	s := newSite(t)
	s.do("PUT", "/v1/accounts/alice", `{"currency":"USD","overdraft_limit":"100"}`)
	s.post("/v1/payments", "k", `{"source":"alice","amount":"80","currency":"USD"}`)
	a := s.do("PATCH", "/v1/accounts/alice", `{"overdraft_limit":"50"}`)
	if a.str("posted") != "-80" || a.str("available") != "-30" {
		t.Errorf("%d %s", a.status, a.body)
	}
}
