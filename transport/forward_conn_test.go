package transport

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// TestStaleConnections: a connection that the leader closed while it was idle is
// not used for a request: a PATCH on it would be in doubt.
func TestStaleConnections(t *testing.T) {
	leader := newScript(t, func(c net.Conn, req *http.Request) {
		says(200, noCode)(c, req)
		c.Close()
	})
	s, p, _ := newNode(t)
	p.set(leader.addr, false)
	conns := s.server.forwarder.conns
	for i := range 5 {
		if a := asks["patch"](s); a.status != 200 {
			t.Fatalf("%d: %s", a.status, a.body)
		}
		if n := len(leader.requests()); n != i+1 {
			t.Fatalf("%d requests after %d", n, i+1)
		}
		s.await("the end of the connection arrives", func() bool {
			conns.mu.Lock()
			defer conns.mu.Unlock()
			return len(conns.idle) == 1 && !still(conns.idle[0].Conn)
		})
	}
	if conns.open != 1 {
		t.Errorf("%d connections are counted, want 1", conns.open)
	}
}

// TestConnectionsAreReused: requests share connections, but not when there is
// more to read than the answer, or when a node says that it closes.
func TestConnectionsAreReused(t *testing.T) {
	s, leader, p := newPair(t)
	for range 10 {
		asks["get"](s)
	}
	if n := leader.server.metrics.conns.Load(); n != 1 {
		t.Errorf("%d connections for requests one after another", n)
	}
	conns := s.server.forwarder.conns
	old := conns.idle[0]
	old.since = time.Now().Add(-conns.maxIdle)
	asks["get"](s)
	if len(conns.idle) != 1 || conns.idle[0] == old {
		t.Error("a connection is used that the leader is about to close")
	}
	leader.await("the old connection is closed", func() bool { return leader.server.metrics.conns.Load() == 1 })
	for name, extra := range map[string]func(net.Conn, *http.Request){
		"more to read": func(c net.Conn, req *http.Request) {
			var b bytes.Buffer
			says(200, noCode)(&bufferConn{Conn: c, to: &b}, req)
			b.WriteString("HTTP/1.1 200 OK\r\n")
			c.Write(b.Bytes())
		},
		"closing": bare("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nX-Request-Id: x\r\nPurser-Index: 1\r\nContent-Length: 2\r\n\r\n{}"),
	} {
		p.set(newScript(t, extra).addr, false)
		if a := asks["get"](s); a.status != 200 || len(conns.idle) != 0 || conns.open != 0 {
			t.Errorf("%s: %d, %d idle of %d", name, a.status, len(conns.idle), conns.open)
		}
	}
	leader.await("the connections to the leader before are closed", func() bool { return leader.server.metrics.conns.Load() == 0 })
}

// bufferConn writes to a buffer.
type bufferConn struct {
	net.Conn
	to *bytes.Buffer
}

func (b *bufferConn) Write(p []byte) (int, error) { return b.to.Write(p) }

// TestIdleConnectionsAreTrimmed: what nobody has used for a while is closed when
// another connection comes back.
func TestIdleConnectionsAreTrimmed(t *testing.T) {
	l := newLeaderConns(&peers{}, 10, time.Minute)
	ends := 0
	for _, age := range []time.Duration{3 * time.Minute, 2 * time.Minute, time.Second} {
		c := &leaderConn{Conn: &closeCounter{closed: &ends}, in: fastReader(), since: time.Now().Add(-age)}
		l.idle = append(l.idle, c)
		l.open++
	}
	l.open++
	l.give(&leaderConn{Conn: &closeCounter{closed: &ends}, in: fastReader()}, true)
	if ends != 2 || len(l.idle) != 2 || l.open != 2 {
		t.Errorf("%d closed, %d idle, %d open", ends, len(l.idle), l.open)
	}
	l.leader = "next"
	l.open++
	l.give(&leaderConn{Conn: &closeCounter{closed: &ends}, in: fastReader()}, true)
	if ends != 3 || len(l.idle) != 2 || l.open != 2 {
		t.Errorf("%d closed, %d idle, %d open: one to the leader before came back", ends, len(l.idle), l.open)
	}
	l.close()
	l.leader = ""
	l.open++
	l.give(&leaderConn{Conn: &closeCounter{closed: &ends}, in: fastReader()}, true)
	if ends != 6 || len(l.idle) != 0 || l.open != 0 {
		t.Errorf("%d closed, %d idle, %d open after the end", ends, len(l.idle), l.open)
	}
}

// TestPartlySent: a request that was not written to the end was not executed, so
// it is no try.
func TestPartlySent(t *testing.T) {
	var head fasthttp.RequestHeader
	head.SetMethod("POST")
	head.SetContentLength(10_000)
	whole := len(head.Header()) + 10_000
	for _, room := range []int{0, 1, whole - 1} {
		c := newTightConn(room)
		sent, err := c.exchange(&head, make([]byte, 10_000), &fasthttp.Response{}, time.Time{})
		if sent || !errors.Is(err, errFull) {
			t.Errorf("room for %d bytes of %d: sent %v, %v", room, whole, sent, err)
		}
	}
	sent, err := newTightConn(whole).exchange(&head, make([]byte, 10_000), &fasthttp.Response{}, time.Now().Add(time.Minute))
	if !sent || err == nil {
		t.Errorf("sent whole: %v, %v", sent, err)
	}
}

// closeCounter is a connection that nothing is sent on.
type closeCounter struct {
	net.Conn
	closed *int
}

func (c *closeCounter) Close() error { *c.closed++; return nil }

func fastReader() *bufio.Reader { return bufio.NewReader(strings.NewReader("")) }

// errFull is the error of a tightConn.
var errFull = errors.New("there is no room")

// tightConn is a connection that takes room bytes and answers nothing.
type tightConn struct {
	net.Conn
	room int
}

// newTightConn returns a connection to a leader that takes room bytes.
func newTightConn(room int) *leaderConn {
	c := &tightConn{room: room}
	conns := newLeaderConns(&peers{}, 1, time.Minute)
	return &leaderConn{Conn: c, conns: conns, in: bufio.NewReader(c), out: bufio.NewWriter(c)}
}

func (c *tightConn) Write(p []byte) (int, error) {
	n := min(len(p), c.room)
	c.room -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func (c *tightConn) Read([]byte) (int, error)        { return 0, io.EOF }
func (c *tightConn) SetDeadline(time.Time) error     { return nil }
func (c *tightConn) SetReadDeadline(time.Time) error { return nil }
