package eventloop

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"syscall"
)

// Loop watches the sockets of its connections. Any goroutine may call its methods.
type Loop struct {
	epoll int
	waker [2]int // a pipe: its reader is watched, a byte in it ends the loop
	ended chan struct{}

	before, after func()

	mu     sync.Mutex
	conns  []*Conn // by number; nil where one has ended
	free   []int32 // numbers without a connection
	lives  int32   // connections that were given a number
	closed bool
}

// wakerID is the number of the waker in events, where connections have theirs.
const wakerID = -1

// maxEvents bounds what one look at the sockets finds. The rest is found by the next.
const maxEvents = 256

// Start returns a Loop whose goroutine runs until Close. It calls before and after
// around the Inputs of all connections that one look has found ready.
func Start(before, after func()) (*Loop, error) {
	l := &Loop{ended: make(chan struct{}), before: before, after: after}
	var err error
	if l.epoll, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	if err := syscall.Pipe2(l.waker[:], syscall.O_NONBLOCK|syscall.O_CLOEXEC); err != nil {
		syscall.Close(l.epoll)
		return nil, fmt.Errorf("pipe: %w", err)
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: wakerID}
	if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, l.waker[0], &event); err != nil {
		l.release()
		return nil, fmt.Errorf("epoll_ctl: %w", err)
	}
	go l.run()
	return l, nil
}

// Close ends the loop's goroutine. What idle connections are sent from then on is not
// read: close them before.
func (l *Loop) Close() {
	l.mu.Lock()
	closed := l.closed
	l.closed = true // from here on nothing is watched
	l.mu.Unlock()
	if closed {
		return
	}
	_, _ = syscall.Write(l.waker[1], []byte{0}) // an empty pipe takes it
	<-l.ended
	l.release()
}

func (l *Loop) release() {
	syscall.Close(l.epoll)
	syscall.Close(l.waker[0])
	syscall.Close(l.waker[1])
}

// CloseIdle closes the connections that wait for their clients.
func (l *Loop) CloseIdle() {
	l.mu.Lock()
	conns := append([]*Conn(nil), l.conns...)
	l.mu.Unlock()
	for _, c := range conns {
		if c != nil {
			c.closeIdle(false)
		}
	}
}

// Adopt takes over the socket of c, which nobody may use any more. It is not watched
// before Start. An error says that nothing was done, and leaves c as it is.
func (l *Loop) Adopt(c *net.TCPConn) (*Conn, error) {
	fd, err := duplicate(c)
	if err != nil {
		return nil, err
	}
	adopted := &Conn{
		loop: l, fd: fd, local: c.LocalAddr(), remote: c.RemoteAddr(),
		ready: make(chan struct{}, 1),
	}
	adopted.state.Store(busy)
	_ = c.Close() // the duplicate is what is left of it
	return adopted, nil
}

// duplicate returns a descriptor of c's socket that the runtime does not watch.
func duplicate(c *net.TCPConn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("take over a socket: %w", err)
	}
	var dup error
	err = raw.Control(func(s uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, dup = syscall.Dup(int(s)); dup == nil {
			syscall.CloseOnExec(fd)
		}
	})
	if err == nil {
		err = dup
	}
	if err != nil {
		return -1, fmt.Errorf("take over a socket: %w", err)
	}
	return fd, nil
}

const (
	epollET = 1 << 31
	watched = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | epollET
)

// watch gives c a number and has the kernel tell when its socket gets ready: once
// for each change, so that nothing is told again and again of a connection that is
// busy otherwise.
func (l *Loop) watch(c *Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	if last := len(l.free) - 1; last >= 0 {
		c.number = l.free[last]
		l.free = l.free[:last]
	} else {
		c.number = int32(len(l.conns))
		l.conns = append(l.conns, nil)
	}
	l.lives++
	c.life = l.lives
	event := syscall.EpollEvent{Events: watched, Fd: c.number, Pad: c.life}
	if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, c.fd, &event); err != nil {
		l.free = append(l.free, c.number)
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	l.conns[c.number] = c
	return nil
}

// forget takes c's number back, if it has one.
func (l *Loop) forget(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if int(c.number) < len(l.conns) && l.conns[c.number] == c {
		l.conns[c.number] = nil
		l.free = append(l.free, c.number)
	}
}

// run is the loop.
func (l *Loop) run() {
	defer close(l.ended)
	events := make([]syscall.EpollEvent, maxEvents)
	told := make([]*Conn, 0, maxEvents)
	for {
		n := l.poll(events)
		told = told[:0]
		l.mu.Lock()
		for i := range events[:n] {
			e := &events[i]
			if e.Fd == wakerID {
				l.mu.Unlock()
				return
			}
			c := l.conns[e.Fd]
			if c == nil || c.life != e.Pad { // it ended meanwhile
				continue
			}
			if e.Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
				c.hungUp.Store(true)
			}
			told = append(told, c)
		}
		l.mu.Unlock()
		l.before()
		for _, c := range told {
			c.signal()
		}
		l.after()
	}
}

// poll returns the number of events, of which there is at least one. It looks
// without waiting first: a system call that may wait costs a processor of the
// runtime when it does.
func (l *Loop) poll(events []syscall.EpollEvent) int {
	if n := epollWait(l.epoll, events); n > 0 {
		return n
	}
	// What the connections have set going gets this processor, instead of waking a
	// thread that takes it away in the middle of the wait.
	runtime.Gosched()
	for {
		n, err := syscall.EpollWait(l.epoll, events, -1)
		if err == nil {
			return n
		}
		if err != syscall.EINTR {
			panic("eventloop: epoll_wait: " + err.Error())
		}
	}
}
