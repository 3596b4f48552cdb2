package eventloop

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// inputSize is the most that Input is given at a time, in bytes.
const inputSize = 16 << 10

// inputs are the buffers that sockets are read into.
var inputs = sync.Pool{New: func() any { return new([inputSize]byte) }}

// Conn is a connection of a Loop. While it is busy it belongs to who works on it, and
// the methods of a net.Conn, TryWrite, CloseWrite, Unread and Rest are for that one
// alone. Close, and setting deadlines, are for any goroutine.
type Conn struct {
	loop          *Loop
	fd            int
	number        int32
	life          int32 // of the number: which of its connections this is
	local, remote net.Addr

	input  func(data []byte) Next
	ended  func()
	unread []byte // to be read before what the socket has

	// drained says that the socket had nothing more when it was last read, and that no
	// signal came since.
	drained bool

	state  atomic.Uint32
	ready  chan struct{} // capacity 1: ends the state blocked
	hungUp atomic.Bool   // there is an end to be read behind the data
	closed atomic.Bool
	fdLock sync.Mutex // held to close fd, and by others than the owner to use it

	patience         time.Duration
	resting          alarm // the end of patience
	reading, writing alarm
}

// States of a connection. Who moves it to busy owns it.
const (
	idle     = iota // waits for its client
	busy            // is worked on
	signaled        // and something has happened at the socket since
	blocked         // its owner waits for that, at ready
)

// Start has the connection watched, with input for what its client sends, and ended
// to be called once it is closed. It calls input if there is something already. The
// connection is closed when patience passes without anything from its client. After an
// error the caller still owns it, and is to Close it and then to call Rest.
func (c *Conn) Start(patience time.Duration, input func(data []byte) Next, ended func()) error {
	c.input, c.ended, c.patience = input, ended, patience
	c.resting.ring = func() { c.closeIdle(true) }
	c.reading.ring = c.signal
	c.writing.ring = c.signal
	if err := c.loop.watch(c); err != nil {
		return err
	}
	c.Rest()
	return nil
}

// SetPatience changes how long the client may be silent, from the next time on that
// the connection is idle.
func (c *Conn) SetPatience(d time.Duration) { c.patience = d }

// Rest says that what made the connection busy is done. If it was closed, this is
// when its socket goes. If its client has sent something since, Rest serves that.
func (c *Conn) Rest() {
	c.beginPatience()
	if c.drained && !c.closed.Load() && !c.hungUp.Load() && len(c.unread) == 0 && c.pause() {
		return
	}
	c.serve()
}

func (c *Conn) beginPatience() { c.resting.set(time.Now().Add(c.patience)) }

// pause makes the connection idle, unless there was a signal, which it takes.
func (c *Conn) pause() bool {
	if c.state.CompareAndSwap(busy, idle) {
		return true // from here on it may be somebody else's
	}
	c.state.Store(busy)
	c.drained = false
	return false
}

// serve serves what the client has sent until there is nothing more. Its caller owns
// the connection.
func (c *Conn) serve() {
	buf := inputs.Get().(*[inputSize]byte)
	defer inputs.Put(buf)
	for !c.closed.Load() {
		n, err := c.receive(buf[:])
		switch {
		case n > 0:
			if c.input(buf[:n]) == Busy {
				return
			}
			c.beginPatience()
			if !c.drained || c.hungUp.Load() {
				continue
			}
		case err != syscall.EAGAIN:
			c.end()
			return
		}
		if c.pause() {
			return
		}
	}
	c.end()
}

// receive reads what there is; n is 0 with EAGAIN when that is nothing, and with
// another value at the end.
func (c *Conn) receive(p []byte) (n int, err syscall.Errno) {
	if len(c.unread) > 0 {
		n = copy(p, c.unread)
		if c.unread = c.unread[n:]; len(c.unread) == 0 {
			c.unread = nil // an idle connection keeps no memory
		}
		return n, 0
	}
	for {
		n, err = read(c.fd, p)
		switch {
		case err == syscall.EINTR:
		case err != 0:
			c.drained = err == syscall.EAGAIN
			return 0, err
		default:
			c.drained = n < len(p)
			return n, 0
		}
	}
}

// signal tells the owner that something has happened at the socket, or serves an idle
// connection on this goroutine.
func (c *Conn) signal() {
	for {
		switch c.state.Load() {
		case idle:
			if c.state.CompareAndSwap(idle, busy) {
				c.drained = false
				c.serve()
				return
			}
		case busy:
			if c.state.CompareAndSwap(busy, signaled) {
				return
			}
		case blocked:
			if c.state.CompareAndSwap(blocked, busy) {
				c.ready <- struct{}{}
				return
			}
		default:
			return
		}
	}
}

// await blocks until there was a signal.
func (c *Conn) await() {
	if c.state.CompareAndSwap(busy, blocked) {
		<-c.ready
	} else {
		c.state.Store(busy)
	}
	c.drained = false
}

// Unread gives data back: it is what Read, or Input after Rest, gets next. It keeps a
// copy.
func (c *Conn) Unread(data []byte) {
	c.unread = append(append([]byte(nil), data...), c.unread...)
}

// Pending reports whether there is something to read, or an end, without waiting.
func (c *Conn) Pending() bool {
	if len(c.unread) > 0 || c.closed.Load() || c.hungUp.Load() {
		return true
	}
	if c.drained && c.state.Load() != signaled {
		return false
	}
	var some [512]byte
	n, err := c.receive(some[:])
	if n > 0 {
		c.unread = append(c.unread, some[:n]...)
	}
	return n > 0 || err != syscall.EAGAIN
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		switch {
		case c.closed.Load():
			return 0, net.ErrClosed
		case c.reading.struck.Load():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		}
		n, err := c.receive(p)
		switch {
		case n > 0:
			return n, nil
		case err == 0:
			return 0, io.EOF
		case err != syscall.EAGAIN:
			return 0, &net.OpError{Op: "read", Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
		}
		c.await()
	}
}

// TryWrite writes what the socket takes of p without waiting.
func (c *Conn) TryWrite(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		if c.closed.Load() {
			return written, net.ErrClosed
		}
		n, err := write(c.fd, p[written:])
		switch err {
		case 0:
			written += n
		case syscall.EINTR:
		case syscall.EAGAIN:
			return written, nil
		default:
			return written, &net.OpError{Op: "write", Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
		}
	}
	return written, nil
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	for written := 0; ; {
		n, err := c.TryWrite(p[written:])
		written += n
		switch {
		case err != nil:
			return written, err
		case written == len(p):
			return written, nil
		case c.writing.struck.Load():
			return written, os.ErrDeadlineExceeded
		}
		c.await()
	}
}

// CloseWrite tells the other side that nothing more will come.
func (c *Conn) CloseWrite() error {
	return os.NewSyscallError("shutdown", syscall.Shutdown(c.fd, syscall.SHUT_WR))
}

// Close ends both directions, and with net.ErrClosed whatever waits for them. The
// socket itself goes when the owner calls Rest; it is at once when there is none.
func (c *Conn) Close() error {
	c.fdLock.Lock()
	closed := c.closed.Swap(true)
	if !closed {
		_ = syscall.Shutdown(c.fd, syscall.SHUT_RDWR) // fails when the client is gone
	}
	c.fdLock.Unlock()
	if closed {
		return net.ErrClosed
	}
	go c.signal() // not here: the caller may hold what ended needs
	return nil
}

// closeIdle closes the connection if it is idle, or only if it has been for too long.
func (c *Conn) closeIdle(overdue bool) {
	switch {
	case !c.state.CompareAndSwap(idle, busy):
	case overdue && !c.resting.passed(): // it was busy for a moment
		c.serve()
	default:
		c.end()
	}
}

// end lets go of everything. Its caller owns the connection, and it stays busy.
func (c *Conn) end() {
	for _, a := range []*alarm{&c.resting, &c.reading, &c.writing} {
		a.stop()
	}
	c.loop.forget(c)
	c.fdLock.Lock()
	c.closed.Store(true)
	syscall.Close(c.fd)
	c.fdLock.Unlock()
	c.ended()
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.reading.set(t)
	c.writing.set(t)
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.reading.set(t)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.writing.set(t)
	return nil
}
