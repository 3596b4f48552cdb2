package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// someCertificate is a pair of configurations for TLS; who is who does not matter
// here.
func someCertificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	server = &tls.Config{Certificates: s.TLS.Certificates, SessionTicketsDisabled: true}
	return server, &tls.Config{InsecureSkipVerify: true}
}

// newSecurePair is newPair with TLS between the two.
func newSecurePair(t *testing.T, edit ...func(*Options)) (follower, leader *site) {
	t.Helper()
	server, client := someCertificate(t)
	leader, lp, _ := newNode(t, edit...)
	lp.set("", true)
	addr, served := serveTCP(t, func(ln net.Listener) error { return leader.server.ServeNodes(tls.NewListener(ln, server)) })
	follower, p, _ := newNode(t)
	p.secure = client
	p.set(addr, false)
	t.Cleanup(func() {
		if err := errors.Join(leader.server.Shutdown(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	})
	return follower, leader
}

// TestForwardOverTLS: every kind of request passes, on one connection, and on
// another one once the leader has closed that.
func TestForwardOverTLS(t *testing.T) {
	follower, leader := newSecurePair(t, func(o *Options) { o.IdleTimeout = 200 * time.Millisecond })
	leader.fund("alice", "1000")
	leader.fund("bob", "0")
	leader.client.CloseIdleConnections()
	conns := follower.server.forwarder.conns
	for round := range 3 {
		if a := asks["patch"](follower); a.status != 200 {
			t.Fatalf("round %d: %d %s", round, a.status, a.body)
		}
		if len(conns.idle) != 1 || conns.open != 1 {
			t.Fatalf("round %d: %d idle connections, %d open", round, len(conns.idle), conns.open)
		}
		follower.await("the leader ends the idle connection", func() bool {
			conns.mu.Lock()
			defer conns.mu.Unlock()
			return !still(conns.idle[0].Conn)
		})
	}
	for name, want := range map[string]int{"get": 200, "list": 200, "put": 200, "batch": 200} {
		if a := asks[name](follower); a.status != want {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if n := testutil.ToFloat64(follower.server.forwarder.metrics.answered); n != 7 {
		t.Errorf("%v requests were answered at the first try of 7", n)
	}
}

// TestIdleTLSConnectionIsStill: the checks do not take what TLS itself sends for the
// end of a connection.
func TestIdleTLSConnectionIsStill(t *testing.T) {
	follower, leader := newSecurePair(t)
	for range 10 {
		asks["get"](follower)
	}
	if n := leader.server.metrics.conns.Load(); n != 1 {
		t.Errorf("%d connections for requests one after another", n)
	}
}

// TestCloseBeneathTLS: the end of a connection does not wait for a leader that
// reads nothing any more.
func TestCloseBeneathTLS(t *testing.T) {
	serverConfig, clientConfig := someCertificate(t)
	ours, theirs := net.Pipe() // without a buffer: a farewell would wait to be read
	secure := tls.Client(ours, clientConfig)
	shaken := make(chan error, 1)
	go func() { shaken <- tls.Server(theirs, serverConfig).Handshake() }()
	if err := errors.Join(secure.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	read := make(chan int64, 1)
	closed := make(chan error, 1)
	go func() { closed <- (&leaderConn{Conn: secure}).Close() }()
	go func() {
		n, _ := io.Copy(io.Discard, theirs)
		read <- n
	}()
	if n, err := <-read, <-closed; n != 0 || err != nil {
		t.Errorf("the leader got %d bytes more, %v", n, err)
	}
}
