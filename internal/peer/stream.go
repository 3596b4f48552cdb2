package peer

import (
	"errors"
	"net"
	"sync"
	"time"
)

// stream is the connections of one kind that something else in this process
// serves: the net.Listener of raft, or of the API.
type stream struct {
	addr  net.Addr
	conns *connSet // accepted, and not yet closed by who serves them

	// offers has no buffer: the goroutine of a connection waits until Accept takes
	// it. conns bounds how many do.
	offers chan net.Conn
	done   chan struct{}
	once   sync.Once // closes done
}

var _ net.Listener = (*stream)(nil)

func newStream(addr net.Addr, most int) *stream {
	return &stream{addr: addr, conns: newConnSet(most), offers: make(chan net.Conn), done: make(chan struct{})}
}

// Accept returns the next connection of another node. After Close it returns
// net.ErrClosed.
func (s *stream) Accept() (net.Conn, error) {
	select {
	case conn := <-s.offers:
		return conn, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Addr is the address that other nodes are told.
func (s *stream) Addr() net.Addr { return s.addr }

// Close ends Accept, and leaves alone what it returned. A second call does
// nothing.
func (s *stream) Close() error {
	s.once.Do(func() { close(s.done) })
	return nil
}

// end closes the stream and its connections.
func (s *stream) end() {
	_ = s.Close() // never fails
	s.conns.close()
}

// offer returns nil when somebody has taken the connection. Otherwise, because the
// stream or the connection is closed, it is still the caller's to close.
func (s *stream) offer(raw, conn net.Conn) error {
	err := raw.SetDeadline(time.Time{}) // deadlines are the taker's from here on
	if err == nil {
		select {
		case s.offers <- &streamConn{Conn: conn, raw: raw, in: s.conns}:
			return nil
		case <-s.done:
			err = net.ErrClosed
		}
	}
	s.conns.remove(raw)
	return err
}

// streamConn is an accepted connection that leaves its set when it is closed.
type streamConn struct {
	net.Conn
	raw net.Conn
	in  *connSet
}

func (c *streamConn) Close() error {
	c.in.remove(c.raw)
	return c.Conn.Close()
}

// CloseWrite tells the other side that nothing more comes, and goes on reading.
func (c *streamConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}
