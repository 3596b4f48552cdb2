package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scripted is a listener whose Accept returns errs, one after the other.
type scripted struct {
	net.Listener
	errs []error
}

func (s *scripted) Accept() (net.Conn, error) {
	err := s.errs[0]
	s.errs = s.errs[1:]
	return nil, err
}

// TestAcceptOutlivesPassingFaults: running out of descriptors must not end the
// server; anything else does.
func TestAcceptOutlivesPassingFaults(t *testing.T) {
	m, err := newMetrics(prometheus.NewRegistry(), new(atomic.Int64))
	if err != nil {
		t.Fatal(err)
	}
	end := errors.New("the end")
	wrapped := &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	s := &scripted{errs: []error{wrapped, syscall.ECONNABORTED, end}}
	if _, err := (&limitedListener{Listener: s, limits: newLimits(Options{MaxConns: 1, MaxConnsPerIP: 1}, m)}).Accept(); err != end || len(s.errs) != 0 {
		t.Errorf("%v with %d errors left", err, len(s.errs))
	}
}

// memoryConn is a connection that sends one text and takes whatever comes.
type memoryConn struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *memoryConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *memoryConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *memoryConn) Close() error                     { return nil }
func (c *memoryConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *memoryConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }

// TestTurnedAwayAreBounded: refusing costs a connection only so many times.
func TestTurnedAwayAreBounded(t *testing.T) {
	m, err := newMetrics(prometheus.NewRegistry(), new(atomic.Int64))
	if err != nil {
		t.Fatal(err)
	}
	l := newLimits(Options{MaxConns: 1, MaxConnsPerIP: 1}, m)
	open := []*conn{}
	enter := func() bool {
		c := &conn{Conn: &memoryConn{in: bytes.NewReader(nil)}, limits: l}
		ok := l.enter(c)
		if ok {
			open = append(open, c)
		}
		return ok
	}
	for i := range 1 + maxTurnedAway {
		if !enter() {
			t.Fatalf("connection %d is not answered", i)
		}
	}
	if enter() {
		t.Error("a connection above every limit is answered")
	}
	for _, c := range open {
		c.Close()
		c.Close() // counts once
	}
	if l.total != 0 || l.turnedAway != 0 || len(l.perIP) != 0 {
		t.Errorf("left over: %d, %d, %v", l.total, l.turnedAway, l.perIP)
	}
	if !enter() || open[len(open)-1].refusal != noCode {
		t.Error("there is room again, but not for a new one")
	}
}

// FuzzServe sends arbitrary bytes to the whole server: it answers or closes, and
// never panics. Every answer has the headers that all have.
func FuzzServe(f *testing.F) {
	for _, head := range []string{
		"GET /v1/accounts?prefix=a&limit=5 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://h/v1/accounts/%61/entries?order=asc&cursor=AAAA HTTP/1.1\r\nHost: x\r\nX-Request-Id: \"\r\n\r\n",
		"PATCH /v1/accounts/alice HTTP/1.1\r\nHost: x\r\nIf-Match: \"1\"\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"POST /v1/payments/x/capture HTTP/1.1\r\nHost: x\r\nIdempotency-Key: \"a\\\"\"\r\n\r\n",
		"POST /v1/payments HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\n{\r\n0\r\n\r\n",
		fmt.Sprintf("POST /v1/payments/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{\"payments\":[%s]}", len(paymentBody)+15, paymentBody),
	} {
		f.Add([]byte(head))
	}
	b := newBook()
	srv, err := New(Options{Executor: b, Accounts: b, Payments: b, Registerer: prometheus.NewRegistry()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { srv.Shutdown(context.Background()) })
	f.Fuzz(func(t *testing.T, in []byte) {
		c := &memoryConn{in: bytes.NewReader(in)}
		srv.http.ServeConn(c) // its error is what is wrong with the input
		out := c.out.Bytes()
		answers := bytes.Count(out, []byte("\r\nContent-Type: application/"))
		if ids := bytes.Count(out, []byte("\r\nPurser-Index: ")); ids != answers {
			t.Fatalf("%q: %d answers, %d with Purser-Index:\n%s", in, answers, ids, out)
		}
	})
}
