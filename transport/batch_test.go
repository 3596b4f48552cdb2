package transport

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// item is one result of a batch.
type item struct {
	Status   int
	Replayed bool
	Payment  json.RawMessage
	Error    json.RawMessage
}

func (s *site) batch(body string) (answer, []item) {
	s.t.Helper()
	a := s.do("POST", "/v1/payments/batch", body)
	var out struct{ Results []item }
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		s.t.Fatal(err)
	}
	return a, out.Results
}

func TestBatch(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100")
	single := s.post("/v1/payments", "single", `{"source":"alice","amount":"1","currency":"USD"}`)
	a, results := s.batch(`{"payments":[
		{"idempotency_key":"k1","source":"alice","amount":"60","currency":"USD"},
		{"idempotency_key":"k2","source":"alice","amount":"60","currency":"USD"},
		{"idempotency_key":"k3","source":"alice","amount":"-1","currency":"USD"},
		{"idempotency_key":"k4","source":"alice","amount":39,"currency":"USD","colour":{"a":[1]}},
		{"source":"alice","amount":"1","currency":"USD"},
		{"idempotency_key":"a b","source":"alice","amount":"1","currency":"USD"},
		7,
		{"idempotency_key":"k1","source":"alice","amount":60,"currency":"USD"},
		{"idempotency_key":"k1","source":"alice","amount":"61","currency":"USD"},
		{"idempotency_key":"single","source":"alice","amount":"1","currency":"USD"},
		{"idempotency_key":"k5","source":"alice","amount":"39","currency":"USD","capture":false}
	]}`)
	if a.status != 200 || len(results) != 11 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	want := []struct {
		status   int
		replayed bool
		code     string
		param    string
	}{
		{201, false, "", ""},
		{402, false, "insufficient_funds", "amount"},
		{400, false, "invalid_request", "amount"},
		{400, false, "unknown_field", "colour"},
		{400, false, "idempotency_key_missing", "idempotency_key"},
		{400, false, "idempotency_key_invalid", "idempotency_key"},
		{400, false, "invalid_request", ""},
		{201, true, "", ""},
		{422, false, "idempotency_key_reused", "amount"},
		{201, true, "", ""},
		{201, false, "", ""},
	}
	for i, w := range want {
		r := results[i]
		var problem struct {
			Status       int
			Code, Param  string
			RequestID    string `json:"request_id"`
			Type, Detail string
		}
		if r.Error != nil {
			json.Unmarshal(r.Error, &problem)
		}
		if r.Status != w.status || r.Replayed != w.replayed || problem.Code != w.code || problem.Param != w.param ||
			(r.Payment != nil) != (w.status == 201) || (r.Error != nil) != (w.status != 201) || r.Error != nil && problem.Status != r.Status ||
			strings.Contains(string(r.Error), `"param":""`) {
			t.Errorf("item %d: %+v %s%s, want %+v", i, r, r.Payment, r.Error, w)
		}
	}
	if string(results[7].Payment) != string(results[0].Payment) || string(results[9].Payment) != single.body {
		t.Error("a replayed item differs from its first response")
	}
	if alice := s.do("GET", "/v1/accounts/alice", ""); alice.str("available") != "0" || alice.str("held") != "39" {
		t.Errorf("after the batch: %s", alice.body)
	}
	// Each item can be retried alone, with the same bytes for an answer.
	again := s.post("/v1/payments", "k1", `{"source":"alice","amount":"60","currency":"USD"}`)
	if again.body != string(results[0].Payment) || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a retry alone: %s", again.body)
	}
	refused := s.post("/v1/payments", "k2", `{"source":"alice","amount":"60","currency":"USD"}`)
	if refused.body != string(results[1].Error) {
		t.Errorf("a refused item alone:\ngot  %s\nwant %s", refused.body, results[1].Error)
	}
}

func TestBatchRefusedWhole(t *testing.T) {
	s := newSite(t, func(o *Options) { o.MaxBatch = 3 })
	s.fund("alice", "100")
	item := func(i int) string {
		return fmt.Sprintf(`{"idempotency_key":"k%d","source":"alice","amount":"1","currency":"USD"}`, i)
	}
	for _, tt := range []struct {
		body  string
		code  code
		param string
	}{
		{`{"payments":[]}`, codeInvalidRequest, "payments"},
		{`{}`, codeInvalidRequest, "payments"},
		{`{"payments":{}}`, codeInvalidRequest, "payments"},
		{`{"payments":[` + item(1) + `],"payments":[` + item(2) + `]}`, codeInvalidRequest, "payments"},
		{`{"payments":[` + item(1) + `],"atomic":true}`, codeUnknownField, "atomic"},
		{`{"payments":[` + item(1) + `,{"amount":"x"]}`, codeInvalidJSON, ""},
		{`{"payments":[` + item(1) + `,]}`, codeInvalidJSON, ""},
		{`{"payments":[` + item(1) + `]}x`, codeInvalidJSON, ""},
		{`{"payments":[` + item(1) + `,` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `]}`, codeInvalidJSON, ""},
		{`{"payments":[` + strings.Join([]string{item(1), item(2), item(3), item(4)}, ",") + `]}`, codeInvalidRequest, "payments"},
	} {
		before := s.book.counts()
		s.wantProblem(s.do("POST", "/v1/payments/batch", tt.body), tt.code, tt.param)
		if s.book.counts() != before {
			t.Errorf("%s executed something", tt.body)
		}
	}
	if _, results := s.batch(`{"payments":[` + strings.Join([]string{item(1), item(2), item(3)}, ",") + `]}`); len(results) != 3 {
		t.Errorf("%d results for as many as are allowed", len(results))
	}
}

// TestBatchOfNothingGood: items that are all malformed reach no Executor.
func TestBatchOfNothingGood(t *testing.T) {
	s := newSite(t)
	before := s.book.counts()
	a, results := s.batch(`{"payments":[{},null]}`)
	if a.status != 200 || len(results) != 2 || results[0].Status != 400 || results[1].Status != 400 || s.book.counts() != before {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestBatchTakesLargeBodies: the limit of single requests does not hold here.
func TestBatchTakesLargeBodies(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "1000")
	var items []string
	for i := range 1000 {
		items = append(items, fmt.Sprintf(`{"idempotency_key":"k%d","source":"alice","amount":"1","currency":"USD","reference":"%s"}`, i, strings.Repeat("r", 200)))
	}
	body := `{"payments":[` + strings.Join(items, ",") + `]}`
	if len(body) <= maxBody {
		t.Fatal("the body is too small to show anything")
	}
	a, results := s.batch(body)
	if a.status != 200 || len(results) != 1000 {
		t.Fatalf("%d, %d results", a.status, len(results))
	}
	for i, r := range results {
		if r.Status != 201 {
			t.Fatalf("item %d: %d", i, r.Status)
		}
	}
	if left := s.do("GET", "/v1/accounts/alice", "").str("posted"); left != "0" {
		t.Errorf("posted %s, want 0", left)
	}
}
