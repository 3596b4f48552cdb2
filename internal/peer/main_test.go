package peer

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"purser/internal/nodetls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a cluster: an authority, unless it has no TLS, and the configuration's
// knowledge of which node has which address.
type site struct {
	authority *nodetls.Authority

	mu  sync.Mutex
	ids map[string]string // by address
}

func newSite(t *testing.T, secure bool) *site {
	t.Helper()
	s := &site{ids: map[string]string{}}
	if secure {
		var err error
		if s.authority, err = nodetls.CreateAuthority(t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// both runs a test with and without TLS.
func both(t *testing.T, test func(t *testing.T, s *site)) {
	t.Run("plain", func(t *testing.T) { test(t, newSite(t, false)) })
	t.Run("tls", func(t *testing.T) { test(t, newSite(t, true)) })
}

func (s *site) resolve(addr string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[addr]
}

func (s *site) know(addr, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[addr] = id
}

// certificates returns those of a node, nil without TLS.
func (s *site) certificates(t *testing.T, id string) *nodetls.Config {
	t.Helper()
	if s.authority == nil {
		return nil
	}
	files, err := s.authority.Issue(nodetls.Request{NodeID: id, Replace: true})
	if err != nil {
		t.Fatal(err)
	}
	c, err := nodetls.Load(files, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// port starts the port of a node whose address all know. change may be nil.
func (s *site) port(t *testing.T, id string, change func(*Config)) *Port {
	t.Helper()
	cfg := Config{
		Bind: "127.0.0.1:0", TLS: s.certificates(t, id),
		Resolve: s.resolve, Member: func(string) bool { return true },
	}
	if change != nil {
		change(&cfg)
	}
	p, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	s.know(p.Addr().String(), id)
	return p
}

// dialTCP opens a connection that knows nothing of the protocol.
func dialTCP(t *testing.T, p *Port) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// dial opens a connection to p as the node id and sends text on it.
func (s *site) dial(t *testing.T, p *Port, id, text string) net.Conn {
	t.Helper()
	c := dialTCP(t, p)
	if s.authority != nil {
		c = tls.Client(c, s.certificates(t, id).ClientConfig(""))
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// hung is far above what any wait of these tests takes.
const hung = time.Minute

// wantClosed waits until the other side closes c without a word.
func wantClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(hung)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(make([]byte, 1))
	if n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v, want a closed connection", n, err)
	}
}

func wantRefused(t *testing.T, p *Port, reason string, want int) {
	t.Helper()
	if got := testutil.ToFloat64(p.metrics.refused.WithLabelValues(reason)); got != float64(want) {
		t.Errorf("%v connections refused as %q, want %d", got, reason, want)
	}
}
