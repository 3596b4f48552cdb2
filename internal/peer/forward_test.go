package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"purser/internal/nodetls"
)

// dialForward opens a connection for forwarded requests, and returns both ends.
func dialForward(t *testing.T, from, to *Port) (dialled, accepted net.Conn) {
	t.Helper()
	taken := make(chan net.Conn, 1)
	go func() {
		c, err := to.Forwarded().Accept()
		if err != nil {
			t.Error(err)
		}
		taken <- c
	}()
	dialled, err := from.DialForward(to.Addr().String(), "n1", hung)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dialled.Close() })
	return dialled, <-taken
}

// wantForward requires that the connection carries bytes both ways.
func wantForward(t *testing.T, dialled, accepted net.Conn) {
	t.Helper()
	for _, way := range [][2]net.Conn{{dialled, accepted}, {accepted, dialled}} {
		if _, err := io.WriteString(way[0], "payment"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len("payment"))
		if _, err := io.ReadFull(way[1], got); err != nil || string(got) != "payment" {
			t.Fatalf("got %q, %v", got, err)
		}
	}
}

func TestForwardedRequestsPass(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		server, client := s.port(t, "n1", nil), s.port(t, "n2", nil)
		dialled, accepted := dialForward(t, client, server)
		wantForward(t, dialled, accepted)
		if _, secure := dialled.(*tls.Conn); secure != (s.authority != nil) {
			t.Errorf("the connection is a %T", dialled)
		}
		if _, ok := accepted.RemoteAddr().(*net.TCPAddr); !ok {
			t.Errorf("the remote address %v counts for no address", accepted.RemoteAddr())
		}
		// The end of what one side sends is not the end of what it reads.
		if err := accepted.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, dialled)
		if _, err := io.WriteString(dialled, "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(accepted, make([]byte, 1)); err != nil {
			t.Errorf("behind its own end: %v", err)
		}
		if err := accepted.Close(); err != nil {
			t.Error(err)
		}
		if n := server.forwarded.conns.size(); n != 0 {
			t.Errorf("%d connections are still counted", n)
		}
	})
}

// TestForwardIsRefusedBeforeARequest: a dial that returns a connection has one
// that the other side took; every refusal is an error of the dial, before anything
// could be sent.
func TestForwardIsRefusedBeforeARequest(t *testing.T) {
	s := newSite(t, true)
	server := s.port(t, "n1", func(c *Config) { c.Member = func(id string) bool { return id == "n2" } })
	addr := server.Addr().String()
	member, stranger := s.port(t, "n2", nil), s.port(t, "n3", nil)

	if _, err := member.DialForward(addr, "n3", hung); !errors.Is(err, nodetls.ErrWrongNode) {
		t.Errorf("another node's certificate: %v, want ErrWrongNode", err)
	}
	if _, err := stranger.DialForward(addr, "n1", hung); err == nil {
		t.Error("a node that is no member is taken")
	}
	wantRefused(t, server, reasonMember, 1)
	if _, err := newSite(t, true).port(t, "n2", nil).DialForward(addr, "n1", hung); err == nil {
		t.Error("a certificate of another authority is taken")
	}
	if _, err := newSite(t, false).port(t, "n2", nil).DialForward(addr, "n1", hung); err == nil {
		t.Error("a connection without TLS is taken")
	}
	bare := tls.Client(dialTCP(t, server), &tls.Config{InsecureSkipVerify: true})
	_, _ = io.WriteString(bare, kindForward) // what fails is the other side's check
	wantClosed(t, bare)
	refused := server.metrics.refused.WithLabelValues(reasonHandshake)
	for deadline := time.Now().Add(hung); testutil.ToFloat64(refused) < 4 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // a side that fails a handshake does not wait for the other
	}
	wantRefused(t, server, reasonHandshake, 4)

	if err := server.Forwarded().Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := member.DialForward(addr, "n1", hung); err == nil {
		t.Error("there is a connection, and nobody to serve it")
	}
	wantRefused(t, server, reasonForwardClosed, 1)
}

// TestForwardAwaitsTheAPI: as long as nobody takes the connection the dial does
// not return; its time bounds it, and so does the end of its port.
func TestForwardAwaitsTheAPI(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		client := s.port(t, "n2", nil)
		if _, err := client.DialForward(s.port(t, "n1", nil).Addr().String(), "n1", 50*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the deadline's error", err)
		}
		server := s.port(t, "n1", nil)
		ended := make(chan error, 1)
		go func() {
			_, err := client.DialForward(server.Addr().String(), "n1", hung)
			ended <- err
		}()
		for server.forwarded.conns.size() == 0 {
			time.Sleep(time.Millisecond)
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v, want net.ErrClosed", err)
		}
	})
}

func TestForwardToNoNode(t *testing.T) {
	l := blackHole(t)
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n")
			defer c.Close()
			_, _ = io.Copy(io.Discard, c) // until the other side gives up
		}
	}()
	client := newSite(t, false).port(t, "n2", nil)
	if _, err := client.DialForward(l.Addr().String(), "n1", hung); !errors.Is(err, errNotWelcome) {
		t.Errorf("%v, want errNotWelcome", err)
	}
}

// TestForwardedListenerClosesAlone: what it returned before is served to the end,
// and the port's other connections go on.
func TestForwardedListenerClosesAlone(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		server, client := s.port(t, "n1", nil), s.port(t, "n2", nil)
		server.Handle(answerer)
		dialled, accepted := dialForward(t, client, server)
		for range 2 {
			if err := server.Forwarded().Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := server.Forwarded().Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v, want net.ErrClosed", err)
		}
		wantForward(t, dialled, accepted)
		if err := client.Call(t.Context(), server.Addr().String(), "n1", "echo", 1, nil); err != nil {
			t.Errorf("control call: %v", err)
		}
		if err := accepted.Close(); err != nil {
			t.Error(err)
		}
		if n := testutil.ToFloat64(server.metrics.refused.WithLabelValues(reasonForwardClosed)); n != 0 {
			t.Errorf("%v refused", n)
		}
	})
}
