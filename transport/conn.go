package transport

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"purser/internal/eventloop"
)

// maxTurnedAway bounds the connections that are open only to be told that there
// are too many. Those above it are closed without a word.
const maxTurnedAway = 256

// limits bound the open connections of a server, in all and per address.
type limits struct {
	most, mostPerIP int
	grain           time.Duration // how much earlier than asked for a deadline may strike
	metrics         *metrics

	mu         sync.Mutex
	total      int                // open connections that are served
	turnedAway int                // open connections that are refused
	perIP      map[netip.Addr]int // served, by address; one without any is absent
}

func newLimits(o Options, m *metrics) *limits {
	return &limits{
		most: o.MaxConns, mostPerIP: o.MaxConnsPerIP, grain: grainOf(o),
		metrics: m, perIP: map[netip.Addr]int{},
	}
}

// limitedListener hands out connections within limits. One above them is handed
// out with the refusal that its first request is to be answered with. fasthttp has
// such limits too, but answers in plain text, from the goroutine that accepts.
type limitedListener struct {
	net.Listener
	limits  *limits
	ofNodes bool // its connections are those of other nodes
	loops   *loops
}

// Accept returns the next connection that is to be answered, and that no loop takes.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if passing(err) {
			time.Sleep(acceptPause)
			continue
		}
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw, limits: l.limits, addr: remoteAddr(raw), ofNode: l.ofNodes}
		if !l.limits.enter(c) {
			raw.Close()
		} else if !l.loops.take(c) {
			return c, nil
		}
	}
}

// acceptPause is the wait after a fault of accepting that passes by itself.
const acceptPause = 20 * time.Millisecond

// passing reports whether err is a lack of descriptors or memory, or a client
// that was gone again: no reason to stop serving the others. fasthttp ends on
// any error.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// enter counts c; false says that it gets not even a refusal.
func (l *limits) enter(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.total >= l.most:
		c.refusal = codeOverloaded
		l.metrics.refusedTotal.Inc()
	case l.perIP[c.addr] >= l.mostPerIP:
		c.refusal = codeRateLimited
		l.metrics.refusedAddress.Inc()
	default:
		l.total++
		l.perIP[c.addr]++
		l.metrics.conns.Store(int64(l.total))
		return true
	}
	if l.turnedAway == maxTurnedAway {
		return false
	}
	l.turnedAway++
	return true
}

func (l *limits) leave(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.refusal != noCode {
		l.turnedAway--
		return
	}
	l.total--
	if l.perIP[c.addr]--; l.perIP[c.addr] == 0 {
		delete(l.perIP, c.addr)
	}
	l.metrics.conns.Store(int64(l.total))
}

// remoteAddr is the address that a connection counts for; those without an IP
// address all count for the zero one.
func remoteAddr(c net.Conn) netip.Addr {
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// Bounds of lingering: what a client may still send is at most a batch.
const (
	lingerTime  = time.Second
	lingerBytes = maxBatchBody
)

// conn is a connection that counts against the limits of its server. Its lingering
// is set by the goroutine that serves it, which is also the one that closes it
// while it serves.
type conn struct {
	net.Conn
	limits    *limits
	addr      netip.Addr
	ofNode    bool // another node forwards requests on it
	refusal   code // what every request is answered with, noCode to serve them
	lingering atomic.Bool
	closed    atomic.Bool

	reading, writing deadline

	server *Server
	looped *eventloop.Conn // Conn, if a loop watches it; nil otherwise
	idle   bool            // fasthttp has served a request, and no byte of the next was read
	rested atomic.Bool     // fasthttp was told that the connection ends, and it does not
}

// linger makes the end of nc wait for the client to finish sending. Closing with
// unread data makes the kernel reset the connection, and a client that still
// sends a body that is too large would lose the response that says so.
func linger(nc *conn) {
	if nc != nil {
		nc.lingering.Store(true)
	}
}

// Close ends the connection. Only the first call does something.
func (c *conn) Close() error {
	if c.rested.Load() {
		return nil
	}
	if c.closed.Swap(true) {
		return nil
	}
	if c.looped == nil { // else it counts for as long as its socket is there
		defer c.limits.leave(c)
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.lingering.Load() {
		if half.CloseWrite() == nil {
			c.SetReadDeadline(time.Now().Add(lingerTime))
			io.CopyN(io.Discard, c, lingerBytes) // whatever it ends with, the connection ends
		}
	}
	return c.Conn.Close()
}
