package transport

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/valyala/fasthttp"
)

const batchHead = "POST /v1/payments/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

// largeBatch is a batch of one payment in a body of size bytes.
func largeBatch(key string, size int) string {
	body := `{"payments":[{"idempotency_key":"` + key + `","source":"alice","amount":"1","currency":"USD"}]}`
	return body + strings.Repeat(" ", size-len(body))
}

// await returns when holds does, which is bound to happen.
func (s *site) await(what string, holds func() bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); runtime.Gosched() {
		if time.Now().After(end) {
			s.t.Fatalf("never happened: %s", what)
		}
	}
}

// awaitHeld returns when the large bodies held come to n bytes.
func (s *site) awaitHeld(n int64) {
	s.t.Helper()
	s.await(fmt.Sprint(n, " bytes are held"), func() bool { return s.server.bodies.held.Load() == n })
}

// dial opens a connection and sends text on it.
func (s *site) dial(text string) (net.Conn, *bufio.Reader) {
	s.t.Helper()
	c, err := s.connect()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	s.send(c, text)
	return c, bufio.NewReader(c)
}

func (s *site) send(c net.Conn, text string) {
	s.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		s.t.Fatal(err)
	}
}

// receive reads the response to a POST.
func (s *site) receive(in *bufio.Reader) *http.Response {
	s.t.Helper()
	req, _ := http.NewRequest("POST", "http://raw/", nil)
	resp, err := http.ReadResponse(in, req)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp
}

// TestBodyBudget: large bodies are taken while there is room for them, and not
// read when there is none. What is small needs no room.
func TestBodyBudget(t *testing.T) {
	const room = 3
	s := newSite(t, func(o *Options) { o.MaxBodyBytes = room * maxBatchBody })
	s.fund("alice", "100")
	before := s.book.counts()
	length := fmt.Sprintf("Content-Length: %d\r\n\r\n", maxBatchBody)
	var conns [room]net.Conn
	var ins [room]*bufio.Reader
	for i := range room {
		framing := length + "{"
		if i == 0 { // of unknown length, and with enough to be a large one
			framing = fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", maxBody+1, largeBatch("k0", maxBody+1))
		}
		conns[i], ins[i] = s.dial(batchHead + framing)
	}
	s.awaitHeld(room * maxBatchBody)

	for name, text := range map[string]string{
		"declared": batchHead + length + "{",
		"chunked":  batchHead + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", maxBody+1, largeBatch("no", maxBody+1)),
		"expected": batchHead + "Expect: 100-continue\r\n" + length,
	} {
		a, c := s.raw(text)
		s.wantProblem(a, codeOverloaded, "")
		if rest, _ := io.ReadAll(c); len(rest) > 0 { // it returns at all: the connection was closed
			t.Errorf("%s: the connection went on: %q", name, rest)
		}
	}
	if got := testutil.ToFloat64(s.server.metrics.refusedBodies); got != 3 {
		t.Errorf("%v refused bodies counted, want 3", got)
	}
	if got := s.book.counts(); got != before {
		t.Errorf("%d commands were executed", got-before)
	}
	if _, results := s.batch(largeBatch("small", maxBody)); results[0].Status != 201 {
		t.Errorf("a small batch beside large ones: %+v", results)
	}

	s.send(conns[0], "0\r\n\r\n")
	for i := 1; i < room; i++ {
		s.send(conns[i], largeBatch(fmt.Sprint("k", i), maxBatchBody)[1:])
	}
	for i := range room {
		if a := readAnswer(t, s.receive(ins[i])); a.status != 200 || !strings.Contains(a.body, `"status":201`) {
			t.Errorf("body %d: %d %s", i, a.status, a.body)
		}
	}
	s.awaitHeld(0)
	if _, results := s.batch(largeBatch("later", maxBatchBody)); results[0].Status != 201 {
		t.Errorf("when there is room again: %+v", results)
	}
}

// TestBodyBudgetIsGivenBack: however the request ends.
func TestBodyBudgetIsGivenBack(t *testing.T) {
	s := newSite(t, func(o *Options) { o.MaxBodyBytes = maxBatchBody })
	half := largeBatch("half", maxBody*2)
	for _, tt := range []struct {
		name, text string
		held       int64 // while the server waits for more, 0 when it does not
	}{
		{"hung up", fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(half)+1, half), int64(len(half) + 1)},
		{"hung up in a chunk", fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s", len(half)+1, half), maxBatchBody},
		{"bad chunk", fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\nnonsense\r\n", len(half), half), 0},
		{"no JSON", fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(half), strings.Repeat("x", len(half))), 0},
		{"one item too many", fmt.Sprintf("Content-Length: %d\r\n\r\n{\"payments\":[%s7]}", 2*maxBody, strings.Repeat("7,", maxBody-8)), 0},
	} {
		c, in := s.dial(batchHead + tt.text)
		if tt.held > 0 {
			s.awaitHeld(tt.held)
			c.Close()
		} else if a := readAnswer(t, s.receive(in)); a.status != 400 {
			t.Errorf("%s: %d %s", tt.name, a.status, a.body)
		}
		s.awaitHeld(0)
		if a := s.do("POST", "/v1/payments/batch", largeBatch("k", maxBatchBody)); a.status != 200 {
			t.Errorf("after %s: %d %s", tt.name, a.status, a.body)
		}
	}
	if s.server.bodies.take(maxBatchBody + 1); s.server.bodies.held.Load() != 0 {
		t.Error("a refused body was counted")
	}
}

// TestTruncatedBody: what the client did not finish is not executed, even if it
// would pass for a whole body.
func TestTruncatedBody(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100")
	before := s.book.counts()
	for _, size := range []int{1_000, maxBody, maxBatchBody} {
		c, _ := s.dial(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", batchHead, size, largeBatch("k", size-1)))
		served := &s.server.metrics.inFlight
		s.await("the request is served", func() bool { return served.Load() == 1 })
		c.Close()
		s.await("it has ended", func() bool { return served.Load() == 0 })
	}
	if got := s.book.counts(); got != before {
		t.Errorf("%d commands were executed", got-before)
	}
}

// TestExpectContinue: a client that asks before it sends the body is refused at
// once where the head is enough to refuse it, and is told to go on otherwise.
func TestExpectContinue(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100")
	for target, size := range map[string]int{"PUT /v1/accounts/a": maxBody + 1, "POST /v1/payments/batch": maxBatchBody + 1, "POST /nowhere": maxBody + 1} {
		a, c := s.raw(fmt.Sprintf("%s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nX-Request-Id: mine\r\nContent-Length: %d\r\n\r\n", target, size))
		s.wantProblem(a, codeBodyTooLarge, "")
		if rest, _ := io.ReadAll(c); len(rest) > 0 || a.str("request_id") != "mine" {
			t.Errorf("%s: the connection went on: %q", target, rest)
		}
	}
	for i, size := range []int{200, maxBody + 1, maxBatchBody} {
		c, in := s.dial(fmt.Sprintf("%sExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", batchHead, size))
		if resp := s.receive(in); resp.StatusCode != 100 {
			t.Fatalf("%d bytes: %d", size, resp.StatusCode)
		}
		s.send(c, largeBatch(fmt.Sprint("k", i), size))
		if a := readAnswer(t, s.receive(in)); a.status != 200 || !strings.Contains(a.body, `"status":201`) {
			t.Errorf("%d bytes: %d %s", size, a.status, a.body)
		}
	}
}

// TestKeepAliveAfterRefusal: a small body is read even where it is not looked at,
// so that the connection can go on behind it.
func TestKeepAliveAfterRefusal(t *testing.T) {
	s := newSite(t)
	body := strings.Repeat(" ", maxBody)
	c, in := s.dial("")
	for _, target := range []string{"POST /nowhere", "DELETE /v1/accounts/a", "GET /v1/accounts", "POST /v1/payments", "POST /v1/payments/batch"} {
		for _, framing := range []string{
			fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body),
			fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body),
		} {
			s.send(c, target+" HTTP/1.1\r\nHost: x\r\n"+framing)
			if resp := s.receive(in); resp.Close {
				t.Fatalf("%s closes the connection", target)
			} else {
				readAnswer(t, resp)
			}
		}
	}
}

// TestLargeBuffersAreDropped: after a large batch nothing that is pooled for all
// requests, and no idle connection, holds on to its memory. For replies, see
// TestReplyIsSentOnce.
func TestLargeBuffersAreDropped(t *testing.T) {
	s := newInstant(t)
	ctx := &fasthttp.RequestCtx{}
	ctx.Init(&fasthttp.Request{}, nil, nil)
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.Header.SetContentType("application/json")
	ctx.Request.SetRequestURI("/v1/payments/batch")
	body := `{"payments":[` + strings.Repeat(`{"\u0078`+strings.Repeat("x", 600)+`":1},`, 999) + `7]}`
	ctx.Request.SetBodyStream(strings.NewReader(body), len(body))
	c := new(call)
	c.begin(ctx, nil, s.ids)
	if err := c.receive(maxBody); err != nil || !c.rest {
		t.Fatal(err, c.rest)
	}
	if s.dispatch(c); c.status != 200 || cap(c.reply.body) <= maxKept {
		t.Fatalf("%d: %.200s", c.status, c.reply.body)
	}
	if c.held != len(body) || s.bodies.held.Load() != int64(len(body)) {
		t.Errorf("held %d of %d", c.held, len(body))
	}
	s.end(c)
	if c.in != nil || c.dec.src != nil || c.dec.pairs != nil || cap(c.dec.scratch) > maxKept || s.bodies.held.Load() != 0 {
		t.Errorf("kept: body %d, decoder %d and %d, budget %d", cap(c.in), cap(c.dec.src), cap(c.dec.scratch), s.bodies.held.Load())
	}
	if b := s.batches.Get().(*batch); cap(b.body) > maxKept {
		t.Errorf("a batch of %d bytes is kept", cap(b.body))
	}
	ctx.Response.ResetBody()
	if kept := ctx.Response.SwapBody(nil); cap(kept) > maxKept {
		t.Errorf("a response of %d bytes is kept", cap(kept))
	}
}

// TestBatchLetsGo: a pooled batch refers to no body, not even by the items that
// were refused.
func TestBatchLetsGo(t *testing.T) {
	var d decoder
	var b batch
	d.reset([]byte(`{"payments":[{"idempotency_key":"k","source":"alice","amount":"1","currency":"USD"},{"source":"bob","x":1}]}`))
	if decodeBatch(&d, &b, 10); len(b.commands) != 1 || len(b.faults) != 2 {
		t.Fatalf("%d commands, %d faults", len(b.commands), len(b.faults))
	}
	b.reset()
	for _, cmd := range b.commands[:cap(b.commands)] {
		if cmd.Source != nil || cmd.Key != nil {
			t.Errorf("a command of %q is kept", cmd.Source)
		}
	}
	for _, f := range b.faults[:cap(b.faults)] {
		if f.param != nil {
			t.Errorf("a fault about %q is kept", f.param)
		}
	}
}

// TestBatchesAreTurnedAwayWhileCrowded: unread or undecoded, and on the same
// connection where the next request can be found on it.
func TestBatchesAreTurnedAwayWhileCrowded(t *testing.T) {
	var crowded atomic.Bool
	s := newSite(t, func(o *Options) { o.Crowded = crowded.Load })
	s.fund("alice", "100")
	before := s.book.counts()
	crowded.Store(true)
	large := largeBatch("large", maxBody*3)
	sized := func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body) }
	batches := map[string]struct {
		text string
		goes bool // the connection goes on
	}{
		"small":     {sized(largeBatch("small", 1000)), true},
		"large":     {sized(large), true},
		"malformed": {sized("{"), true},
		"chunked":   {fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(large), large), false},
		"expected":  {"Expect: 100-continue\r\n" + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(large)), false},
	}
	for name, tt := range batches {
		conn, in := s.dial(batchHead + tt.text)
		a := readAnswer(t, s.receive(in))
		if a.status != 503 || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, `"overloaded"`) {
			t.Errorf("%s: %d %v %s", name, a.status, a.header, a.body)
		}
		if !tt.goes {
			if rest, _ := io.ReadAll(in); len(rest) > 0 {
				t.Errorf("%s: the connection went on: %q", name, rest)
			}
			continue
		}
		s.send(conn, "GET /v1/accounts/alice HTTP/1.1\r\nHost: raw\r\n\r\n")
		if a := readAnswer(t, s.receive(in)); a.status != 200 {
			t.Errorf("%s: behind it: %d %s", name, a.status, a.body)
		}
	}
	if got := testutil.ToFloat64(s.server.metrics.turnedAway); got != float64(len(batches)) {
		t.Errorf("%v batches counted, want %d", got, len(batches))
	}
	if got := s.book.counts(); got != before {
		t.Errorf("%d commands were executed", got-before)
	}
	a, _ := s.raw(batchHead + fmt.Sprintf("Content-Length: %d\r\n\r\n{", maxBatchBody+1))
	s.wantProblem(a, codeBodyTooLarge, "") // for good
	crowded.Store(false)
	if _, results := s.batch(large); results[0].Status != 201 {
		t.Errorf("when there is room again: %+v", results)
	}
}

// TestAFollowerTurnsNoBatchAway: the leader has its own room.
func TestAFollowerTurnsNoBatchAway(t *testing.T) {
	s := newSite(t, func(o *Options) {
		o.Crowded = func() bool { return true }
		o.Cluster = &peers{}
	})
	a, _ := s.raw(batchHead + "Content-Length: 2\r\n\r\n{}")
	s.wantProblem(a, codeNoLeader, "")
	if got := testutil.ToFloat64(s.server.metrics.turnedAway); got != 0 {
		t.Errorf("%v batches turned away", got)
	}
}
