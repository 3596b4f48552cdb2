package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// job is one load: which requests, over how many connections, from when to
// when. Times are nanoseconds since the job's start.
type job struct {
	addresses   []string // host:port
	connections int
	threads     int
	payments    payments
	mix         mix
	pick        picker
	items       int     // payments, or accounts, per request
	duplicates  float64 // share of requests that repeat a finished one
	rate        float64 // requests/s of an open loop; 0: closed loop
	arrivals    string
	requests    int // to send in all; 0: until ends
	warmup      int64
	ends        int64 // 0: when all requests are answered
	patience    int64
	seed        uint64
	verify      bool    // remember acknowledgements
	insists     bool    // send a request again that is refused for the moment
	series      *series // nil: not kept
	// inspect, if not nil, takes the answer to request n instead of its being
	// counted. Workers call it at the same time. Its error ends the job.
	inspect  func(n uint64, r *reply) error
	blocking bool // drive with a goroutine per connection even where there is epoll
}

// readSize is the most that one read takes.
const readSize = 64 << 10

// measures reports whether an instant is in the measured time.
func (j *job) measures(at int64) bool {
	return at >= j.warmup && (j.ends == 0 || at < j.ends)
}

// open reports whether the job is an open loop.
func (j *job) open() bool { return j.rate > 0 }

// kinds returns the kinds that requests of the job can be of: those of its mix,
// and what stands in for a later event that finds no payment.
func (j *job) kinds() []kind {
	kinds := slices.Clone(j.mix.kinds)
	for _, k := range j.mix.kinds {
		instead := k
		switch k {
		case capture, void:
			instead = authorize
		case refund:
			instead = pay
		}
		if !slices.Contains(kinds, instead) {
			kinds = append(kinds, instead)
		}
	}
	return kinds
}

// share returns how many of all requests the i-th of n parts begins, negative
// for no limit.
func (j *job) share(i, n int) int {
	if j.requests == 0 {
		return -1
	}
	share := j.requests / n
	if i < j.requests%n {
		share++
	}
	return share
}

// run connects, drives the load to its end and returns the merged counts and
// the time since the connections were up; began, if not nil, is called then.
// When ctx ends first, what is in flight is left unresolved and counted as that,
// and there is no error.
func (j *job) run(ctx context.Context, began func(start time.Time)) (*tally, time.Duration, error) {
	sockets, err := j.dialAll(ctx)
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	workers := make([]*worker, j.threads)
	for i := range workers {
		workers[i] = newWorker(j, i)
	}
	start := time.Now()
	if began != nil {
		began(start)
	}
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
			errs[i] = drive(ctx, start, mine)
			if errs[i] != nil {
				cancel()
			}
			w.close(int64(time.Since(start)), ctx.Err() == nil)
		})
	}
	wait.Wait()
	elapsed := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return nil, 0, err
	}
	total := workers[0].tally
	for _, w := range workers[1:] {
		total.merge(w.tally)
	}
	return total, elapsed, nil
}

// dialTimeout bounds the opening of all connections of a job.
const dialTimeout = 30 * time.Second

// address returns where c goes: to its own target at first, to the next after
// each attempt that failed.
func (j *job) address(c *conn) string { return j.addresses[(c.id+c.dials)%len(j.addresses)] }

// dialAll opens all connections, or none.
func (j *job) dialAll(ctx context.Context) ([]net.Conn, error) {
	var dialer net.Dialer
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	sockets := make([]net.Conn, 0, j.connections)
	for id := range j.connections {
		socket, err := dialer.DialContext(ctx, "tcp", j.address(&conn{id: id}))
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

// redial connects c again, to one target after the other, until ctx ends. cut
// says that the connection broke, rather than being closed by the server after
// an answer. Nobody else may use c meanwhile.
func (j *job) redial(ctx context.Context, c *conn, cut bool) (net.Conn, error) {
	var dialer net.Dialer
	for pause := cut; ; pause = true {
		if pause {
			c.dials++
			select {
			case <-ctx.Done():
				return nil, fmt.Errorf("connect again: %w", context.Cause(ctx))
			case <-time.After(redialPause):
			}
		}
		if socket, err := dialer.DialContext(ctx, "tcp", j.address(c)); err == nil {
			return socket, nil
		}
	}
}
