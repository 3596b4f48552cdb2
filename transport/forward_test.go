package transport

import (
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"purser/internal/ledger"
)

// madeID matches the request ids that a node makes up; those of executions are
// the same on every node.
var madeID = regexp.MustCompile(`req_[0-9a-f]{12}_[0-9]+`)

// conversation is a script of requests that meets every kind of answer.
func conversation() []string {
	const typed = "Content-Type: application/json\r\n"
	request := func(line, headers, body string) string {
		length := ""
		if body != "" {
			length = fmt.Sprintf("Content-Length: %d\r\n", len(body))
		}
		return line + " HTTP/1.1\r\nHost: x\r\n" + headers + length + "\r\n" + body
	}
	pay := func(key, body string) string {
		return request("POST /v1/payments", typed+"Idempotency-Key: "+key+"\r\n", body)
	}
	fund := `{"source":"world:USD","destination":"alice","amount":"5000","currency":"USD"}`
	large := largeBatch("k-large", 100<<10)
	chunked := "POST /v1/payments HTTP/1.1\r\nHost: x\r\n" + typed + "Idempotency-Key: k-chunked\r\nTransfer-Encoding: chunked\r\n\r\n"
	return []string{
		request("PUT /v1/accounts/alice", typed, `{"currency":"USD"}`),
		request("PUT /v1/accounts/alice", typed, `{"currency":"USD"}`),
		request("PUT /v1/accounts/alice", typed, `{"currency":"EUR"}`),
		request("PUT /v1/accounts/b%6fb", typed+"X-Request-Id: mine\r\n", `{"currency":"USD","metadata":{"a":"\u00e9\n"}}`),
		request("PUT http://elsewhere/v1/accounts/carol", typed, `{"currency":"USD"}`),
		request("PUT /v1/accounts/dave#alice", typed, `{"currency":"USD"}`),
		request("GET /v1/accounts/alice", "", ""),
		request("GET /v1/accounts/alice", typed, `{"a":"body"}`),
		request("HEAD /v1/accounts/alice", "", ""),
		request("HEAD /v1/accounts/nobody", "", ""),
		request("GET /v1/accounts/%61lice?consistency=linearizable", "X-Request-Id: mine\r\n", ""),
		request("GET /v1/accounts/alice?x=1", "", ""),
		request("GET /v1/accounts/alice?consistency=st%zz", "", ""),
		pay("fund", fund),
		pay("fund", fund), // replayed
		pay(`"fund"`, fund),
		pay("fund", strings.Replace(fund, "5000", "5001", 1)), // reused
		pay("poor", `{"source":"bob","amount":"1","currency":"USD"}`),
		pay("poor", `{"source":"bob","amount":"1","currency":"USD"}`), // replayed; the id is the execution's
		request("POST /v1/payments", typed+"Idempotency-Key: poor\r\nX-Request-Id: mine\r\n", `{"source":"bob","amount":"1","currency":"USD"}`),
		pay("bad", `{"source":"bob","amount":"1","currency":"USD",}`),
		request("POST /v1/payments", typed, fund),
		request("POST /v1/payments", typed+"Idempotency-Key: a\r\nIdempotency-Key: a\r\n", fund),
		request("POST /v1/payments", typed+"Idempotency-Key:\r\n", fund),
		request("POST /v1/payments", "Idempotency-Key: untyped\r\n", fund),
		request("POST /v1/payments", typed+"Content-Encoding: gzip\r\nIdempotency-Key: packed\r\n", fund),
		request("POST /v1/payments?x=1", typed+"Idempotency-Key: q\r\n", fund),
		chunked + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(fund), fund),
		pay("hold", `{"source":"alice","amount":"100","currency":"USD","capture":false}`),
		request("POST /v1/payments/pay_0000000000008/capture", "Idempotency-Key: c1\r\nContent-Length: 0\r\n", ""),
		request("POST /v1/payments/pay_nothing/void", "Idempotency-Key: v1\r\n", ""),
		request("POST /v1/payments/pay_nothing/refund", typed+"Idempotency-Key: r1\r\n", `{}`),
		request("PATCH /v1/accounts/alice", typed+"If-Match: \"99\"\r\n", `{"status":"frozen"}`),
		request("PATCH /v1/accounts/alice", typed+"If-Match: \"1\"\r\nIf-Match: \"2\"\r\n", `{"status":"frozen"}`),
		request("PATCH /v1/accounts/bob", typed+"If-Match: *\r\n", `{"status":"frozen"}`),
		request("PATCH /v1/accounts/world:USD", typed, `{"status":"frozen"}`),
		request("POST /v1/payments/batch", typed, `{"payments":[{"idempotency_key":"i1","source":"alice","amount":"7","currency":"USD"},`+
			`{"idempotency_key":"i2","source":"bob","amount":"7","currency":"USD"},{"source":"x"},{"idempotency_key":"fund","source":"alice","amount":"7","currency":"USD"}]}`),
		request("POST /v1/payments/batch", typed, `{"payments":[{"idempotency_key":"i1","source":"alice","amount":"7","currency":"USD"}]}`),
		request("POST /v1/payments/batch", typed, large),
		request("POST /v1/payments/batch", typed, `{"payments":[]}`),
		request("GET /v1/accounts?limit=1&prefix=a", "", ""),
		request("GET /v1/accounts/alice/entries?limit=2&order=asc", "", ""),
		request("HEAD /v1/accounts/alice/entries", "", ""),
		request("GET /v1/payments/pay_0000000000005", "", ""),
		request("GET /v1/payments/nothing", "", ""),
		request("GET /v1/idempotency-keys/poor", "", ""),
		request("GET /v1/idempotency-keys/%22poor%22", "", ""),
	}
}

// TestForwardedIsTheLeadersAnswer: through a follower, a client reads the bytes
// that the leader itself would have sent, and the leader ends in the same state.
func TestForwardedIsTheLeadersAnswer(t *testing.T) {
	alone, p, _ := newNode(t)
	p.set("", true)
	direct := newWire(t, addrOf(alone))
	follower, leader, _ := newPair(t)
	through := newWire(t, addrOf(follower))
	statuses := map[string]bool{}
	for _, request := range conversation() {
		want := madeID.ReplaceAllString(direct.ask(request), "made")
		got := madeID.ReplaceAllString(through.ask(request), "made")
		if got != want {
			t.Errorf("%.200q\n--- through the follower\n%s\n--- from the leader\n%s", request, got, want)
		}
		statuses[want[9:12]] = true
	}
	if got, want := leader.everything(), alone.everything(); got != want {
		t.Errorf("the leaders differ:\n%s\n%s", got, want)
	}
	for _, status := range []string{"200", "201", "400", "402", "404", "409", "412", "415", "422"} {
		if !statuses[status] {
			t.Errorf("no request was answered %s", status)
		}
	}
	if a := through.answer("GET /v1/accounts HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(a.header.Get("X-Request-Id"), follower.server.ids.prefix) {
		t.Errorf("the request id %s is not that of the node that took the request", a.header.Get("X-Request-Id"))
	}
	if n := testutil.ToFloat64(follower.server.forwarder.metrics.answered); n != float64(len(conversation())+1) {
		t.Errorf("%v requests were forwarded of %d", n, len(conversation()))
	}
}

// addrOf is where s listens.
func addrOf(s *site) string {
	s.t.Helper()
	c, err := s.client.Transport.(*http.Transport).DialContext(s.t.Context(), "", "")
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	return c.RemoteAddr().String()
}

// TestFollowerAnswersItself: what needs no leader is not sent to one.
func TestFollowerAnswersItself(t *testing.T) {
	leader := newScript(t, die)
	s, p, _ := newNode(t)
	p.set("", true)
	s.fund("alice", "100")
	p.set(leader.addr, false)
	s.wantProblem(s.do("GET", "/nowhere", ""), codeNotFound, "")
	s.wantProblem(s.do("DELETE", "/v1/accounts/alice", ""), codeMethodNotAllowed, "")
	bad := newWire(t, addrOf(s)).answer("PUT /v1/accounts/d%zz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	s.wantProblem(bad, codeInvalidRequest, "id")
	s.wantProblem(s.do("PUT", "/v1/accounts/a", strings.Repeat(" ", maxBody+1)), codeBodyTooLarge, "")
	s.wantProblem(s.do("POST", "/v1/payments/batch", strings.Repeat(" ", maxBatchBody+1)), codeBodyTooLarge, "")
	s.wantProblem(s.do("POST", "/v1/payments/batch", "{}", "Content-Type", "text/plain"), codeUnsupportedMediaType, "")
	for _, path := range []string{
		"/v1/accounts/alice?consistency=stale", "/v1/accounts/alice?consistency=%73tale", "/v1/accounts?limit=2&consistency=stale",
		"/v1/accounts/alice/entries?consistency=stale&order=asc", "/v1/payments/pay_0000000000002?consistency=stale",
		"/v1/idempotency-keys/fund-alice?consistency=stale",
	} {
		if a := s.do("GET", path, ""); a.status != 200 || a.header.Get("Purser-Index") != "2" {
			t.Errorf("%s: %d, index %s", path, a.status, a.header.Get("Purser-Index"))
		}
	}
	s.wantProblem(s.do("GET", "/v1/accounts/alice?consistency=stale&consistency=linearizable", ""), codeInvalidRequest, "consistency")
	if got := leader.requests(); len(got) > 0 {
		t.Errorf("the leader was asked: %q", got)
	}
}

// TestGateBeforeForwarding: who may not enter here does not reach the leader.
func TestGateBeforeForwarding(t *testing.T) {
	follower, leader, _ := newPair(t, func(o *Options) { o.Gate = &openGate{ErrForbidden} })
	follower.wantProblem(follower.do("PUT", "/v1/accounts/a", `{"currency":"USD"}`), codeForbidden, "")
	if leader.book.counts() != 0 {
		t.Error("it was executed")
	}
}

// TestForwardedHead: what the leader needs to know of a request arrives, the
// client's own headers between nodes do not.
func TestForwardedHead(t *testing.T) {
	var got http.Header
	leader := newScript(t, func(c net.Conn, req *http.Request) {
		got = req.Header
		says(201, noCode)(c, req)
	})
	s, p, _ := newNode(t)
	p.set(leader.addr, false)
	a := s.do("POST", "/v1/payments", "{}", "Idempotency-Key", "k", "Authorization", "Bearer x", "Accept", "text/x", "If-Match", `"1"`,
		"X-Request-Id", "mine", "Purser-Request-Id", "theirs", "Cookie", "a=b", "X-Other", "1", "TE", "trailers")
	if a.status != 201 || a.header.Get("Purser-Index") != "77" {
		t.Fatal(a)
	}
	want := http.Header{
		"Idempotency-Key": {"k"}, "Authorization": {"Bearer x"}, "Accept": {"text/x"}, "If-Match": {`"1"`}, "X-Request-Id": {"mine"},
		"Content-Type": {"application/json"}, "Content-Length": {"2"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	s.do("POST", "/v1/payments", "{}", "Idempotency-Key", "k")
	if got.Get("X-Request-Id") != "" || !madeID.MatchString(got.Get("Purser-Request-Id")) {
		t.Errorf("an id that the follower made up: %v", got)
	}
}

// TestNoLoops: a request is forwarded once, whatever nodes believe of each other.
func TestNoLoops(t *testing.T) {
	a, ap, aAddr := newNode(t)
	b, bp, bAddr := newNode(t)
	ap.set(bAddr, false)
	bp.set(aAddr, false)
	for _, ask := range []func() answer{
		func() answer { return a.do("GET", "/v1/accounts/alice", "") },
		func() answer { return a.do("PUT", "/v1/accounts/alice", `{"currency":"USD"}`) },
		func() answer { return a.post("/v1/payments", "k", "{"+aliceToBob+"}") },
		func() answer { return a.do("POST", "/v1/payments/batch", largeBatch("k", 100<<10)) },
	} {
		a.wantProblem(ask(), codeNoLeader, "")
	}
	am, bm := a.server.forwarder.metrics, b.server.forwarder.metrics
	if n := testutil.ToFloat64(am.answered); n != 4 {
		t.Errorf("the first node forwarded %v requests of 4", n)
	}
	if n := testutil.ToFloat64(bm.refused[codeNoLeader]); n != 4 || testutil.ToFloat64(bm.answered) != 0 {
		t.Errorf("the second node refused %v requests of 4", n)
	}
}

// TestClientsPassForNoNode: what is believed of nodes has no effect on the
// connections of clients.
func TestClientsPassForNoNode(t *testing.T) {
	follower, leader, _ := newPair(t)
	for name, s := range map[string]*site{"follower": follower, "leader": leader} {
		got := s.do("PUT", "/v1/accounts/"+name, `{"currency":"USD"}`, "Purser-Forwarded-By", "n7", "Purser-Request-Id", "forged")
		if id := got.header.Get("X-Request-Id"); got.status != 201 || !madeID.MatchString(id) {
			t.Errorf("%s: %d, request id %q: %s", name, got.status, id, got.body)
		}
	}
	if n := leader.book.counts(); n != 2 {
		t.Errorf("%d requests were executed of 2", n)
	}
}

// TestForwardMetrics: one sample for each request, in clean form.
func TestForwardMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	follower, _, p := newPair(t, func(o *Options) { o.Registerer = reg })
	follower.do("PUT", "/v1/accounts/a", `{"currency":"USD"}`)
	p.set("", false)
	follower.do("PUT", "/v1/accounts/a", `{"currency":"USD"}`)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	want := `
# HELP purser_http_forwarded_total Requests for the leader that reached this node, by what became of them.
# TYPE purser_http_forwarded_total counter
purser_http_forwarded_total{outcome="answered"} 1
purser_http_forwarded_total{outcome="no_leader"} 1
purser_http_forwarded_total{outcome="outcome_unknown"} 0
purser_http_forwarded_total{outcome="overloaded"} 0
purser_http_forwarded_total{outcome="retried"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "purser_http_forwarded_total"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(follower.server.forwarder.metrics.durations); n != 1 {
		t.Errorf("%d histograms", n)
	}
}

// TestLeaderAllocatesNothing: asking who leads adds nothing to a payment.
func TestLeaderAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	o := newInstant(t).opts
	o.Cluster, o.Registerer = &peers{self: true}, prometheus.NewRegistry()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, ask := paymentCtx()
	ask(s)
	if ctx.Response.StatusCode() != 201 {
		t.Fatal(string(ctx.Response.Body()))
	}
	if n := testing.AllocsPerRun(1000, func() { ask(s) }); n != 0 {
		t.Errorf("%v allocations per payment, want 0", n)
	}
}

func TestForwardOptions(t *testing.T) {
	b := newBook()
	o := Options{Executor: b, Accounts: b, Payments: b, Registerer: prometheus.NewRegistry(), Cluster: &peers{}, MaxForwarded: -1, ForwardTimeout: -time.Second}
	for _, word := range []string{"MaxForwarded", "timeouts"} {
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("Validate does not mention %s: %v", word, err)
		}
	}
}

// TestEngineErrorsOfTheLeader: what the leader refuses or does not know is told.
func TestEngineErrorsOfTheLeader(t *testing.T) {
	follower, leader, _ := newPair(t)
	for err, want := range map[error]code{
		ledger.ErrNoLeader: codeNoLeader, ledger.ErrOverloaded: codeOverloaded, ledger.ErrDraining: codeDraining,
		ledger.ErrStorageFull: codeStorageFull, ledger.ErrInProgress: codeInProgress, ledger.ErrOutcomeUnknown: codeOutcomeUnknown,
	} {
		leader.book.breakWith(err)
		follower.wantProblem(follower.post("/v1/payments", "k", "{"+aliceToBob+"}"), want, "")
	}
}
