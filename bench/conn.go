package bench

import "fmt"

// conn is one connection's place in the closed loop: its request, how much of
// it was sent, and the reply so far. It knows no socket; its driver does.
type conn struct {
	id      int
	request *request
	reply   reply
	rng     uint64 // state of the choice of accounts
	count   uint64 // requests begun
	left    int    // requests still to begin; negative: no limit

	inFlight bool
	sent     int   // bytes of the request that the socket took
	started  int64 // first sending of the request in flight, ns since the start
	doubted  bool  // the request in flight was cut or answered 504 before
}

// rewind makes the request in flight ready to be sent again from its start.
func (c *conn) rewind() {
	c.sent = 0
	c.reply.reset()
}

// worker runs the closed loop of its connections and counts what comes of it.
// All methods must be called by one goroutine at a time; the driver, which
// does the I/O, sees to that.
type worker struct {
	job   *job
	conns []*conn
	tally *tally
}

func newWorker(j *job, ids []int) *worker {
	w := &worker{job: j, tally: newTally()}
	for _, id := range ids {
		c := &conn{
			id:      id,
			request: j.build(id),
			rng:     j.seed ^ splitmix(uint64(id)+1),
			left:    j.share(id),
		}
		c.reply.batch = j.items > 1
		w.conns = append(w.conns, c)
	}
	return w
}

// next prepares the next request of c and reports whether there is one. A
// connection without one has ended.
func (w *worker) next(c *conn, now int64) bool {
	if c.left == 0 || w.job.ends > 0 && now >= w.job.ends {
		return false
	}
	c.left--
	first := (c.count*uint64(w.job.connections) + uint64(c.id)) * uint64(w.job.items)
	for i := range w.job.items {
		source, destination := w.job.pick(&c.rng, first+uint64(i))
		c.request.patch(i, c.count*uint64(w.job.items)+uint64(i), source, destination)
	}
	c.count++
	c.started, c.inFlight, c.doubted = now, true, false
	c.rewind()
	return true
}

// answered settles the request in flight by the complete reply and prepares
// what c sends next, the same request again after a 504. It reports whether
// there is anything to send. An error ends the run.
func (w *worker) answered(c *conn, now int64) (more bool, err error) {
	r, t := &c.reply, w.tally
	t.last = now
	if r.status >= 300 && t.examples[r.status] == "" {
		t.examples[r.status] = string(r.example)
	}
	if r.replayed {
		t.replayed++
	}
	if !r.batch || r.status >= 300 {
		for range w.job.items {
			w.count(r.status, now)
		}
	} else {
		if len(r.results) != w.job.items {
			return false, fmt.Errorf("malformed reply: %d results for %d payments", len(r.results), w.job.items)
		}
		for _, status := range r.results {
			w.count(status, now)
		}
	}
	if r.status == statusOutcomeUnknown {
		w.doubt(c)
		c.rewind()
		return true, nil
	}
	if now >= w.job.warmup && (w.job.ends == 0 || now < w.job.ends) {
		t.requests++
		t.record(now - c.started)
	}
	if c.doubted {
		t.resolved++
	}
	c.inFlight = false
	return w.next(c, now), nil
}

// count notes the outcome of one payment.
func (w *worker) count(status int, now int64) {
	w.tally.whole[status]++
	if now >= w.job.warmup && (w.job.ends == 0 || now < w.job.ends) {
		w.tally.measured[status]++
	}
}

// broken notes that the connection broke and prepares the request in flight,
// if any, for being sent again on the next one.
func (w *worker) broken(c *conn) {
	if c.inFlight {
		w.tally.cut++
		w.doubt(c)
	}
	c.rewind()
}

func (w *worker) doubt(c *conn) {
	if !c.doubted {
		c.doubted = true
		w.tally.doubted++
	}
}

// overdue reports whether the request in flight has been pursued long enough.
func (w *worker) overdue(c *conn, now int64) bool {
	return c.inFlight && now-c.started >= w.job.patience
}

// giveUp leaves the request in flight, if any, unresolved.
func (w *worker) giveUp(c *conn) {
	if !c.inFlight {
		return
	}
	c.inFlight = false
	w.doubt(c)
	w.tally.unresolved++
	for _, number := range c.request.keys() {
		if len(w.tally.keys) < shownKeys {
			w.tally.keys = append(w.tally.keys, key(w.job.keyPrefix, c.id)+number)
		}
	}
}
