package bench

// conn is one connection's place in the load: the request in flight, how much
// of it was sent, and the reply so far. It knows no socket; its driver does.
type conn struct {
	id        int
	request   *request        // in flight, or the last one
	templates [kinds]*request // built once per kind
	reply     reply
	accounts  random // of the request in flight; here, since a local one would be allocated
	count     uint64 // requests begun
	left      int    // requests still to begin in a closed loop; negative: no limit

	inFlight bool
	call     call
	repeats  *finished // the call in flight repeats this one; nil: it is new
	due      int64     // when the request in flight was to start
	started  int64     // first sending of the request in flight
	free     int64     // when the request before was answered
	sent     int       // bytes of the request that the socket took
	doubted  bool      // the request in flight was cut or answered 504 before

	away   bool  // without a socket, for a while or for good
	queued bool  // among the worker's idle connections
	paused bool  // does nothing before until
	until  int64 // end of the pause
	dials  int   // attempts to connect again: the next target is tried each time
}

// rewind makes the request in flight ready to be sent again from its start.
func (c *conn) rewind() {
	c.sent = 0
	c.reply.reset()
}

// moves reports whether the request in flight can change the books, so that it
// matters when its outcome is unknown.
func (c *conn) moves() bool { return c.inFlight && c.repeats == nil && c.call.kind != read }

// write makes k the request of c. The choice of accounts depends on the seed
// and the number of the request alone.
func (j *job) write(c *conn, k call) {
	r := c.templates[k.kind]
	if r == nil || r.target.width != len(k.id) {
		r = j.payments.request(k.kind, len(k.id))
		c.templates[k.kind] = r
	}
	copy(r.buf[r.target.at:], k.id)
	c.accounts = newRandom(j.seed, streamAccounts, k.number)
	first := k.number * uint64(j.items)
	for i := range r.items {
		n := first + uint64(i)
		source, destination := j.pick(&c.accounts, n)
		r.patch(i, n, source, destination)
	}
	c.call, c.request = k, r
}
