package transport

import (
	"strings"
	"testing"
)

func TestParseKey(t *testing.T) {
	long := strings.Repeat("k", 255)
	for _, tt := range []struct {
		in, want string
		ok       bool
	}{
		{"k", "k", true},
		{`"k"`, "k", true},
		{`"a\"b\\c"`, `a"b\c`, true},
		{`a"b`, `a"b`, true},
		{"!~", "!~", true},
		{long, long, true},
		{`"` + long + `"`, long, true},
		{long + "k", "", false},
		{`"` + long + `k"`, "", false},
		{"", "", false},
		{`""`, "", false},
		{`"`, "", false},
		{`"k`, "", false},
		{`"k"x`, "", false},
		{`"k";p=1`, "", false},
		{`"k" `, "", false},
		{`"a\b"`, "", false},
		{`"a\`, "", false},
		{`"a b"`, "", false},
		{"a b", "", false},
		{"a\tb", "", false},
		{"a\x7f", "", false},
		{"é", "", false},
	} {
		got, _, ok := parseKey([]byte(tt.in), nil)
		if ok != tt.ok || ok && string(got) != tt.want {
			t.Errorf("%q: %q %v, want %q %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

func TestReplayIsByteIdentical(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100")
	for _, tt := range []struct{ name, first, again string }{
		{"accepted", `{"source":"alice","amount":"10","currency":"USD","reference":"é"}`,
			" {\n\"reference\":\"\\u00e9\",\"currency\":\"USD\",\"amount\":10,\"destination\":\"world:USD\",\"capture\":true,\"source\":\"alice\"} "},
		{"refused", `{"source":"alice","amount":"1000","currency":"USD"}`, `{"currency":"USD","source":"alice","amount":"1000"}`},
		{"not found", `{"source":"nobody","amount":"1","currency":"USD"}`, `{"source":"nobody","amount":1,"currency":"USD"}`},
	} {
		first := s.post("/v1/payments", tt.name[:3], tt.first)
		before := s.book.counts()
		again := s.do("POST", "/v1/payments", tt.again, "Idempotency-Key", `"`+tt.name[:3]+`"`, "X-Request-Id", "another")
		if again.body != first.body || again.status != first.status || again.header.Get("Content-Type") != first.header.Get("Content-Type") {
			t.Errorf("%s:\nfirst %d %s\nagain %d %s", tt.name, first.status, first.body, again.status, again.body)
		}
		if first.header.Get("Idempotent-Replayed") != "" || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: Idempotent-Replayed %q, then %q", tt.name, first.header.Get("Idempotent-Replayed"), again.header.Get("Idempotent-Replayed"))
		}
		if s.book.counts() != before {
			t.Errorf("%s: the replay executed something", tt.name)
		}
	}
}

func TestKeyReusedNamesTheField(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "1000")
	base := `{"source":"alice","amount":"10","currency":"USD","reference":"r"}`
	s.post("/v1/payments", "k", base)
	for body, param := range map[string]string{
		`{"source":"bob","amount":"10","currency":"USD","reference":"r"}`:                                     "source",
		`{"source":"alice","destination":"bob","amount":"10","currency":"USD","reference":"r"}`:               "destination",
		`{"source":"alice","amount":"11","currency":"USD","reference":"r"}`:                                   "amount",
		`{"source":"alice","amount":"10","currency":"USD","reference":"s"}`:                                   "reference",
		`{"source":"alice","amount":"10","currency":"USD","reference":"r","capture":false}`:                   "capture",
		`{"source":"alice","amount":"10","currency":"USD","reference":"r","metadata":{"a":"b"}}`:              "metadata",
		`{"source":"alice","amount":"10","currency":"USD","reference":"r","expires_in":5}`:                    "expires_in",
		`{"source":"alice","amount":"10","currency":"USD","reference":"r","conditions":{"source_version":2}}`: "conditions.source_version",
	} {
		s.wantProblem(s.post("/v1/payments", "k", body), codeKeyReused, param)
	}
	s.wantProblem(s.post("/v1/payments/pay_0000000000003/refund", "k", ""), codeKeyReused, "path")
}

// TestUnknownPaymentIsRemembered: a path that names no payment is refused like
// any other, once and for all under its key.
func TestUnknownPaymentIsRemembered(t *testing.T) {
	s := newSite(t)
	for _, id := range []string{"pay_0000000000zzz", "pay_nope", "x"} {
		path := "/v1/payments/" + id + "/capture"
		first := s.post(path, "k-"+id, `{"amount":"1"}`)
		s.wantProblem(first, codePaymentNotFound, "id")
		again := s.post(path, "k-"+id, `{"amount":1}`)
		if again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: %s, then %s", id, first.body, again.body)
		}
		s.wantProblem(s.post("/v1/payments/pay_other/capture", "k-"+id, `{"amount":1}`), codeKeyReused, "path")
	}
}

func TestKeyLookup(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100")
	accepted := s.post("/v1/payments", "a/b", `{"source":"alice","amount":"10","currency":"USD"}`)
	refused := s.post("/v1/payments", "no", `{"source":"alice","amount":"1000","currency":"USD"}`)
	a := s.do("GET", "/v1/idempotency-keys/a%2Fb", "")
	want := `{"status":201,"body":` + accepted.body + `,"created_at":"2026-01-02T03:04:08.000000Z","expires_at":"2026-01-03T03:04:08.000000Z"}`
	if a.status != 200 || a.body != want {
		t.Errorf("%d\ngot  %s\nwant %s", a.status, a.body, want)
	}
	a = s.do("GET", "/v1/idempotency-keys/no", "", "X-Request-Id", "mine")
	if a.status != 200 || !strings.HasPrefix(a.body, `{"status":402,"body":`+refused.body+`,`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	s.wantProblem(s.do("GET", "/v1/idempotency-keys/a%20b", ""), codeKeyInvalid, "key")
	s.wantProblem(s.do("GET", "/v1/idempotency-keys/%22%22", ""), codeKeyInvalid, "key")
	malformed, _ := s.raw("GET /v1/idempotency-keys/a%2 HTTP/1.1\r\nHost: purser\r\n\r\n")
	s.wantProblem(malformed, codeInvalidRequest, "key")
}

// TestQuotedKeyIsTheSameKey: bare or as a string of RFC 8941, a key is one key in
// the header, in an item of a batch and in the path.
func TestQuotedKeyIsTheSameKey(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100")
	fields := `"source":"alice","amount":"1","currency":"USD"`
	first := s.post("/v1/payments", `a"b\c`, `{`+fields+`}`)
	if first.status != 201 {
		t.Fatalf("%d %s", first.status, first.body)
	}
	for name, again := range map[string]answer{
		"bare header":   s.post("/v1/payments", `a"b\c`, `{`+fields+`}`),
		"quoted header": s.post("/v1/payments", `"a\"b\\c"`, `{`+fields+`}`),
	} {
		if again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: %d %s", name, again.status, again.body)
		}
	}
	_, results := s.batch(`{"payments":[{"idempotency_key":"a\"b\\c",` + fields + `},{"idempotency_key":"\"a\\\"b\\\\c\"",` + fields + `}]}`)
	for i, r := range results {
		if !r.Replayed || string(r.Payment) != first.body {
			t.Errorf("item %d of a batch: %+v %s", i, r, r.Error)
		}
	}
	for _, path := range []string{"a%22b%5Cc", "%22a%5C%22b%5C%5Cc%22"} {
		if a := s.do("GET", "/v1/idempotency-keys/"+path, ""); a.status != 200 || !strings.Contains(a.body, `"body":`+first.body) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	_, results = s.batch(`{"payments":[{"idempotency_key":"\"open",` + fields + `}]}`)
	if results[0].Status != 400 || !strings.Contains(string(results[0].Error), `"idempotency_key_invalid"`) {
		t.Errorf("a quote that does not end: %+v %s", results[0], results[0].Error)
	}
	s.wantProblem(s.do("GET", "/v1/idempotency-keys/%22open", ""), codeKeyInvalid, "key")
}

// TestRefusedRequestsLeaveTheKeyFree: what was not executed is not remembered.
func TestRefusedRequestsLeaveTheKeyFree(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100")
	good := `{"source":"alice","amount":"10","currency":"USD"}`
	s.wantProblem(s.post("/v1/payments", "k", `{"source":"alice","amount":"10"}`), codeInvalidRequest, "currency")
	s.wantProblem(s.do("POST", "/v1/payments", good, "Idempotency-Key", "k", "Content-Type", "text/xml"), codeUnsupportedMediaType, "")
	if a := s.post("/v1/payments", "k", good); a.status != 201 || a.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("%d %s", a.status, a.body)
	}
}
