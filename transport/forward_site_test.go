package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// peers is a Cluster that says what it is told to. The id of a node is the address
// where it serves other nodes.
type peers struct {
	mu     sync.Mutex
	addr   string
	self   bool
	secure *tls.Config // of connections to the leader; nil for none
	await  func(ctx context.Context, index uint64) error
}

func (p *peers) Leader() (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr, p.self
}

func (p *peers) Dial(addr string, timeout time.Duration) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: timeout}
	if p.secure != nil {
		return tls.DialWithDialer(dialer, "tcp", addr, p.secure)
	}
	return dialer.Dial("tcp", addr)
}

func (p *peers) AwaitApplied(ctx context.Context, index uint64) error { return p.await(ctx, index) }

// set makes addr the leader, or this node if self is set.
func (p *peers) set(addr string, self bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addr, p.self = addr, self
}

// newNode returns a Server over a book, listening on TCP for clients and for other
// nodes, with its Cluster and the address for other nodes.
func newNode(t *testing.T, edit ...func(*Options)) (*site, *peers, string) {
	t.Helper()
	b, p := newBook(), &peers{}
	o := Options{
		Executor: b, Accounts: b, Payments: b, Cluster: p,
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range edit {
		f(&o)
	}
	srv, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	addr, served := serveTCP(t, srv.Serve)
	nodes, servedNodes := serveTCP(t, srv.ServeNodes)
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("tcp", addr) }}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := errors.Join(<-served, <-servedNodes); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &site{t: t, book: b, server: srv, client: &http.Client{Transport: tr}}, p, nodes
}

// newPair returns a follower and the leader that it knows. Nothing may be executed
// on the follower.
func newPair(t *testing.T, edit ...func(*Options)) (follower, leader *site, p *peers) {
	t.Helper()
	leader, lp, addr := newNode(t)
	lp.set("", true)
	follower, p, _ = newNode(t, edit...)
	p.set(addr, false)
	t.Cleanup(func() {
		if n := follower.book.counts(); n != 0 {
			t.Errorf("%d commands were executed on the follower", n)
		}
	})
	return follower, leader, p
}

// wire is a connection on which requests and responses are bytes.
type wire struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	read bytes.Buffer // what in has got
}

func newWire(t *testing.T, addr string) *wire {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	w := &wire{t: t, conn: c}
	w.in = bufio.NewReader(io.TeeReader(c, &w.read))
	return w
}

// ask sends text and returns the bytes of the response, without the date.
func (w *wire) ask(text string) string {
	w.t.Helper()
	w.answer(text)
	var out strings.Builder
	for line := range strings.Lines(w.read.String()) {
		if !strings.HasPrefix(line, "Date: ") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// answer sends text and reads the response.
func (w *wire) answer(text string) answer {
	w.t.Helper()
	if _, err := io.WriteString(w.conn, text); err != nil {
		w.t.Fatal(err)
	}
	w.read.Reset()
	method, _, _ := strings.Cut(text, " ")
	req, _ := http.NewRequest(method, "http://raw/", nil)
	resp, err := http.ReadResponse(w.in, req)
	if err != nil {
		w.t.Fatalf("%.80q: %v", text, err)
	}
	return readAnswer(w.t, resp)
}

// script is a leader that does with each request what its next line says; the last
// one holds for all that follow.
type script struct {
	addr string

	mu    sync.Mutex
	lines []func(c net.Conn, req *http.Request)
	got   []string // the requests: method, target, key, body
}

func newScript(t *testing.T, lines ...func(net.Conn, *http.Request)) *script {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{addr: ln.Addr().String(), lines: lines}
	var conns sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { s.play(c) })
			context.AfterFunc(ctx, func() { c.Close() })
		}
	})
	t.Cleanup(func() {
		cancel()
		ln.Close()
		conns.Wait()
	})
	return s
}

func (s *script) play(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.got = append(s.got, req.Method+" "+req.RequestURI+" "+req.Header.Get("Idempotency-Key")+" "+string(body))
		line := s.lines[0]
		if len(s.lines) > 1 {
			s.lines = s.lines[1:]
		}
		s.mu.Unlock()
		line(c, req)
	}
}

// requests returns what has come in.
func (s *script) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.got...)
}

// die ends the connection without an answer.
func die(c net.Conn, _ *http.Request) { c.Close() }

// hang never answers.
func hang(net.Conn, *http.Request) {}

// says answers like a node, with a status and a problem of code c if there is one.
func says(status int, c code) func(net.Conn, *http.Request) {
	contentType, body := "application/json", `{"said":"`+http.StatusText(status)+`"}`
	if c != noCode {
		contentType, body = "application/problem+json", string(appendFault(nil, fault{code: c, detail: "x"}, []byte("theirs")))
	}
	return text(status, contentType, body)
}

// text answers with the headers of a node.
func text(status int, contentType, body string) func(net.Conn, *http.Request) {
	return func(c net.Conn, req *http.Request) {
		h := http.Header{}
		h.Set("Content-Type", contentType)
		h.Set("X-Request-Id", "theirs")
		h.Set("Purser-Index", "77")
		(&http.Response{
			StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Request: req, Header: h,
			ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
		}).Write(c)
	}
}
