package peer

import (
	"io"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestGarbageIsClosedAndCounted(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		server, client := s.port(t, "n1", nil), s.port(t, "n2", nil)
		server.Handle(answerer)
		want := map[string]int{}
		for _, c := range []struct{ text, reason string }{
			{"GET / HTTP/1.1\r\n\r\n", reasonKind},
			{"purser/x", reasonKind},
			{strings.Repeat("\x00", 100), reasonKind},
			{kindControl + "\x00\x00\x00\x00\x02{}", reasonCall},
			{kindControl + "\x01\xff\xff\xff\xff", reasonCall},
			{kindControl + "\x01\x00\x00\x00\x03nul", reasonCall},
		} {
			wantClosed(t, s.dial(t, server, "n2", c.text))
			want[c.reason]++
			wantRefused(t, server, c.reason, want[c.reason])
		}
		// Half a frame, and half a kind, then the end.
		for text, reason := range map[string]string{kindControl + "\x01\x00\x00\x00\x09{": reasonCall, "purs": reasonHandshake} {
			c := s.dial(t, server, "n2", text)
			if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			wantClosed(t, c)
			want[reason]++
			wantRefused(t, server, reason, want[reason])
		}
		if err := client.Call(t.Context(), server.Addr().String(), "n1", "echo", 1, nil); err != nil {
			t.Errorf("after garbage: %v", err)
		}
	})
}

func TestPlainTextToTLSPort(t *testing.T) {
	server := newSite(t, true).port(t, "n1", nil)
	for i, text := range []string{kindRaft, kindControl, kindForward, "GET / HTTP/1.1\r\n\r\n"} {
		c := dialTCP(t, server)
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(hung)); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(c) // an alert of TLS, if anything
		if len(answer) > 7 {
			t.Errorf("%q was answered %q", text, answer)
		}
		wantRefused(t, server, reasonHandshake, i+1)
	}
}

// TestSilentConnectionsBlockNobody: those who open connections and say nothing,
// or stop in the middle, delay no other.
func TestSilentConnectionsBlockNobody(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		server, client := s.port(t, "n1", func(c *Config) { c.ArrivalTimeout = hung }), s.port(t, "n2", nil)
		server.Handle(answerer)
		server.OpenRaft()
		for range 50 {
			dialTCP(t, server)
		}
		s.dial(t, server, "n2", kindControl+"\x01")
		s.dial(t, server, "n2", "purs")
		if err := client.Call(t.Context(), server.Addr().String(), "n1", "echo", 1, nil); err != nil {
			t.Error(err)
		}
		dialRaft(t, client, server)
		if _, err := server.Raft().Accept(); err != nil {
			t.Error(err)
		}
	})
}

func TestSilentConnectionsEnd(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		server := s.port(t, "n1", func(c *Config) { c.ArrivalTimeout = 50 * time.Millisecond })
		silent, half := dialTCP(t, server), dialTCP(t, server)
		if _, err := io.WriteString(half, "\x16\x03\x01"); err != nil { // how a TLS handshake begins
			t.Fatal(err)
		}
		wantClosed(t, silent)
		wantClosed(t, half)
		wantRefused(t, server, reasonHandshake, 2)
	})
}

func TestArrivalsAreBounded(t *testing.T) {
	server := newSite(t, false).port(t, "n1", func(c *Config) { c.ArrivalTimeout = hung })
	for range maxArriving {
		dialTCP(t, server)
	}
	wantClosed(t, dialTCP(t, server))
	wantRefused(t, server, reasonTooMany, 1)
}

// shaky is a listener whose first Accepts fail.
type shaky struct {
	net.Listener
	failures atomic.Int32
}

func (l *shaky) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, syscall.EMFILE
	}
	return l.Listener.Accept()
}

func listenShaky(t *testing.T, failures int32) *shaky {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &shaky{Listener: listener}
	l.failures.Store(failures)
	return l
}

// TestAcceptGoesOnAfterAFailure: a node short of descriptors is not deaf for ever.
func TestAcceptGoesOnAfterAFailure(t *testing.T) {
	server := start(Config{}, listenShaky(t, 2))
	defer server.Close()
	server.Handle(answerer)
	client := newSite(t, false).port(t, "n2", nil)
	if err := client.Call(t.Context(), server.Addr().String(), "", "echo", 1, nil); err != nil {
		t.Error(err)
	}
}

// TestCloseWhileAcceptFails: a listener that keeps failing does not hold up Close.
func TestCloseWhileAcceptFails(t *testing.T) {
	if err := start(Config{}, listenShaky(t, math.MaxInt32)).Close(); err != nil {
		t.Error(err)
	}
}

func TestMetrics(t *testing.T) {
	s := newSite(t, true)
	server := s.port(t, "n1", nil)
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(server); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	node, authority := server.cfg.TLS.Expiry()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			got[family.GetName()+"/"+m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	const expiry = "purser_peer_certificate_expiry_timestamp_seconds"
	if got[expiry+"/node"] != float64(node.Unix()) || got[expiry+"/authority"] != float64(authority.Unix()) {
		t.Errorf("expiry %v, want %v and %v", got, node, authority)
	}
	for _, name := range []string{"purser_peer_connections/raft", "purser_peer_connections/forward", "purser_peer_refused_total/" + reasonMember} {
		if _, ok := got[name]; !ok {
			t.Errorf("no metric %s", name)
		}
	}
}
