package transport

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"purser/internal/ledger"
)

// TestConnectionLimits: those above a limit are told so and closed.
func TestConnectionLimits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		total int
		perIP int
		code  code
	}{
		{"total", 2, 100, codeOverloaded},
		{"address", 100, 2, codeRateLimited},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBook()
			srv, err := New(Options{Executor: b, Accounts: b, Payments: b, Registerer: prometheus.NewRegistry(), MaxConns: tt.total, MaxConnsPerIP: tt.perIP})
			if err != nil {
				t.Fatal(err)
			}
			addr, served := serveTCP(t, srv.Serve)
			get := func(c net.Conn) answer {
				io.WriteString(c, "GET /v1/accounts HTTP/1.1\r\nHost: x\r\n\r\n")
				req, _ := http.NewRequest("GET", "http://raw/", nil)
				resp, err := http.ReadResponse(bufio.NewReader(c), req)
				if err != nil {
					t.Fatal(err)
				}
				return readAnswer(t, resp)
			}
			dial := func() net.Conn {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			s := &site{t: t}
			first, second := dial(), dial()
			for _, c := range []net.Conn{first, second} {
				if a := get(c); a.status != 200 {
					t.Fatalf("%d within the limit", a.status)
				}
			}
			third := dial()
			a := get(third)
			s.wantProblem(a, tt.code, "")
			if rest, err := io.ReadAll(third); len(rest) > 0 || err != nil { // returns at all: it was closed
				t.Errorf("the refused connection went on: %q %v", rest, err)
			}
			if got := testutil.ToFloat64(srv.metrics.refusedTotal) + testutil.ToFloat64(srv.metrics.refusedAddress); got != 1 {
				t.Errorf("%v refused connections counted, want 1", got)
			}
			first.Close()
			second.Close()
			if err := srv.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
			if n := srv.metrics.conns.Load(); n != 0 {
				t.Errorf("%d connections are still counted", n)
			}
		})
	}
}

// TestLargeBodyHearsItsRefusal: over TCP, a client that has sent more than is
// read still gets the response instead of a reset.
func TestLargeBodyHearsItsRefusal(t *testing.T) {
	b := newBook()
	srv, err := New(Options{Executor: b, Accounts: b, Payments: b, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	addr, served := serveTCP(t, srv.Serve)
	for range 20 {
		resp, err := http.Post("http://"+addr+"/v1/payments", "application/json", strings.NewReader(strings.Repeat(" ", 200<<10)))
		if err != nil {
			t.Fatal(err)
		}
		(&site{t: t}).wantProblem(readAnswer(t, resp), codeBodyTooLarge, "")
	}
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// slow is an Executor that answers when it is told to.
type slow struct {
	*book
	entered chan struct{}
	release chan struct{}
}

func (s *slow) Submit(c *ledger.Command, _ bool) (ledger.Pending, error) {
	s.entered <- struct{}{}
	return s.book.submit(c, s.release)
}

// TestShutdownAnswersInFlight: a request that is being executed gets its answer,
// with the word that the connection ends.
func TestShutdownAnswersInFlight(t *testing.T) {
	b := newBook()
	e := &slow{b, make(chan struct{}), make(chan struct{})}
	srv, err := New(Options{Executor: e, Accounts: b, Payments: b, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	addr, served := serveTCP(t, srv.Serve)
	answered := make(chan *http.Response, 1)
	go func() {
		req, _ := http.NewRequest("PUT", "http://"+addr+"/v1/accounts/a", strings.NewReader(`{"currency":"USD"}`))
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
		}
		answered <- resp
	}()
	<-e.entered
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(context.Background()) }()
	if err := <-served; err != nil { // the listener is closed, the request still runs
		t.Error(err)
	}
	close(e.release)
	resp := <-answered
	if resp == nil {
		t.FailNow()
	}
	if a := readAnswer(t, resp); a.status != 201 || !resp.Close {
		t.Errorf("%d, close %v: %s", a.status, resp.Close, a.body)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}
