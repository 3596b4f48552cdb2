package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// job is one use of the closed loop: which requests, over how many
// connections, until when. Times are nanoseconds since the job's start.
type job struct {
	address     string // host:port
	connections int
	threads     int
	build       func(conn int) *request
	pick        picker
	items       int // payments, or accounts, per request
	requests    int // to send in all; 0: until ends
	warmup      int64
	ends        int64 // 0: when all requests are answered
	patience    int64
	keyPrefix   string
	seed        uint64
	blocking    bool // drive with a goroutine per connection even where there is epoll
}

// readSize is the most that one read takes: any single reply, or some 90
// results of a batch.
const readSize = 64 << 10

// picker chooses the account numbers of the n-th payment of a job. state is
// the connection's own, so the choice does not depend on who answers first.
type picker func(state *uint64, n uint64) (source, destination uint64)

// share returns how many requests connection id sends, negative for no limit.
func (j *job) share(id int) int {
	if j.requests == 0 {
		return -1
	}
	share := j.requests / j.connections
	if id < j.requests%j.connections {
		share++
	}
	return share
}

// run connects, drives the loop to its end and returns the merged counts and
// the time since the connections were up. When ctx ends first, what is in
// flight is left unresolved and counted as that, and there is no error.
func (j *job) run(ctx context.Context) (*tally, time.Duration, error) {
	sockets, err := j.dialAll(ctx)
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	workers := make([]*worker, j.threads)
	for i := range workers {
		var ids []int
		for id := i; id < j.connections; id += j.threads {
			ids = append(ids, id)
		}
		workers[i] = newWorker(j, ids)
	}
	start := time.Now()
	errs := make([]error, len(workers))
	var wait sync.WaitGroup
	for i, w := range workers {
		mine := make([]net.Conn, len(w.conns))
		for k, c := range w.conns {
			mine[k] = sockets[c.id]
		}
		drive := w.drive
		if j.blocking {
			drive = w.driveBlocking
		}
		wait.Go(func() {
			if errs[i] = drive(ctx, start, mine); errs[i] != nil {
				cancel()
			}
		})
	}
	wait.Wait()
	elapsed := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return nil, 0, err
	}
	total := newTally()
	for _, w := range workers {
		total.merge(w.tally)
	}
	return total, elapsed, nil
}

// dialTimeout bounds the opening of all connections of a job.
const dialTimeout = 30 * time.Second

// dialAll opens all connections, or none.
func (j *job) dialAll(ctx context.Context) ([]net.Conn, error) {
	var dialer net.Dialer
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	sockets := make([]net.Conn, 0, j.connections)
	for range j.connections {
		socket, err := dialer.DialContext(ctx, "tcp", j.address)
		if err != nil {
			for _, s := range sockets {
				s.Close()
			}
			return nil, fmt.Errorf("connect: %w", err)
		}
		sockets = append(sockets, socket)
	}
	return sockets, nil
}

// redialPause is the time between two attempts to connect again, and before
// the first one when the connection was cut: long enough to cost a restarting
// server nothing, short beside its start.
const redialPause = 20 * time.Millisecond

// redial connects again, trying until ctx ends. cut says that the connection
// broke, rather than being closed by the server after an answer.
func (j *job) redial(ctx context.Context, cut bool) (net.Conn, error) {
	var dialer net.Dialer
	for pause := cut; ; pause = true {
		if pause {
			select {
			case <-ctx.Done():
				return nil, fmt.Errorf("connect again: %w", context.Cause(ctx))
			case <-time.After(redialPause):
			}
		}
		if socket, err := dialer.DialContext(ctx, "tcp", j.address); err == nil {
			return socket, nil
		}
	}
}

// splitmix is the output function of SplitMix64 (Steele, Lea, Flood: Fast
// Splittable Pseudorandom Number Generators, OOPSLA 2014).
func splitmix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// random returns the next number below n, with a bias of at most n in 2^64.
func random(state *uint64, n uint64) uint64 {
	*state += 0x9e3779b97f4a7c15
	return splitmix(*state) % n
}
