package peer

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestCloseEndsEverything: connections in every phase, calls in both directions.
// TestMain sees that no goroutine is left.
func TestCloseEndsEverything(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		server := s.port(t, "n1", func(c *Config) { c.ArrivalTimeout = time.Hour }) // so that only Close ends it
		client := s.port(t, "n2", nil)
		server.OpenRaft()
		entered, handlerEnded := make(chan struct{}), make(chan error, 1)
		server.Handle(func(ctx context.Context, _ Caller, _ string, _ json.RawMessage) (any, error) {
			close(entered)
			<-ctx.Done()
			handlerEnded <- ctx.Err()
			return nil, ctx.Err()
		})
		silent, half := dialTCP(t, server), s.dial(t, server, "n2", kindControl+"\x01")
		taken := dialRaft(t, client, server)
		if _, err := server.Raft().Accept(); err != nil {
			t.Fatal(err)
		}
		untaken := dialRaft(t, client, server)
		forward, forwarded := dialForward(t, client, server)
		defer forwarded.Close()
		inbound, outbound := make(chan error, 1), make(chan error, 1)
		go func() { inbound <- client.Call(t.Context(), server.Addr().String(), "n1", "wait", nil, nil) }()
		<-entered
		black := blackHole(t)
		go func() { outbound <- server.Call(t.Context(), black.Addr().String(), "n2", "wait", nil, nil) }()

		if err := server.Close(); err != nil {
			t.Error(err)
		}
		select {
		case err := <-handlerEnded:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("handler ended by %v", err)
			}
		default:
			t.Error("Close did not await a handler")
		}
		for _, c := range []net.Conn{silent, half, taken, untaken, forward} {
			wantClosed(t, c)
		}
		if err := <-inbound; err == nil {
			t.Error("the call of a closed port was answered")
		}
		if err := <-outbound; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a call of the closed port: %v, want net.ErrClosed", err)
		}
		if err := server.Close(); err != nil {
			t.Errorf("second close: %v", err)
		}
	})
}

// blackHole accepts connections, in the kernel, and never answers.
func blackHole(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestClosedPortDoesNothing(t *testing.T) {
	s := newSite(t, false)
	server, client := s.port(t, "n1", nil), s.port(t, "n2", nil)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if err := client.Call(t.Context(), server.Addr().String(), "n1", "echo", 1, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("call: %v, want net.ErrClosed", err)
	}
	if _, err := client.Raft().Dial(raft.ServerAddress(server.Addr().String()), hung); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial: %v, want net.ErrClosed", err)
	}
	if _, err := client.DialForward(server.Addr().String(), "n1", hung); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial to forward: %v, want net.ErrClosed", err)
	}
	for _, l := range []interface{ Accept() (net.Conn, error) }{client.Raft(), client.Forwarded()} {
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v, want net.ErrClosed", err)
		}
	}
	if _, err := net.Dial("tcp", client.Addr().String()); err == nil {
		t.Error("still listening")
	}
}
