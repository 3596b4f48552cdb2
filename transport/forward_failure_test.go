package transport

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"purser/internal/ledger"
)

// asks are requests of every kind of operation that the leader serves.
var asks = map[string]func(*site) answer{
	"get":     func(s *site) answer { return s.do("GET", "/v1/accounts/alice", "") },
	"list":    func(s *site) answer { return s.do("GET", "/v1/accounts?limit=5", "") },
	"put":     func(s *site) answer { return s.do("PUT", "/v1/accounts/alice", `{"currency":"USD"}`) },
	"patch":   func(s *site) answer { return s.do("PATCH", "/v1/accounts/alice", `{"status":"frozen"}`) },
	"pay":     func(s *site) answer { return s.post("/v1/payments", "k", "{"+aliceToBob+"}") },
	"capture": func(s *site) answer { return s.post("/v1/payments/pay_0000000000001/capture", "k", "") },
	"batch":   func(s *site) answer { return s.do("POST", "/v1/payments/batch", largeBatch("k", 70<<10)) },
}

// TestNobodyLeads: without a leader that can be reached nothing is sent, and the
// answer says that nothing was done.
func TestNobodyLeads(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	s, p, _ := newNode(t)
	for _, addr := range []string{"", ln.Addr().String()} {
		p.set(addr, false)
		for name, ask := range asks {
			t.Run(name, func(t *testing.T) { s.wantProblem(ask(s), codeNoLeader, "") })
		}
	}
}

// TestLeaderLost: the leader gets a request and ends without an answer. What can
// be repeated is, once, as it was.
func TestLeaderLost(t *testing.T) {
	for name, want := range map[string]struct {
		code  code
		tries int
	}{
		"get": {codeNoLeader, 1}, "list": {codeNoLeader, 1}, "patch": {codeOutcomeUnknown, 1},
		"put": {codeOutcomeUnknown, 2}, "pay": {codeOutcomeUnknown, 2}, "capture": {codeOutcomeUnknown, 2}, "batch": {codeOutcomeUnknown, 2},
	} {
		t.Run(name, func(t *testing.T) {
			leader := newScript(t, die)
			s, p, _ := newNode(t)
			p.set(leader.addr, false)
			s.wantProblem(asks[name](s), want.code, "")
			got := leader.requests()
			if len(got) != want.tries || len(slices.Compact(got)) != 1 {
				t.Errorf("%d requests, want %d, all the same: %.100q", len(got), want.tries, got)
			}
			m := s.server.forwarder.metrics
			if lost, refused := testutil.ToFloat64(m.lost), testutil.ToFloat64(m.refused[codeNoLeader]); lost+refused != 1 || (lost == 1) != (want.code == codeOutcomeUnknown) {
				t.Errorf("counted %v lost, %v refused", lost, refused)
			}
		})
	}
}

// TestSecondTry: after a try in doubt, only what the log decided is an answer. A
// refusal of the second try says nothing about the first.
func TestSecondTry(t *testing.T) {
	page := text(200, "text/html", "<html>")
	notLeading := says(503, codeNoLeader)
	for name, tt := range map[string]struct {
		lines []func(net.Conn, *http.Request)
		want  int
	}{
		"created":           {[]func(net.Conn, *http.Request){die, says(201, noCode)}, 201},
		"done before":       {[]func(net.Conn, *http.Request){die, says(200, noCode)}, 200},
		"no money":          {[]func(net.Conn, *http.Request){die, says(402, codeInsufficientFunds)}, 402},
		"no account":        {[]func(net.Conn, *http.Request){die, says(404, codeAccountNotFound)}, 404},
		"in progress":       {[]func(net.Conn, *http.Request){die, says(409, codeInProgress)}, 409},
		"condition":         {[]func(net.Conn, *http.Request){die, says(412, codeConditionFailed)}, 412},
		"reused":            {[]func(net.Conn, *http.Request){die, says(422, codeKeyReused)}, 422},
		"invalid":           {[]func(net.Conn, *http.Request){die, says(400, codeInvalidRequest)}, 504},
		"unauthenticated":   {[]func(net.Conn, *http.Request){die, says(401, codeUnauthenticated)}, 504},
		"limited":           {[]func(net.Conn, *http.Request){die, says(429, codeRateLimited)}, 504},
		"overloaded":        {[]func(net.Conn, *http.Request){die, says(503, codeOverloaded)}, 504},
		"draining":          {[]func(net.Conn, *http.Request){die, says(503, codeDraining)}, 504},
		"unknown":           {[]func(net.Conn, *http.Request){die, says(504, codeOutcomeUnknown)}, 504},
		"not leading yet":   {[]func(net.Conn, *http.Request){die, notLeading, notLeading, says(201, noCode)}, 201},
		"no node":           {[]func(net.Conn, *http.Request){page, says(201, noCode)}, 201},
		"no node, twice":    {[]func(net.Conn, *http.Request){page, page}, 504},
		"no index":          {[]func(net.Conn, *http.Request){bare("HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nX-Request-Id: x\r\nContent-Length: 2\r\n\r\n{}"), die}, 504},
		"cut answer":        {[]func(net.Conn, *http.Request){bare("HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nX-Request-Id: x\r\nPurser-Index: 1\r\nContent-Length: 20\r\n\r\n{}"), says(201, noCode)}, 201},
		"first try refused": {[]func(net.Conn, *http.Request){says(503, codeOverloaded), die}, 503},
		"first try invalid": {[]func(net.Conn, *http.Request){says(400, codeInvalidRequest), die}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			leader := newScript(t, append(tt.lines, says(500, codeInternal))...)
			s, p, _ := newNode(t)
			p.set(leader.addr, false)
			a := asks["pay"](s)
			if a.status != tt.want {
				t.Errorf("%d, want %d: %s", a.status, tt.want, a.body)
			}
			if got := slices.Compact(leader.requests()); len(got) != 1 {
				t.Errorf("the tries differ: %q", got)
			}
			if tt.want == 504 {
				s.wantProblem(a, codeOutcomeUnknown, "")
			} else if id := a.header.Get("X-Request-Id"); id != "theirs" {
				t.Errorf("request id %q is not that of the answer", id)
			}
		})
	}
}

// TestSecondTryOfAPut: that the account exists and is another one says nothing of a
// PUT in doubt, which may have created it before somebody changed it.
func TestSecondTryOfAPut(t *testing.T) {
	exists := says(409, codeAccountExists)
	for name, tt := range map[string]struct {
		lines []func(net.Conn, *http.Request)
		want  int
	}{
		"created":            {[]func(net.Conn, *http.Request){die, says(201, noCode)}, 201},
		"the same":           {[]func(net.Conn, *http.Request){die, says(200, noCode)}, 200},
		"another":            {[]func(net.Conn, *http.Request){die, exists}, 504},
		"another, not twice": {[]func(net.Conn, *http.Request){exists}, 409},
	} {
		t.Run(name, func(t *testing.T) {
			leader := newScript(t, append(tt.lines, says(500, codeInternal))...)
			s, p, _ := newNode(t)
			p.set(leader.addr, false)
			a := asks["put"](s)
			if a.status != tt.want || len(leader.requests()) != len(tt.lines) {
				t.Errorf("%d after %d tries, want %d: %s", a.status, len(leader.requests()), tt.want, a.body)
			}
			if tt.want == 504 {
				s.wantProblem(a, codeOutcomeUnknown, "")
			}
		})
	}
	t.Run("another, on this node", func(t *testing.T) {
		s, p, _ := newNode(t)
		first := newScript(t, func(c net.Conn, _ *http.Request) {
			p.set("", true)
			if a := s.do("PUT", "/v1/accounts/alice", `{"currency":"USD","overdraft_limit":"7"}`); a.status != 201 {
				t.Errorf("%d: %s", a.status, a.body)
			}
			c.Close()
		})
		p.set(first.addr, false)
		s.wantProblem(asks["put"](s), codeOutcomeUnknown, "")
		s.wantProblem(asks["put"](s), codeAccountExists, "id")
	})
}

// bare sends text and ends the connection.
func bare(text string) func(net.Conn, *http.Request) {
	return func(c net.Conn, _ *http.Request) {
		io.WriteString(c, text)
		c.Close()
	}
}

// TestRetryAtTheNextLeader: the second try goes to the node that leads then.
func TestRetryAtTheNextLeader(t *testing.T) {
	s, leader, p := newPair(t)
	next, _ := p.Leader()
	first := newScript(t, func(c net.Conn, _ *http.Request) {
		p.set(next, false)
		c.Close()
	})
	p.set(first.addr, false)
	if a := asks["put"](s); a.status != 201 || len(first.requests()) != 1 || leader.book.counts() != 1 {
		t.Errorf("%d, executed %d times: %s", a.status, leader.book.counts(), a.body)
	}
	if n := testutil.ToFloat64(s.server.forwarder.metrics.retried); n != 1 {
		t.Errorf("%v retries counted", n)
	}
}

// TestRetryOnThisNode: the next leader may be the node itself. What its engine
// refuses is still in doubt.
func TestRetryOnThisNode(t *testing.T) {
	for name, fund := range map[string]bool{"put": false, "pay": true, "batch": true} {
		for _, fail := range []error{nil, ledger.ErrOverloaded, ledger.ErrNoLeader, ledger.ErrOutcomeUnknown} {
			t.Run(fmt.Sprint(name, " ", fail), func(t *testing.T) {
				s, p, _ := newNode(t)
				p.set("", true)
				if fund {
					s.fund("alice", "100")
					s.fund("bob", "0")
				}
				first := newScript(t, func(c net.Conn, _ *http.Request) {
					s.book.breakWith(fail)
					p.set("", true)
					c.Close()
				})
				p.set(first.addr, false)
				before := s.book.counts()
				a := asks[name](s)
				if fail != nil {
					s.wantProblem(a, codeOutcomeUnknown, "")
				} else if a.status/100 != 2 || s.book.counts() != before+1 {
					t.Errorf("%d, executed %d times: %s", a.status, s.book.counts()-before, a.body)
				}
				if held := s.server.bodies.held.Load(); held != 0 {
					t.Errorf("%d bytes of bodies are still held", held)
				}
			})
		}
	}
}

// TestNoNextLeader: the wait for a leader ends, in doubt.
func TestNoNextLeader(t *testing.T) {
	s, p, _ := newNode(t, func(o *Options) { o.ForwardTimeout = 30 * time.Millisecond })
	first := newScript(t, func(c net.Conn, _ *http.Request) {
		p.set("", false)
		c.Close()
	})
	for _, name := range []string{"put", "pay", "batch"} {
		p.set(first.addr, false)
		s.wantProblem(asks[name](s), codeOutcomeUnknown, "")
	}
}

// TestLeaderHangs: a request does not wait for a node that no longer leads, nor
// longer than its time.
func TestLeaderHangs(t *testing.T) {
	s, leader, p := newPair(t)
	s.server.forwarder.conns.look = time.Millisecond
	next, _ := p.Leader()
	first := newScript(t, func(net.Conn, *http.Request) { p.set(next, false) })
	p.set(first.addr, false)
	if a := asks["put"](s); a.status != 201 || leader.book.counts() != 1 {
		t.Errorf("%d, executed %d times: %s", a.status, leader.book.counts(), a.body)
	}
	p.set(first.addr, false)
	s.wantProblem(asks["get"](s), codeNoLeader, "")
	p.set(first.addr, false)
	s.wantProblem(asks["patch"](s), codeOutcomeUnknown, "")

	s, p, _ = newNode(t, func(o *Options) { o.ForwardTimeout = 30 * time.Millisecond })
	p.set(newScript(t, hang).addr, false)
	s.wantProblem(asks["pay"](s), codeOutcomeUnknown, "")
	s.wantProblem(asks["get"](s), codeNoLeader, "")
}

// TestBusy: requests above the bound are told so, and nothing of them is sent.
func TestBusy(t *testing.T) {
	b := newBook()
	e := &slow{b, make(chan struct{}), make(chan struct{})}
	leader, lp, addr := newNode(t, func(o *Options) { o.Executor, o.Accounts, o.Payments = e, b, b })
	lp.set("", true)
	s, p, _ := newNode(t, func(o *Options) { o.MaxForwarded = 1 })
	p.set(addr, false)
	first := make(chan answer)
	go func() { first <- asks["put"](s) }()
	<-e.entered
	s.wantProblem(asks["patch"](s), codeOverloaded, "")
	close(e.release)
	if a := <-first; a.status != 201 {
		t.Errorf("the first: %d %s", a.status, a.body)
	}
	if a := asks["get"](s); a.status != 200 || leader.server.metrics.conns.Load() != 1 {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}

// TestFaultyWay: many clients pay through a follower, and the way to the leader
// is cut at random, before and behind the request. Every payment is executed
// once, and every answer tells the truth.
func TestFaultyWay(t *testing.T) {
	s, leader, p := newPair(t)
	addr, _ := p.Leader()
	leader.fund("alice", "1000000")
	leader.fund("bob", "0")
	before := leader.book.counts()
	p.set(newFaultyWay(t, addr), false)
	const clients, each = 8, 50
	var done sync.WaitGroup
	var mu sync.Mutex
	unknown := 0
	for client := range clients {
		done.Go(func() {
			for i := range each {
				key := fmt.Sprintf("key-%d-%d", client, i)
				for {
					a := s.post("/v1/payments", key, "{"+aliceToBob+"}")
					if a.status == 201 {
						break
					}
					mu.Lock()
					unknown++
					mu.Unlock()
					s.wantProblem(a, codeOutcomeUnknown, "")
				}
			}
		})
	}
	done.Wait()
	if n := leader.book.counts() - before; n != clients*each {
		t.Errorf("%d payments were executed, want %d", n, clients*each)
	}
	m := s.server.forwarder.metrics
	t.Logf("%v at the first try, %v at the second, %d in doubt", testutil.ToFloat64(m.answered), testutil.ToFloat64(m.retried), unknown)
	if testutil.ToFloat64(m.retried) == 0 {
		t.Error("no request was cut")
	}
}

// newFaultyWay passes requests on to addr, and their answers back, but for about
// one of eight, whose answer it drops, or which it does not pass on.
func newFaultyWay(t *testing.T, addr string) string {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	way := newScript(t, func(c net.Conn, req *http.Request) {
		fate := rand.IntN(16)
		if fate == 0 {
			c.Close()
			return
		}
		on, _ := http.NewRequest(req.Method, "http://"+addr+req.RequestURI, strings.NewReader("{"+aliceToBob+"}"))
		on.Header = req.Header
		resp, err := client.Do(on)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if fate == 1 {
			c.Close()
			return
		}
		resp.Write(c)
	})
	return way.addr
}
