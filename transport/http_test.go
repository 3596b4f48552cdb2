package transport

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"purser/internal/ledger"
)

func TestResolve(t *testing.T) {
	for path, want := range map[string]struct {
		res  resource
		part string
	}{
		"/v1/accounts":               {resAccounts, ""},
		"/v1/accounts/":              {noResource, ""},
		"/v1/accounts//entries":      {noResource, ""},
		"/v1/accounts/a":             {resAccount, "a"},
		"/v1/accounts/a%2Fb":         {resAccount, "a%2Fb"},
		"/v1/accounts/a/":            {noResource, ""},
		"/v1/accounts/a/entries":     {resEntries, "a"},
		"/v1/accounts/a/entries/":    {noResource, ""},
		"/v1/accounts/a/b/entries":   {noResource, ""},
		"/v1/accounts/entries":       {resAccount, "entries"},
		"/v1/payments":               {resPayments, ""},
		"/v1/payments/":              {noResource, ""},
		"/v1/payments//capture":      {noResource, ""},
		"/v1/payments/batch":         {resBatch, ""},
		"/v1/payments/batch/capture": {resCapture, "batch"},
		"/v1/payments/p":             {resPayment, "p"},
		"/v1/payments/p/capture":     {resCapture, "p"},
		"/v1/payments/p/void":        {resVoid, "p"},
		"/v1/payments/p/refund":      {resRefund, "p"},
		"/v1/payments/p/refund/x":    {noResource, ""},
		"/v1/idempotency-keys/k":     {resKey, "k"},
		"/v1/idempotency-keys":       {noResource, ""},
		"/v1/idempotency-keys/":      {noResource, ""},
		"/v1/idempotency-keys/k/x":   {noResource, ""},
		"/v1":                        {noResource, ""},
		"/v1/":                       {noResource, ""},
		"/V1/accounts":               {noResource, ""},
		"//v1/accounts":              {noResource, ""},
		"/v1/./accounts":             {noResource, ""},
		"/":                          {noResource, ""},
		"":                           {noResource, ""},
	} {
		res, part := resolve([]byte(path))
		if res != want.res || res != noResource && string(part) != want.part {
			t.Errorf("%s: %d %q, want %d %q", path, res, part, want.res, want.part)
		}
	}
}

func TestSplitTarget(t *testing.T) {
	for target, want := range map[string][2]string{
		"/a?b=c?d":          {"/a", "b=c?d"},
		"/a":                {"/a", ""},
		"/a?":               {"/a", ""},
		"http://h:1/a?b":    {"/a", "b"},
		"http://h":          {"", ""},
		"HTTPS://h/v1/x//y": {"/v1/x//y", ""},
		"*":                 {"", ""},
		"":                  {"", ""},
	} {
		path, query := splitTarget([]byte(target))
		if string(path) != want[0] || string(query) != want[1] {
			t.Errorf("%s: %q %q, want %q", target, path, query, want)
		}
	}
}

// TestMethods: every path answers exactly the methods that Allow names.
func TestMethods(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100")
	fill := strings.NewReplacer("{id}", "alice", "{key}", "fund-alice")
	for res := noResource + 1; res < resources; res++ {
		path := fill.Replace(paths[res])
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"} {
			a := s.do(method, path, "")
			allowed := strings.Contains(", "+allows[res]+",", ", "+method+",")
			if (a.status == 405) == allowed {
				t.Errorf("%s %s: %d, Allow is %q", method, path, a.status, allows[res])
			}
			if a.status == 405 && a.header.Get("Allow") != allows[res] {
				t.Errorf("%s %s: Allow %q, want %q", method, path, a.header.Get("Allow"), allows[res])
			}
		}
	}
}

func TestHead(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100")
	get, head := s.do("GET", "/v1/accounts/alice", ""), s.do("HEAD", "/v1/accounts/alice", "")
	if head.status != 200 || head.body != "" || head.header.Get("ETag") != get.header.Get("ETag") ||
		head.header.Get("Content-Length") != fmt.Sprint(len(get.body)) {
		t.Errorf("%d %q %v", head.status, head.body, head.header)
	}
}

func TestRequestID(t *testing.T) {
	s := newSite(t)
	made := regexp.MustCompile(`^req_[0-9a-f]{12}_[0-9]+$`)
	seen := map[string]bool{}
	for _, sent := range []string{"", strings.Repeat("x", 129), "a b", "a\tb", "é"} {
		a := s.do("GET", "/nowhere", "", "X-Request-Id", sent)
		id := a.header.Get("X-Request-Id")
		if !made.MatchString(id) || seen[id] || a.str("request_id") != id {
			t.Errorf("sent %q: %q, in the body %q", sent, id, a.str("request_id"))
		}
		seen[id] = true
	}
	for _, sent := range []string{"mine", `<"\>`, strings.Repeat("x", 128)} {
		a := s.do("GET", "/nowhere", "", "X-Request-Id", sent)
		if a.header.Get("X-Request-Id") != sent || a.str("request_id") != sent {
			t.Errorf("sent %q: %q, in the body %q", sent, a.header.Get("X-Request-Id"), a.str("request_id"))
		}
	}
}

func TestPurserIndex(t *testing.T) {
	s := newSite(t)
	if a := s.do("GET", "/nowhere", ""); a.header.Get("Purser-Index") != "0" {
		t.Errorf("before anything: %q", a.header.Get("Purser-Index"))
	}
	s.fund("alice", "100")
	for path, barriers := range map[string]int{
		"/v1/accounts/alice": 1, "/v1/accounts/alice?consistency=linearizable": 1, "/v1/accounts/alice?consistency=stale": 0,
		"/v1/accounts/alice/entries": 1, "/v1/accounts/alice/entries?consistency=stale": 0, "/v1/accounts": 1, "/v1/accounts?consistency=stale": 0,
		"/v1/payments/pay_0000000000002": 1, "/v1/payments/pay_0000000000002?consistency=stale": 0,
		"/v1/idempotency-keys/fund-alice": 1, "/v1/idempotency-keys/fund-alice?consistency=stale": 0,
	} {
		before := s.book.barriers
		a := s.do("GET", path, "")
		if a.status != 200 || a.header.Get("Purser-Index") != "2" || s.book.barriers-before != barriers {
			t.Errorf("%s: %d, index %q, %d barriers, want %d", path, a.status, a.header.Get("Purser-Index"), s.book.barriers-before, barriers)
		}
		s.book.late = 3 // the index is that of what is shown, not of what was waited for
		if a := s.do("GET", path, ""); a.status != 200 || a.header.Get("Purser-Index") != "5" {
			t.Errorf("%s: %d, index %q of what is shown", path, a.status, a.header.Get("Purser-Index"))
		}
		s.book.late = 0
	}
	s.wantProblem(s.do("GET", "/v1/accounts/alice?consistency=eventual", ""), codeInvalidRequest, "consistency")
	s.book.breakWith(ledger.ErrNoLeader)
	s.wantProblem(s.do("GET", "/v1/accounts/alice", ""), codeNoLeader, "")
}

func TestContentTypes(t *testing.T) {
	for value, want := range map[string]bool{
		"application/json": true, "Application/JSON": true, "application/json; charset=utf-8": true, "application/json;charset=UTF-8": true,
		`application/json; charset="utf-8"`: true, "application/json ; x=y": true, "application/json;": true,
		"": false, "text/plain": false, "application/jsonx": false, "application/json charset": false, "application/json; charset=latin1": false,
		"application/problem+json": false, "application/x-www-form-urlencoded": false,
	} {
		if got := isJSON([]byte(value)); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
	s := newSite(t)
	s.wantProblem(s.do("PUT", "/v1/accounts/a", `{"currency":"USD"}`, "Content-Encoding", "gzip"), codeUnsupportedMediaType, "")
}

func TestTwoKeysAreInvalid(t *testing.T) {
	s := newSite(t)
	a := s.do("POST", "/v1/payments", "{"+aliceToBob+"}", "Idempotency-Key", "k", "Idempotency-Key", "k")
	s.wantProblem(a, codeKeyInvalid, "Idempotency-Key")
	a, _ = s.raw("POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key:\r\nContent-Length: 2\r\n\r\n{}")
	s.wantProblem(a, codeKeyInvalid, "Idempotency-Key")
}

// TestBodyLimits: 64 KiB pass and one byte more does not; a batch may be larger.
func TestBodyLimits(t *testing.T) {
	s := newSite(t)
	body := `{"currency":"USD"}`
	at := func(n int) string { return body + strings.Repeat(" ", n-len(body)) }
	if a := s.do("PUT", "/v1/accounts/a", at(maxBody)); a.status != 201 {
		t.Errorf("%d at the limit: %s", a.status, a.body)
	}
	s.wantProblem(s.whole("PUT /v1/accounts/b", at(maxBody+1)), codeBodyTooLarge, "")
	s.wantProblem(s.whole("POST /v1/payments/batch?x=1", at(maxBody+1)), codeInvalidRequest, "x")
	s.wantProblem(s.do("POST", "/v1/payments/batch", at(maxBatchBody)), codeUnknownField, "currency")
	head := "POST /v1/payments/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	a, _ := s.raw(fmt.Sprintf("%sContent-Length: %d\r\n\r\n{", head, maxBatchBody+1))
	s.wantProblem(a, codeBodyTooLarge, "")
	inChunks := func(body string) string {
		all := "Transfer-Encoding: chunked\r\n\r\n"
		for part := range slices.Chunk([]byte(body), 50_000) {
			all += fmt.Sprintf("%x\r\n%s\r\n", len(part), part)
		}
		return all + "0\r\n\r\n"
	}
	put := "PUT /v1/accounts/c HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	a, _ = s.raw(put + inChunks(at(maxBody+1)))
	s.wantProblem(a, codeBodyTooLarge, "")
	if a, _ = s.raw(put + inChunks(at(maxBody))); a.status != 201 {
		t.Errorf("%d at the limit, in chunks: %s", a.status, a.body)
	}
	a, _ = s.raw(head + inChunks(at(maxBatchBody)))
	s.wantProblem(a, codeUnknownField, "currency")
	a, _ = s.raw(head + inChunks(at(maxBatchBody+1)))
	s.wantProblem(a, codeBodyTooLarge, "")
}

// TestUnreadable: what HTTP/1.1 does not allow is refused, and the connection closed.
func TestUnreadable(t *testing.T) {
	s := newSite(t)
	chunked := "12\r\n{\"currency\":\"USD\"}\r\n0\r\n\r\n"
	for name, text := range map[string]string{
		"length and chunked":  "PUT /v1/accounts/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 18\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
		"chunked and length":  "PUT /v1/accounts/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n" + chunked,
		"length and identity": "PUT /v1/accounts/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: identity\r\nContent-Length: 18\r\n\r\n{\"currency\":\"USD\"}",
		"two lengths":         "PUT /v1/accounts/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"no HTTP":             "hello\r\n\r\n",
		"large head":          "GET /v1/accounts HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 8<<10) + "\r\n\r\n",
		"space before colon":  "GET /v1/accounts HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\n{}",
	} {
		t.Run(name, func(t *testing.T) {
			a, c := s.raw(text)
			s.wantProblem(a, codeInvalidRequest, map[bool]string{true: "Content-Length"}[strings.Contains(name, " and ")])
			if rest, _ := io.ReadAll(c); len(rest) > 0 {
				t.Errorf("the connection went on: %q", rest)
			}
		})
	}
	if s.book.counts() != 0 {
		t.Errorf("%d commands were executed", s.book.counts())
	}
}

// TestChunkedAlone: the check on framing refuses no honest request.
func TestChunkedAlone(t *testing.T) {
	s := newSite(t)
	a, _ := s.raw("PUT /v1/accounts/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"12\r\n{\"currency\":\"USD\"}\r\n0\r\n\r\n")
	if a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestTrailersAreRefused: a field behind the body is no header, so no key of a
// payment either.
func TestTrailersAreRefused(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100")
	before := s.book.counts()
	body := `{"source":"alice","amount":"1","currency":"USD"}`
	for _, header := range []string{"", "Trailer: Idempotency-Key\r\n", "Idempotency-Key: k\r\n"} {
		a, _ := s.raw(fmt.Sprintf("POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s"+
			"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nIdempotency-Key: k\r\n\r\n", header, len(body), body))
		s.wantProblem(a, codeInvalidRequest, "Trailer")
	}
	if got := s.book.counts(); got != before {
		t.Errorf("%d commands were executed", got-before)
	}
}

// TestPipelinedResponsesKeepOrder also shows that no memory of one request leaks
// into the next on the same connection.
func TestPipelinedResponsesKeepOrder(t *testing.T) {
	s := newSite(t)
	c, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var all strings.Builder
	const n = 50
	for i := range n {
		body := fmt.Sprintf(`{"currency":"USD","metadata":{"n":"%d"}}`, i)
		fmt.Fprintf(&all, "PUT /v1/accounts/a%d HTTP/1.1\r\nHost: x\r\nX-Request-Id: id-%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", i, i, len(body), body)
	}
	go io.WriteString(c, all.String())
	r := bufio.NewReader(c)
	req, _ := http.NewRequest("PUT", "http://raw/", nil)
	for i := range n {
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			t.Fatal(err)
		}
		a := readAnswer(t, resp)
		if a.status != 201 || a.str("id") != fmt.Sprintf("a%d", i) || a.str("metadata") != fmt.Sprintf(`{"n":"%d"}`, i) || a.header.Get("X-Request-Id") != fmt.Sprintf("id-%d", i) {
			t.Fatalf("request %d: %d %s", i, a.status, a.body)
		}
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s := newSite(t, func(o *Options) { o.Registerer = reg })
	s.fund("alice", "100")
	s.do("GET", "/v1/accounts/alice", "")
	s.do("HEAD", "/v1/accounts/alice", "")
	s.do("GET", "/v1/accounts/nobody", "")
	s.do("GET", "/nowhere", "")
	s.do("DELETE", "/v1/accounts/alice", "")
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	want := `
# HELP purser_http_requests_total Requests answered, by route, method and HTTP status.
# TYPE purser_http_requests_total counter
purser_http_requests_total{code="200",method="GET",route="/v1/accounts/{id}"} 2
purser_http_requests_total{code="404",method="GET",route="/v1/accounts/{id}"} 1
purser_http_requests_total{code="201",method="PUT",route="/v1/accounts/{id}"} 1
purser_http_requests_total{code="201",method="POST",route="/v1/payments"} 1
purser_http_requests_total{code="404",method="other",route="other"} 1
purser_http_requests_total{code="405",method="other",route="other"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "purser_http_requests_total"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(s.server.metrics.requests); n != 6 {
		t.Errorf("%d series, want 6", n)
	}
}

func TestCheckListenAddress(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:8080": true, "127.9.9.9:1": true, "[::1]:8080": true, "localhost:8080": true, "[::ffff:127.0.0.1]:1": true,
		":8080": false, "0.0.0.0:8080": false, "[::]:8080": false, "192.168.0.1:8080": false, "example.org:80": false, "127.0.0.1.example.org:80": false,
	} {
		if err := CheckListenAddress(addr, false); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		} else if err != nil && !strings.Contains(err.Error(), "no authentication yet") {
			t.Errorf("%s: the error does not say why: %v", addr, err)
		}
		if err := CheckListenAddress(addr, true); err != nil {
			t.Errorf("%s, allowed: %v", addr, err)
		}
	}
	for _, addr := range []string{"127.0.0.1", "", "a:b:c"} {
		if CheckListenAddress(addr, true) == nil {
			t.Errorf("%q is no address", addr)
		}
	}
}

func TestOptions(t *testing.T) {
	err := Options{MaxBatch: 10_001, MaxBodyBytes: maxBatchBody - 1, MaxConns: -1, MaxConnsPerIP: -1, ReadTimeout: -1}.Validate()
	for _, word := range []string{"Executor", "Accounts", "Payments", "Registerer", "MaxBatch", "MaxBodyBytes", "MaxConns ", "MaxConnsPerIP", "timeouts"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("Validate does not mention %s: %v", word, err)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("New took options that are not valid")
	}
	reg := prometheus.NewRegistry()
	b := newBook()
	o := Options{Executor: b, Accounts: b, Payments: b, Registerer: reg}
	srv, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := srv.http
	if h.ReadTimeout.Seconds() != 5 || h.WriteTimeout.Seconds() != 10 || h.IdleTimeout.Seconds() != 60 || h.ReadBufferSize != 8192 ||
		h.Concurrency <= 0 || srv.opts.MaxConnsPerIP <= 0 || !h.CloseOnShutdown || srv.bodies.most != 256<<20 {
		t.Error("a limit of the HTTP server is not set")
	}
	if _, err := New(o); err == nil {
		t.Error("New registered its metrics twice")
	}
}
