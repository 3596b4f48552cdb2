package transport

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"purser/internal/eventloop"
)

// cpusPerLoop is how many CPUs there are for each event loop. Reading requests takes
// a third of what they cost on the server; the rest is the log, the shards, and the
// responses, which the goroutines of crowds write.
const cpusPerLoop = 2

// loops are the event loops of a server. They are started with the first connection
// that they can take. Any goroutine may call the methods.
type loops struct {
	server *Server

	mu      sync.Mutex
	started []*eventloop.Loop // nil before the first connection, empty where there are none
	next    int               // the one that takes the next connection
}

// take has c watched by a loop, and reports whether it is: whether there are loops on
// this system, and c is a connection of the kernel's with a client.
func (l *loops) take(c *conn) bool {
	socket, ok := c.Conn.(*net.TCPConn)
	if !ok || c.ofNode {
		return false
	}
	loop := l.pick()
	if loop == nil {
		return false
	}
	looped, err := loop.Adopt(socket)
	if err != nil {
		return false
	}
	c.Conn, c.looped, c.server = looped, looped, l.server
	if looped.Start(l.server.opts.ReadTimeout, c.input, c.gone) != nil {
		looped.Close()
		looped.Rest()
	}
	return true
}

// gone is called when the socket of a watched connection is closed.
func (c *conn) gone() {
	c.closed.Store(true)
	c.limits.leave(c)
}

func (l *loops) pick() *eventloop.Loop {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started == nil {
		l.started = l.server.startLoops((runtime.NumCPU() + cpusPerLoop - 1) / cpusPerLoop)
	}
	if len(l.started) == 0 {
		return nil
	}
	l.next = (l.next + 1) % len(l.started)
	return l.started[l.next]
}

// startLoops returns n loops, or as many as can be had.
func (s *Server) startLoops(n int) []*eventloop.Loop {
	started := make([]*eventloop.Loop, 0, n)
	for range n {
		loop, err := eventloop.Start(s.opts.Hold, s.opts.Release)
		if err != nil {
			break
		}
		started = append(started, loop)
	}
	return started
}

// close closes the watched connections as they get idle, and then ends the loops. It
// returns ctx's error if that is done first.
func (l *loops) close(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	started := l.started
	poll := time.NewTicker(leavePoll)
	defer poll.Stop()
	for {
		for _, loop := range started {
			loop.CloseIdle()
		}
		if l.server.metrics.conns.Load() == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
	}
	for _, loop := range started {
		loop.Close()
	}
	l.started = []*eventloop.Loop{}
	return nil
}

// errRests ends fasthttp's part in a connection that goes on.
var errRests = errors.New("the connection rests")

// serveApart has fasthttp serve a watched connection until it waits for its next
// request, on a goroutine that may block.
func (s *Server) serveApart(c *conn) {
	c.idle = false
	_ = s.http.ServeConn(c) // an error is about what the client did
	c.rested.Store(false)
	c.looped.Rest()
}

// between notes where fasthttp is between two requests of a connection.
func between(nc net.Conn, state fasthttp.ConnState) {
	if c, ok := nc.(*conn); ok {
		c.idle = state == fasthttp.StateIdle
	}
}
