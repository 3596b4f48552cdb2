package bench

import "time"

// action is what a connection does next.
type action int

const (
	send action = iota // the request in flight, from its start
	rest               // until dispatch names it
	stop               // for good
)

const (
	keptPayments = 1024 // ids for later events, per worker
	keptFinished = 256  // calls for duplicates, per worker

	// pauseTime is how long a connection waits before it sends a request of
	// unknown outcome again, or, in a closed loop, a new one after a refusal with
	// 503: without it a server that has no leader would be kept busy saying so.
	pauseTime = 10 * time.Millisecond
)

// worker decides what its connections send and counts what comes of it. All
// methods must be called by one goroutine at a time; the driver, which does the
// I/O and reads the clock, sees to that. Times are nanoseconds since the start
// and never go back.
type worker struct {
	job   *job
	index int
	kinds []kind
	conns []*conn
	tally *tally

	flying int        // requests in flight
	paused queue[int] // connections, by the end of their pause
	ready  []int

	// Of an open loop: its schedule, the due times of requests that found no
	// connection free, and the connections at rest.
	schedule schedule
	begun    uint64 // requests taken from the backlog
	backlog  queue[int64]
	idle     queue[int]

	captured   ring[string]   // ids of payments to refund
	authorized ring[string]   // ids of payments to capture or void
	finished   ring[finished] // calls to repeat

	second  int // that window is of
	window  *window
	answers []answer
}

// newWorker returns worker number index of j, with its share of the
// connections: every threads-th.
func newWorker(j *job, index int) *worker {
	w := &worker{job: j, index: index, kinds: j.kinds(), window: newWindow()}
	w.tally = newTally(w.kinds, j.open())
	for id := index; id < j.connections; id += j.threads {
		c := &conn{id: id, left: j.share(id, j.connections)}
		for _, k := range w.kinds {
			c.templates[k] = j.payments.request(k, 0)
		}
		w.conns = append(w.conns, c)
	}
	if j.open() {
		w.schedule = newSchedule(j.arrivals, j.rate, index, j.threads, j.seed)
		w.schedule.left, w.schedule.ends = j.share(index, j.threads), j.ends
	}
	if j.mix.has(capture) || j.mix.has(void) {
		w.authorized = newRing[string](keptPayments)
	}
	if j.mix.has(refund) {
		w.captured = newRing[string](keptPayments)
	}
	if j.duplicates > 0 {
		w.finished = newRing[finished](keptFinished)
	}
	return w
}

// first says what connection i does at the start.
func (w *worker) first(i int, now int64) action {
	if w.job.open() {
		w.rests(i)
		return rest
	}
	return w.next(i, now)
}

// next says what connection i, which has nothing in flight, does next, and
// prepares its request.
func (w *worker) next(i int, now int64) action {
	c := w.conns[i]
	if w.job.open() {
		w.drop(now)
		if w.backlog.empty() {
			w.rests(i)
			return rest
		}
		w.assign(c, now)
		return send
	}
	if c.left == 0 || w.job.ends > 0 && now >= w.job.ends {
		return stop
	}
	c.left--
	w.begin(c, c.count*uint64(w.job.connections)+uint64(c.id), now, now)
	c.count++
	return send
}

// rests puts connection i among the idle ones.
func (w *worker) rests(i int) {
	if c := w.conns[i]; !c.queued {
		c.queued = true
		w.idle.push(i)
	}
}

// back says what connection i does after it got another socket.
func (w *worker) back(i int, now int64) action {
	c := w.conns[i]
	c.away, c.paused = false, false
	if c.inFlight {
		return send
	}
	return w.next(i, now)
}

// dispatch returns the connections that have come to the end of a rest, valid
// until the next call: those with a request in flight send it, the others stop.
// It also says when to call it again at the latest, negative for never.
func (w *worker) dispatch(now int64) (ready []int, again int64) {
	w.turn(now)
	w.ready = w.ready[:0]
	again = w.resume(now)
	if !w.job.open() {
		return w.ready, again
	}
	at, ok := w.arrive(now)
	if ok && (again < 0 || at < again) {
		again = at
	}
	w.drop(now)
	for !w.backlog.empty() && !w.idle.empty() {
		i := w.idle.pop()
		c := w.conns[i]
		c.queued = false
		if !c.away {
			w.assign(c, now)
			w.ready = append(w.ready, i)
		}
	}
	return w.ready, again
}

// resume adds the connections whose pause is over to w.ready, and returns when
// the next pause is.
func (w *worker) resume(now int64) (again int64) {
	for !w.paused.empty() {
		i := w.paused.peek()
		c := w.conns[i]
		if c.paused && !c.away && c.until > now {
			return c.until
		}
		w.paused.pop()
		if !c.paused || c.away {
			continue
		}
		c.paused = false
		if c.inFlight || w.next(i, now) != rest {
			w.ready = append(w.ready, i)
		}
	}
	return -1
}

// pause makes connection i rest for a while.
func (w *worker) pause(i int, now int64) action {
	c := w.conns[i]
	c.paused, c.until = true, now+int64(pauseTime)
	w.paused.push(i)
	return rest
}

// arrive moves what is due from the schedule to the backlog, and returns when
// the next start is, if there is one.
func (w *worker) arrive(now int64) (at int64, ok bool) {
	at, ok = w.schedule.peek()
	for ; ok && at <= now; at, ok = w.schedule.peek() {
		w.schedule.advance()
		w.backlog.push(at)
		if w.job.measures(at) {
			w.tally.offered += uint64(w.job.items)
		}
	}
	return at, ok
}

// over reports whether an open loop has come to its end.
func (w *worker) over() bool {
	_, more := w.schedule.peek()
	return w.job.open() && !more && w.backlog.empty() && w.flying == 0
}

// assign begins the oldest request of the backlog on c.
func (w *worker) assign(c *conn, now int64) {
	due := w.backlog.pop()
	w.begin(c, w.begun*uint64(w.job.threads)+uint64(w.index), due, now)
	w.begun++
	if w.job.measures(due) {
		w.tally.lag.record(now - max(due, c.free))
		if now-due > int64(LateAfter) {
			w.tally.late++
		}
	}
}

// drop skips the requests that have waited for too long, or beyond the end.
func (w *worker) drop(now int64) {
	ended := w.job.ends > 0 && now >= w.job.ends
	for !w.backlog.empty() && (ended || now-w.backlog.peek() >= w.job.patience) {
		w.skip(w.backlog.pop(), now)
	}
}

// skip counts a request that never started, by the time that it waited.
func (w *worker) skip(due, now int64) {
	if w.job.measures(due) {
		w.tally.skipped++
		w.tally.response[w.kinds[0]].record(now - due)
	}
}

// begin makes request number n the one in flight on c: a new one, or one that
// was answered before.
func (w *worker) begin(c *conn, n uint64, due, now int64) {
	c.due, c.started, c.inFlight, c.doubted, c.repeats = due, now, true, false, nil
	c.rewind()
	w.flying++
	rng := newRandom(w.job.seed, streamChoice, n)
	if w.job.duplicates > 0 && rng.fraction() < w.job.duplicates && w.finished.size > 0 {
		f := w.finished.at(int(rng.below(uint64(w.finished.size))))
		c.repeats = &f
		w.job.write(c, f.call)
		return
	}
	w.job.write(c, w.choose(n, &rng))
}

// choose draws the kind of request n, and the payment that a later event is about.
func (w *worker) choose(n uint64, rng *random) call {
	k := call{number: n, kind: w.job.mix.draw(rng)}
	found := true
	switch k.kind {
	case capture, void:
		if k.id, found = w.authorized.take(); !found {
			k.kind = authorize
		}
	case refund:
		if k.id, found = w.captured.take(); !found {
			k.kind = pay
		}
	}
	return k
}

// turn hands over the seconds that have passed.
func (w *worker) turn(now int64) {
	for now >= int64(w.second+1)*1e9 {
		w.handOver()
	}
}

func (w *worker) handOver() {
	if w.job.series != nil {
		w.job.series.add(w.second, w.window)
	}
	w.window.reset()
	w.second++
}

// close ends the worker's counts. What an open loop should have started and did
// not, since all connections were lost, is skipped, if the run came to its end.
func (w *worker) close(now int64, complete bool) {
	if complete && w.job.open() {
		w.arrive(now)
		for !w.backlog.empty() {
			w.skip(w.backlog.pop(), now)
		}
	}
	w.turn(now)
	w.handOver()
}
