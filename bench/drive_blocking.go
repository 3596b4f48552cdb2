package bench

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// crew drives the connections of one worker with a goroutine and blocking I/O
// for each: the portable way, for systems without epoll.
type crew struct {
	*worker
	mu    sync.Mutex // held in every call of the worker's methods
	start time.Time
}

// driveBlocking does what drive does, with a crew.
func (w *worker) driveBlocking(ctx context.Context, start time.Time, sockets []net.Conn) error {
	crew := &crew{worker: w, start: start}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(sockets))
	var wait sync.WaitGroup
	for i, socket := range sockets {
		wait.Go(func() {
			if errs[i] = crew.serve(ctx, w.conns[i], socket); errs[i] != nil {
				cancel()
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (r *crew) now() int64 { return int64(time.Since(r.start)) }

// serve runs the closed loop of c, on one socket after the other.
func (r *crew) serve(ctx context.Context, c *conn, socket net.Conn) error {
	r.mu.Lock()
	more := r.next(c, r.now())
	r.mu.Unlock()
	buf := make([]byte, readSize)
	for more {
		var cut, closes bool
		var err error
		current := socket // the variable changes while the function may still run
		stop := context.AfterFunc(ctx, func() { current.Close() })
		for more && !cut && !closes && err == nil {
			cut, err = r.exchange(c, socket, buf)
			if err == nil {
				r.mu.Lock()
				switch {
				case cut && ctx.Err() != nil: // closed by us, not broken
				case cut:
					r.broken(c)
				default:
					closes = c.reply.closes
					more, err = r.answered(c, r.now())
				}
				r.mu.Unlock()
			}
		}
		stop()
		socket.Close()
		if err != nil || !more {
			return err
		}
		if socket = r.reconnect(ctx, c, cut); socket == nil {
			return nil
		}
	}
	return socket.Close()
}

// exchange sends the request in flight and reads its reply, until the
// request's patience ends. cut says that the connection broke before.
func (r *crew) exchange(c *conn, socket net.Conn, buf []byte) (cut bool, err error) {
	overdue := r.start.Add(time.Duration(c.started + r.job.patience))
	if socket.SetDeadline(overdue) != nil {
		return true, nil
	}
	if _, err := socket.Write(c.request.buf); err != nil {
		return true, nil
	}
	for {
		n, readErr := socket.Read(buf)
		if n > 0 {
			if done, err := c.reply.feed(buf[:n]); done || err != nil {
				return false, err
			}
		}
		if readErr != nil {
			return true, nil
		}
	}
}

// reconnect returns a new socket for c, or nil after giving up.
func (r *crew) reconnect(ctx context.Context, c *conn, cut bool) net.Conn {
	ctx, cancel := context.WithDeadline(ctx, r.start.Add(time.Duration(c.started+r.job.patience)))
	defer cancel()
	socket, err := r.job.redial(ctx, cut)
	if err != nil {
		r.mu.Lock()
		r.giveUp(c)
		r.mu.Unlock()
		return nil
	}
	return socket
}
