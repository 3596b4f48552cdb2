package transport

import (
	"errors"
	"os"
	"strings"
	"testing"

	"purser/internal/ledger"
)

// openGate answers every request with its error.
type openGate struct{ err error }

func (g *openGate) Admit([]byte, bool) error { return g.err }

// refusalCase reaches one code over HTTP. before sets the stage, ask is the
// request that is refused.
type refusalCase struct {
	code   code
	param  string
	before func(*site)
	ask    func(*site) answer
}

func pay(fields string) func(*site) answer {
	return func(s *site) answer { return s.post("/v1/payments", "the-key", "{"+fields+"}") }
}

func request(method, path, body string, headers ...string) func(*site) answer {
	return func(s *site) answer { return s.do(method, path, body, headers...) }
}

const aliceToBob = `"source":"alice","destination":"bob","amount":"10","currency":"USD"`

func status(id, status string) func(*site) {
	return func(s *site) {
		s.t.Helper()
		if a := s.do("PATCH", "/v1/accounts/"+id, `{"status":"`+status+`"}`); a.status != 200 {
			s.t.Fatalf("PATCH %s: %d %s", id, a.status, a.body)
		}
	}
}

// authorized makes an authorization of 10 and returns its id.
func authorized(s *site) string {
	s.t.Helper()
	a := s.post("/v1/payments", "authorize", `{`+aliceToBob+`,"capture":false}`)
	if a.status != 201 {
		s.t.Fatalf("authorize: %d %s", a.status, a.body)
	}
	return a.str("id")
}

func onPayment(event, body string) func(*site) answer {
	return func(s *site) answer { return s.post("/v1/payments/pay_0000000000005/"+event, "the-key", body) }
}

func authorize(s *site) { authorized(s) }

func broken(err error) func(*site) { return func(s *site) { s.book.breakWith(err) } }

// refusalCases has at least one way to every code of the API.
var refusalCases = []refusalCase{
	{codeInvalidJSON, "", nil, pay(`"source":`)},
	{codeInvalidRequest, "amount", nil, pay(`"source":"alice","amount":"-1","currency":"USD"`)},
	{codeInvalidRequest, "", nil, request("PUT", "/v1/accounts/dave", `["currency"]`)},
	{codeInvalidRequest, "id", nil, request("PUT", "/v1/accounts/world:USD", `{"currency":"USD"}`)},
	{codeInvalidRequest, "id", nil, request("PATCH", "/v1/accounts/world:USD", `{"status":"frozen"}`)},
	{codeInvalidRequest, "id", nil, request("PUT", "/v1/accounts/-alice", `{"currency":"USD"}`)},
	{codeInvalidRequest, "id", nil, request("GET", "/v1/accounts/a%20b", "")},
	{codeInvalidRequest, "limit", nil, request("GET", "/v1/accounts?limit=501", "")},
	{codeInvalidRequest, "If-Match", nil, request("PATCH", "/v1/accounts/alice", `{}`, "If-Match", "7")},
	{codeUnknownField, "colour", nil, pay(aliceToBob + `,"colour":"red"`)},
	{codeUnknownField, "", nil, pay(aliceToBob + `,"":"red"`)},
	{codeKeyMissing, "Idempotency-Key", nil, request("POST", "/v1/payments", "{"+aliceToBob+"}")},
	{codeKeyInvalid, "Idempotency-Key", nil, request("POST", "/v1/payments", "{"+aliceToBob+"}", "Idempotency-Key", "a b")},
	{codeUnauthenticated, "", nil, request("GET", "/v1/accounts", "")},
	{codeForbidden, "", nil, request("GET", "/v1/accounts", "")},
	{codeRateLimited, "", nil, request("GET", "/v1/accounts", "")},
	{codeInsufficientFunds, "amount", nil, pay(`"source":"alice","amount":"1001","currency":"USD"`)},
	{codeInsufficientFunds, "amount", func(s *site) {
		id := authorized(s)
		s.post("/v1/payments/"+id+"/capture", "capture", "")
		s.post("/v1/payments", "spend", `{"source":"bob","amount":"10","currency":"USD"}`)
	}, onPayment("refund", "")},
	{codeNotFound, "", nil, request("GET", "/v2/accounts", "")},
	{codeNotFound, "", nil, request("GET", "/v1/accounts/", "")},
	{codeNotFound, "", nil, request("PUT", "/v1/accounts/", `{"currency":"USD"}`)},
	{codeNotFound, "", nil, request("PATCH", "/v1/accounts/", `{"status":"frozen"}`)},
	{codeNotFound, "", nil, request("GET", "/v1/payments/", "")},
	{codeNotFound, "", nil, request("GET", "/v1/idempotency-keys/", "")},
	{codeAccountNotFound, "source", nil, pay(`"source":"nobody","amount":"1","currency":"USD"`)},
	{codeAccountNotFound, "destination", nil, pay(`"source":"alice","destination":"nobody","amount":"1","currency":"USD"`)},
	{codeAccountNotFound, "id", nil, request("GET", "/v1/accounts/nobody", "")},
	{codeAccountNotFound, "id", nil, request("GET", "/v1/accounts/nobody/entries", "")},
	{codeAccountNotFound, "id", nil, request("PATCH", "/v1/accounts/nobody", `{"status":"frozen"}`)},
	{codePaymentNotFound, "id", nil, request("GET", "/v1/payments/pay_0000000000zzz", "")},
	{codePaymentNotFound, "id", nil, request("GET", "/v1/payments/nonsense", "")},
	{codePaymentNotFound, "id", nil, onPayment("capture", "")},
	{codeKeyNotFound, "key", nil, request("GET", "/v1/idempotency-keys/nothing", "")},
	{codeMethodNotAllowed, "", nil, request("DELETE", "/v1/accounts/alice", "")},
	{codeAccountExists, "id", nil, request("PUT", "/v1/accounts/alice", `{"currency":"EUR"}`)},
	{codeAccountFrozen, "source", status("alice", "frozen"), pay(aliceToBob)},
	{codeAccountClosed, "destination", status("bob", "closed"), pay(aliceToBob)},
	{codeAccountClosed, "id", status("bob", "closed"), request("PATCH", "/v1/accounts/bob", `{"status":"active"}`)},
	{codeAccountNotEmpty, "status", nil, request("PATCH", "/v1/accounts/alice", `{"status":"closed"}`)},
	{codePaymentNotOpen, "id", func(s *site) { s.post("/v1/payments/"+authorized(s)+"/void", "void", "{}") }, onPayment("capture", "{}")},
	{codePaymentNotRefundable, "id", authorize, onPayment("refund", "{}")},
	{codeInProgress, "", broken(ledger.ErrInProgress), pay(aliceToBob)},
	{codeVersionMismatch, "conditions.source_version", nil, pay(aliceToBob + `,"conditions":{"source_version":99}`)},
	{codeVersionMismatch, "If-Match", nil, request("PATCH", "/v1/accounts/alice", `{"status":"frozen"}`, "If-Match", `"99"`)},
	{codeConditionFailed, "conditions.min_available_after", nil, pay(aliceToBob + `,"conditions":{"min_available_after":"991"}`)},
	{codeBodyTooLarge, "", nil, pay(aliceToBob + strings.Repeat(" ", maxBody))},
	{codeUnsupportedMediaType, "", nil, request("POST", "/v1/payments", "{"+aliceToBob+"}", "Idempotency-Key", "k", "Content-Type", "text/plain")},
	{codeCurrencyMismatch, "currency", nil, pay(`"source":"alice","amount":"1","currency":"EUR"`)},
	{codeSameAccount, "destination", nil, pay(`"source":"alice","destination":"alice","amount":"1","currency":"USD"`)},
	{codeExceedsAuthorized, "amount", authorize, onPayment("capture", `{"amount":"11"}`)},
	{codeExceedsCaptured, "amount", func(s *site) { s.post("/v1/payments/"+authorized(s)+"/capture", "capture", "{}") }, onPayment("refund", `{"amount":"11"}`)},
	{codeBalanceOverflow, "amount", nil, pay(`"source":"world:USD","destination":"alice","amount":"9223372036854775807","currency":"USD"`)},
	{codeKeyReused, "amount", func(s *site) { pay(aliceToBob)(s) }, pay(`"source":"alice","destination":"bob","amount":"11","currency":"USD"`)},
	{codeInternal, "", broken(errors.New("row 6a is corrupt")), request("GET", "/v1/accounts/alice?consistency=stale", "")},
	{codeInternal, "", broken(errors.New("a surprise")), request("GET", "/v1/accounts/alice", "")},
	{codeNoLeader, "", broken(ledger.ErrNoLeader), pay(aliceToBob)},
	{codeOverloaded, "", broken(ledger.ErrOverloaded), pay(aliceToBob)},
	{codeDraining, "", broken(ledger.ErrDraining), pay(aliceToBob)},
	{codeStorageFull, "", broken(ledger.ErrStorageFull), pay(aliceToBob)},
	{codeOutcomeUnknown, "", broken(ledger.ErrOutcomeUnknown), pay(aliceToBob)},
	{codeOutcomeUnknown, "", broken(errors.New("a surprise")), pay(aliceToBob)},
}

// TestEveryCode reaches every code, and checks that what is refused leaves every
// account as it was.
func TestEveryCode(t *testing.T) {
	reached := map[code]bool{}
	for _, tt := range refusalCases {
		reached[tt.code] = true
		t.Run(tt.code.String()+" "+tt.param, func(t *testing.T) {
			gate := &openGate{}
			s := newSite(t, func(o *Options) { o.Gate = gate })
			s.fund("alice", "1000")
			s.fund("bob", "0")
			if s.book.counts() != 3 {
				t.Fatalf("%d commands set the stage, want 3 for authorized ids to be known", s.book.counts())
			}
			s.do("PUT", "/v1/accounts/carol", `{"currency":"USD"}`)
			if tt.before != nil {
				tt.before(s)
			}
			before := s.everything()
			switch tt.code {
			case codeUnauthenticated:
				gate.err = ErrUnauthenticated
			case codeForbidden:
				gate.err = ErrForbidden
			case codeRateLimited:
				gate.err = ErrRateLimited
			}
			a := tt.ask(s)
			gate.err = nil
			s.wantProblem(a, tt.code, tt.param)
			if after := s.everything(); after != before {
				t.Errorf("a refused request changed something:\nbefore %s\nafter  %s", before, after)
			}
		})
	}
	for c := noCode + 1; c < codes; c++ {
		if !reached[c] {
			t.Errorf("no test reaches %v", c)
		}
	}
}

// everything is the state of all accounts as the API shows it.
func (s *site) everything() string {
	s.t.Helper()
	s.book.mu.Lock()
	fail := s.book.fail
	s.book.fail = nil
	s.book.mu.Unlock()
	defer s.book.breakWith(fail)
	all := s.do("GET", "/v1/accounts", "").body
	for _, id := range []string{"alice", "bob", "world:USD"} {
		all += s.do("GET", "/v1/accounts/"+id, "").body + s.do("GET", "/v1/accounts/"+id+"/entries", "").body
	}
	return all
}

// TestCodesOfContract compares the table with the contract's list.
func TestCodesOfContract(t *testing.T) {
	contract := map[int]string{
		400: "invalid_json invalid_request unknown_field idempotency_key_missing idempotency_key_invalid",
		401: "unauthenticated", 403: "forbidden", 402: "insufficient_funds",
		404: "not_found account_not_found payment_not_found idempotency_key_not_found",
		405: "method_not_allowed",
		409: "account_exists account_frozen account_closed account_not_empty payment_not_open payment_not_refundable idempotency_in_progress",
		412: "version_mismatch condition_failed", 413: "body_too_large", 415: "unsupported_media_type",
		422: "currency_mismatch same_account amount_exceeds_authorized amount_exceeds_captured balance_overflow idempotency_key_reused",
		429: "rate_limited",
		500: "internal", // the contract is silent on records that cannot be read
		503: "no_leader overloaded draining storage_full", 504: "outcome_unknown",
	}
	want := map[string]int{}
	for status, names := range contract {
		for name := range strings.FieldsSeq(names) {
			want[name] = status
		}
	}
	for c := noCode + 1; c < codes; c++ {
		m := meanings[c]
		if want[m.name] != m.status || m.title == "" {
			t.Errorf("%+v: the contract says %d", m, want[m.name])
		}
		delete(want, m.name)
	}
	if len(want) > 0 {
		t.Errorf("codes of the contract that are missing: %v", want)
	}
	for c := ledger.AccountNotFound; c <= ledger.IdempotencyKeyReused; c++ {
		if refusals[c].String() != c.String() {
			t.Errorf("%v is answered as %v", c, refusals[c])
		}
	}
}

// TestInsufficientFunds pins the contract's example of a problem.
func TestInsufficientFunds(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "500")
	a := s.post("/v1/payments", "k", `{"source":"alice","amount":"1250","currency":"USD"}`)
	want := `{"type":"/problems/insufficient_funds","title":"Insufficient funds","status":402,"code":"insufficient_funds",` +
		`"detail":"available 500, required 1250","param":"amount","account":"alice","available":"500","required":"1250",` +
		`"retryable":false,"request_id":"req_0000000000003"}`
	if a.body != want {
		t.Errorf("got  %s\nwant %s", a.body, want)
	}
	if a.header.Get("X-Request-Id") != "req_0000000000003" {
		t.Errorf("X-Request-Id %q differs from the body's", a.header.Get("X-Request-Id"))
	}
}

// TestOpenAPI compares the description with the code: every path with its
// methods, every code, every field that is read or written.
func TestOpenAPI(t *testing.T) {
	raw, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	spec := string(raw)
	for op := opUnmatched + 1; op < operations; op++ {
		e := endpoints[op]
		_, after, found := strings.Cut(spec, "\n  "+paths[e.resource]+":\n")
		section := after
		if i := strings.Index(after, "\n  /"); i >= 0 {
			section = after[:i]
		}
		if !found || !strings.Contains("\n"+section, "\n    "+strings.ToLower(e.method)+":\n") {
			t.Errorf("%s %s is not described", e.method, paths[e.resource])
		}
	}
	for c := noCode + 1; c < codes; c++ {
		if !strings.Contains(spec, "- "+c.String()+"\n") {
			t.Errorf("code %v is not described", c)
		}
	}
	for name := range strings.FieldsSeq(`source destination amount currency capture expires_in reference metadata
		conditions source_version min_available_after idempotency_key final overdraft_limit status payments
		id seq captured refunded created_at expires_at source_balance destination_balance posted held available version
		updated_at accounts entries next_cursor payment kind direction counterparty results error replayed body
		type title code detail param account required retryable request_id`) {
		if !strings.Contains(spec, " "+name+": ") && !strings.Contains(spec, " "+name+":\n") {
			t.Errorf("field %s is not described", name)
		}
	}
	for name := range strings.FieldsSeq("consistency prefix limit cursor order Idempotency-Key If-Match " +
		"X-Request-Id Purser-Index Idempotent-Replayed Retry-After ETag Allow WWW-Authenticate") {
		if !strings.Contains(spec, name) {
			t.Errorf("%s is not described", name)
		}
	}
}
