package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// ErrUnknownNode refuses to dial for raft an address of which it is not known
// whose it is, so that no certificate would be the wrong one.
var ErrUnknownNode = errors.New("no node is known at the address")

// raftLayer is what raft sees of a port.
type raftLayer struct {
	port   *Port
	opened atomic.Bool
	conns  *connSet // accepted, and not yet closed by raft

	// offers has no buffer: the goroutine of a connection waits until Accept takes
	// it. conns bounds how many do.
	offers chan net.Conn
	done   chan struct{}
	once   sync.Once // closes done
}

var _ raft.StreamLayer = (*raftLayer)(nil)

func newRaftLayer(p *Port) *raftLayer {
	return &raftLayer{port: p, conns: newConnSet(maxRaft), offers: make(chan net.Conn), done: make(chan struct{})}
}

// Accept returns the next connection of another node. After Close it returns
// net.ErrClosed.
func (l *raftLayer) Accept() (net.Conn, error) {
	select {
	case conn := <-l.offers:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Addr is the address that other nodes are told.
func (l *raftLayer) Addr() net.Addr { return l.port.addr }

// Close ends Accept and closes the connections that it returned: raft's own
// Close leaves its goroutines waiting for the next request on them. A second
// call does nothing.
func (l *raftLayer) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.conns.close()
	})
	return nil
}

// Dial connects to the raft of another node; timeout bounds the attempt. Errors,
// with TLS: ErrUnknownNode, nodetls.ErrWrongNode.
func (l *raftLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	addr, id := string(address), ""
	if l.port.cfg.TLS != nil {
		if id = l.port.cfg.Resolve(addr); id == "" {
			return nil, fmt.Errorf("%w %q", ErrUnknownNode, addr)
		}
	}
	ctx, cancel := l.port.bounded(context.Background(), timeout)
	defer cancel()
	conn, err := l.port.connect(ctx, addr, id, kindRaft)
	if err != nil {
		return nil, fmt.Errorf("raft connection to %s: %w", addr, l.port.cause(ctx, err))
	}
	return conn, nil
}

// offer waits until raft takes the connection, and closes it if the layer is
// closed before.
func (l *raftLayer) offer(raw, conn net.Conn) {
	taken := &raftConn{Conn: conn, raw: raw, in: l.conns}
	if err := raw.SetDeadline(time.Time{}); err != nil { // deadlines are raft's from here on
		_ = taken.Close() // the peer is gone
		return
	}
	select {
	case l.offers <- taken:
	case <-l.done:
		_ = taken.Close() // it was closed below already
	}
}

// raftConn is an accepted connection that leaves its set when raft closes it.
type raftConn struct {
	net.Conn
	raw net.Conn
	in  *connSet
}

func (c *raftConn) Close() error {
	c.in.remove(c.raw)
	return c.Conn.Close()
}
