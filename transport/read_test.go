package transport

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// walk reads a listing page by page and returns the named field of every element.
func (s *site) walk(path, list, name string, limit int) []string {
	s.t.Helper()
	var all []string
	cursor := ""
	for range 1000 {
		u := fmt.Sprintf("%slimit=%d", path, limit)
		if cursor != "" {
			u += "&cursor=" + url.QueryEscape(cursor)
		}
		a := s.do("GET", u, "")
		if a.status != 200 {
			s.t.Fatalf("%s: %d %s", u, a.status, a.body)
		}
		elements := a.fields[list].([]any)
		if len(elements) > limit {
			s.t.Fatalf("%s: %d elements", u, len(elements))
		}
		for _, e := range elements {
			v, _ := json.Marshal(e.(map[string]any)[name])
			all = append(all, strings.Trim(string(v), `"`))
		}
		next, ok := a.fields["next_cursor"].(string)
		if !ok {
			if a.fields["next_cursor"] != nil {
				s.t.Fatalf("next_cursor %v", a.fields["next_cursor"])
			}
			return all
		}
		cursor = next
	}
	s.t.Fatal("the listing does not end")
	return nil
}

func TestListAccounts(t *testing.T) {
	s := newSite(t)
	var ids []string
	for i := range 23 {
		id := fmt.Sprintf("user-%02d", i)
		s.fund(id, "0")
		ids = append(ids, id)
	}
	s.fund("shop", "0")
	for _, limit := range []int{1, 2, 7, 22, 23, 24, 500} {
		if got := s.walk("/v1/accounts?prefix=user-&", "accounts", "id", limit); !slices.Equal(got, ids) {
			t.Errorf("limit %d: %v", limit, got)
		}
	}
	if got := s.walk("/v1/accounts?", "accounts", "id", 10); len(got) != 24 || got[0] != "shop" {
		t.Errorf("all: %v", got)
	}
	a := s.do("GET", "/v1/accounts?prefix=nobody", "")
	if a.body != `{"accounts":[],"next_cursor":null}` {
		t.Errorf("none: %s", a.body)
	}
	one, page := s.do("GET", "/v1/accounts/shop", ""), s.do("GET", "/v1/accounts?prefix=shop", "")
	if page.body != `{"accounts":[`+one.body+`],"next_cursor":null}` {
		t.Errorf("%s", page.body)
	}
}

func TestListEntries(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "1000")
	for i := range 10 {
		s.post("/v1/payments", fmt.Sprint("k", i), `{"source":"alice","amount":"1","currency":"USD"}`)
	}
	oldest := s.walk("/v1/accounts/alice/entries?order=asc&", "entries", "seq", 500)
	if len(oldest) != 11 {
		t.Fatalf("%d entries", len(oldest))
	}
	newest := slices.Clone(oldest)
	slices.Reverse(newest)
	for _, limit := range []int{1, 3, 10, 11, 12} {
		if got := s.walk("/v1/accounts/alice/entries?order=asc&", "entries", "seq", limit); !slices.Equal(got, oldest) {
			t.Errorf("asc, limit %d: %v", limit, got)
		}
		if got := s.walk("/v1/accounts/alice/entries?order=desc&", "entries", "seq", limit); !slices.Equal(got, newest) {
			t.Errorf("desc, limit %d: %v", limit, got)
		}
		if got := s.walk("/v1/accounts/alice/entries?", "entries", "seq", limit); !slices.Equal(got, newest) {
			t.Errorf("default, limit %d: %v", limit, got)
		}
	}
	a := s.do("GET", "/v1/accounts/alice/entries?limit=1&order=asc", "")
	want := `{"seq":2,"payment":"pay_0000000000002","kind":"payment","direction":"credit","amount":"1000",` +
		`"posted":"1000","held":"0","version":2,"counterparty":"world:USD","created_at":"2026-01-02T03:04:07.000000Z"}`
	if !strings.HasPrefix(a.body, `{"entries":[`+want+`],`) {
		t.Errorf("got  %s\nwant %s", a.body, want)
	}
	a = s.do("GET", "/v1/accounts/world:USD/entries?limit=1&order=asc", "")
	if !strings.Contains(a.body, `"direction":"debit","amount":"1000","posted":null,"held":null,"version":null,"counterparty":"alice"`) {
		t.Errorf("world: %s", a.body)
	}
}

func TestQueriesAreStrict(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100")
	for path, param := range map[string]string{
		"/v1/accounts?x=1":                                  "x",
		"/v1/accounts?limit=1&limit=1":                      "limit",
		"/v1/accounts?limit=0":                              "limit",
		"/v1/accounts?limit=501":                            "limit",
		"/v1/accounts?limit=-1":                             "limit",
		"/v1/accounts?limit=":                               "limit",
		"/v1/accounts?limit":                                "limit",
		"/v1/accounts?limit=1e1":                            "limit",
		"/v1/accounts?order=asc":                            "order",
		"/v1/accounts?prefix=a%20b":                         "prefix",
		"/v1/accounts?prefix=a+b":                           "prefix",
		"/v1/accounts?&":                                    "",
		"/v1/accounts?prefix=" + strings.Repeat("a", 129):   "prefix",
		"/v1/accounts/alice?prefix=a":                       "prefix",
		"/v1/accounts/alice?consistency=":                   "consistency",
		"/v1/accounts/alice?Consistency=stale":              "Consistency",
		"/v1/accounts/alice?consistency=stale&consistency=": "consistency",
		"/v1/accounts/alice/entries?order=up":               "order",
		"/v1/accounts/alice/entries?prefix=a":               "prefix",
		"/v1/payments/pay_0000000000002?limit=1":            "limit",
		"/v1/idempotency-keys/fund-alice?limit=1":           "limit",
	} {
		s.wantProblem(s.do("GET", path, ""), codeInvalidRequest, param)
	}
	for _, path := range []string{"/v1/payments?x=1", "/v1/payments/batch?x=1", "/v1/payments/p/capture?x=1", "/v1/payments/p/void?x=1", "/v1/payments/p/refund?x=1"} {
		s.wantProblem(s.post(path, "k", "{"+aliceToBob+"}"), codeInvalidRequest, "x")
	}
	s.wantProblem(s.do("PUT", "/v1/accounts/b?x=1", `{"currency":"USD"}`), codeInvalidRequest, "x")
	s.wantProblem(s.do("PATCH", "/v1/accounts/b?x=1", `{}`), codeInvalidRequest, "x")
	malformed, _ := s.raw("GET /v1/accounts?prefix=%4 HTTP/1.1\r\nHost: x\r\n\r\n")
	s.wantProblem(malformed, codeInvalidRequest, "prefix")
	malformed, _ = s.raw("GET /v1/accounts/%zz HTTP/1.1\r\nHost: x\r\n\r\n")
	s.wantProblem(malformed, codeInvalidRequest, "id")
}

// TestCursorsAreStrict: a cursor goes on with its own listing and no other, and
// no altered one is taken.
func TestCursorsAreStrict(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100")
	s.fund("bob", "100")
	for i := range 3 {
		s.post("/v1/payments", fmt.Sprint("a", i), `{"source":"alice","destination":"bob","amount":"1","currency":"USD"}`)
	}
	next := func(path string) string { return s.do("GET", path, "").str("next_cursor") }
	entries := next("/v1/accounts/alice/entries?limit=1")
	accounts := next("/v1/accounts?limit=1")
	refused := []string{
		"/v1/accounts/bob/entries?cursor=" + entries,
		"/v1/accounts/alice/entries?order=asc&cursor=" + entries,
		"/v1/accounts?cursor=" + entries,
		"/v1/accounts/alice/entries?cursor=" + accounts,
		"/v1/accounts?prefix=a&cursor=" + accounts,
		"/v1/accounts?cursor=",
		"/v1/accounts?cursor=%00",
		"/v1/accounts?cursor=" + accounts + "%0A",
		"/v1/accounts?cursor=" + accounts + "=",
		"/v1/accounts/alice/entries?cursor=" + entries[:len(entries)-2],
	}
	raw, err := base64.RawURLEncoding.DecodeString(entries)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		altered := slices.Clone(raw)
		altered[i] ^= 1
		refused = append(refused, "/v1/accounts/alice/entries?cursor="+base64.RawURLEncoding.EncodeToString(altered))
	}
	for _, path := range refused {
		s.wantProblem(s.do("GET", path, ""), codeInvalidRequest, "cursor")
	}
	if a := s.do("GET", "/v1/accounts/alice/entries?cursor="+entries, ""); a.status != 200 {
		t.Errorf("its own listing refuses it: %s", a.body)
	}
}
