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
	wakes []chan struct{} // by connection, of capacity 1: its rest is over
	live  int             // connections that have not ended
	done  context.CancelFunc
}

// driveBlocking does what drive does, with a crew.
func (w *worker) driveBlocking(ctx context.Context, start time.Time, sockets []net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &crew{worker: w, start: start, live: len(sockets), done: cancel}
	for range sockets {
		r.wakes = append(r.wakes, make(chan struct{}, 1))
	}
	errs := make([]error, len(sockets))
	var wait sync.WaitGroup
	for i, socket := range sockets {
		wait.Go(func() {
			if errs[i] = r.serve(ctx, i, socket); errs[i] != nil {
				cancel()
			}
		})
	}
	r.dispatchAll(ctx)
	wait.Wait()
	for _, c := range w.conns {
		w.giveUp(c)
	}
	return errors.Join(errs...)
}

func (r *crew) now() int64 { return int64(time.Since(r.start)) }

// dispatchAll wakes connections when their rest is over, until the load is.
func (r *crew) dispatchAll(ctx context.Context) {
	const tick = time.Millisecond // how late a pause that began in between may end
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		r.mu.Lock()
		now := r.now()
		ready, again := r.dispatch(now)
		for _, i := range ready {
			r.wakes[i] <- struct{}{} // it rests: the place is free
		}
		over := r.over()
		r.mu.Unlock()
		if over {
			r.done()
			return
		}
		wait := tick
		if again >= 0 {
			wait = max(0, min(tick, time.Duration(again-now)))
		}
		timer.Reset(wait)
	}
}

// serve runs connection i, on one socket after the other.
func (r *crew) serve(ctx context.Context, i int, socket net.Conn) (err error) {
	defer r.leave()
	r.mu.Lock()
	next := r.first(i, r.now())
	r.mu.Unlock()
	buf := make([]byte, readSize)
	for next != stop && err == nil && socket != nil {
		current := socket // the variable changes while the function may still run
		release := context.AfterFunc(ctx, func() { current.Close() })
		var cut, closes bool
		for next != stop && !cut && !closes && err == nil {
			if next == rest {
				if next = r.await(ctx, i); next == stop {
					break
				}
			}
			cut, closes, next, err = r.exchange(ctx, i, socket, buf)
		}
		release()
		socket.Close()
		if err != nil || next == stop || ctx.Err() != nil {
			return err
		}
		socket, next = r.reconnect(ctx, i, cut)
	}
	return err
}

// leave ends a connection; the last one ends the dispatching.
func (r *crew) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live--; r.live == 0 {
		r.done()
	}
}

// await returns what connection i does after its rest.
func (r *crew) await(ctx context.Context, i int) action {
	select {
	case <-ctx.Done():
		return stop
	case <-r.wakes[i]:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns[i].inFlight {
		return send
	}
	return stop
}

// exchange sends the request in flight, reads its reply, until the request's
// patience ends, and settles it. cut says that the connection broke before.
func (r *crew) exchange(ctx context.Context, i int, socket net.Conn, buf []byte) (cut, closes bool, next action, err error) {
	c := r.conns[i]
	complete, err := r.transfer(c, socket, buf)
	if err != nil {
		return false, false, stop, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !complete {
		if ctx.Err() == nil { // else it was closed by us
			r.broken(c)
		}
		c.away = true
		return true, false, send, nil
	}
	closes = c.reply.closes
	next, err = r.answered(i, r.now())
	c.away = closes
	return false, closes, next, err
}

// transfer sends the request in flight and reads its reply.
func (r *crew) transfer(c *conn, socket net.Conn, buf []byte) (complete bool, err error) {
	overdue := r.start.Add(time.Duration(c.started + r.job.patience))
	if socket.SetDeadline(overdue) != nil {
		return false, nil
	}
	if _, err := socket.Write(c.request.buf); err != nil {
		return false, nil
	}
	for {
		n, readErr := socket.Read(buf)
		if n > 0 {
			if done, err := c.reply.feed(buf[:n]); done || err != nil {
				return done, err
			}
		}
		if readErr != nil {
			return false, nil
		}
	}
}

// reconnect returns a new socket for connection i and what it does next, or nil
// when there is none, and, in an open loop, nothing more to send.
func (r *crew) reconnect(ctx context.Context, i int, cut bool) (net.Conn, action) {
	c := r.conns[i]
	for {
		r.mu.Lock()
		until := r.now() + r.job.patience
		if c.inFlight {
			until = c.started + r.job.patience
		}
		r.mu.Unlock()
		socket, err := r.redialUntil(ctx, c, cut, until)
		r.mu.Lock()
		if err == nil {
			defer r.mu.Unlock()
			return socket, r.back(i, r.now())
		}
		r.giveUp(c)
		ended := !r.job.open() || r.over() || ctx.Err() != nil
		r.mu.Unlock()
		if ended {
			return nil, stop
		}
	}
}

func (r *crew) redialUntil(ctx context.Context, c *conn, cut bool, until int64) (net.Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, r.start.Add(time.Duration(until)))
	defer cancel()
	return r.job.redial(ctx, c, cut)
}
