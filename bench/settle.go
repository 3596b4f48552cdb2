package bench

import (
	"bytes"
	"fmt"
	"hash/maphash"
)

// answered settles the request in flight on connection i by its complete reply
// and says what the connection does next. An error ends the run.
func (w *worker) answered(i int, now int64) (action, error) {
	w.turn(now)
	c := w.conns[i]
	w.tally.last = now
	var err error
	if w.answers, err = c.reply.answers(w.answers[:0], len(c.request.items)); err != nil {
		return stop, err
	}
	unknown := c.reply.leavesOpen(c.doubted)
	if unknown {
		w.doubt(c)
	}
	if unknown || w.job.insists && (c.reply.status == statusUnavailable || c.reply.status == statusTooMany) {
		w.countOpen(c, now)
		c.rewind()
		return w.pause(i, now), nil
	}
	switch {
	case w.job.inspect != nil:
		if err := w.job.inspect(c.call.number, &c.reply); err != nil {
			return stop, err
		}
	case c.repeats != nil:
		w.compare(c)
	default:
		w.count(c, now)
	}
	w.measure(c, now)
	if c.doubted {
		w.tally.resolved++
	}
	w.flying--
	c.inFlight, c.free = false, now
	if c.reply.status == statusUnavailable && !w.job.open() {
		return w.pause(i, now), nil
	}
	return w.next(i, now), nil
}

var inProgress = []byte(`"code":"idempotency_in_progress"`)

// leavesOpen reports whether it is still unknown after the reply what became of
// a request. One that may have arrived before (doubted) is settled only by an
// answer that the server remembers: that it was refused now, for overload, says
// nothing about then.
func (r *reply) leavesOpen(doubted bool) bool {
	switch r.status {
	case statusOutcomeUnknown:
		return true
	case statusConflict:
		return doubted && bytes.Contains(r.body, inProgress)
	}
	return doubted && (r.status >= 500 || r.status == statusTooMany)
}

// countOpen notes an answer that settles nothing.
func (w *worker) countOpen(c *conn, now int64) {
	n := uint64(len(w.answers))
	w.window.errors += n
	w.example(w.answers[0])
	if c.repeats != nil {
		return
	}
	w.tally.whole[c.reply.status] += n
	if w.job.measures(now) {
		w.tally.measured[c.reply.status] += n
	}
}

// example keeps the first refusal of each status.
func (w *worker) example(a answer) {
	if w.tally.examples[a.status] == "" {
		w.tally.examples[a.status] = string(a.text[:min(len(a.text), exampleLen)])
	}
}

// measure notes the times of the request in flight, which was just answered. A
// closed loop measures what is answered in the measured time, an open one what
// was to start in it.
func (w *worker) measure(c *conn, now int64) {
	t, k := w.tally, c.call.kind
	w.window.requests++
	w.window.record(now - c.due)
	if w.job.measures(now) {
		t.requests[k]++
		if c.reply.status == statusUnavailable {
			t.refusal.record(now - c.started)
		}
	}
	switch {
	case !w.job.open() && w.job.measures(now):
		t.response[k].record(now - c.due)
	case w.job.open() && w.job.measures(c.due):
		t.response[k].record(now - c.due)
		t.service.record(now - c.started)
	}
}

// count notes what was answered to each payment of the request in flight.
func (w *worker) count(c *conn, now int64) {
	t, k := w.tally, c.call.kind
	measured := w.job.measures(now)
	var accepted uint64
	for _, a := range w.answers {
		t.whole[a.status]++
		if measured {
			t.measured[a.status]++
		}
		if a.replayed {
			t.replayed++
		}
		switch {
		case a.status >= 300:
			w.window.errors++
			w.example(a)
		case !a.replayed || c.doubted: // else it was done before this run
			accepted++
			w.acknowledged(c, a, now)
		}
	}
	if k != read {
		w.window.accepted += accepted
	}
	if measured {
		t.accepted[k] += accepted
	}
	if w.job.duplicates > 0 && k != read && remembered(c.reply.status) {
		w.finished.put(finished{c.call, c.reply.status, fingerprint(&c.reply, w.answers)})
	}
}

// acknowledged notes that the server says it has done something.
func (w *worker) acknowledged(c *conn, a answer, now int64) {
	k := c.call.kind
	if k == read || k == create {
		return
	}
	w.tally.moments.add(now)
	if w.job.verify {
		w.tally.acks.add(k, c.call.id, a.seq)
	}
	switch {
	case k == authorize && w.authorized.values != nil:
		w.authorized.put(string(paymentID(a.text)))
	case k == pay && w.captured.values != nil:
		w.captured.put(string(paymentID(a.text)))
	}
}

// compare holds the answer to a duplicate against the first one. A refusal that
// the server does not remember, for overload for example, says nothing.
func (w *worker) compare(c *conn) {
	d, r := &w.tally.duplicates, &c.reply
	d.Sent++
	if !remembered(r.status) {
		return
	}
	same := r.status == c.repeats.status && fingerprint(r, w.answers) == c.repeats.hash
	for _, a := range w.answers {
		same = same && a.replayed
	}
	if same {
		d.Replayed++
		w.tally.replayed += uint64(len(w.answers))
		return
	}
	d.Wrong++
	if len(d.Examples) < shownDuplicates {
		d.Examples = append(d.Examples, fmt.Sprintf("key %s%s: first status %d, then status %d, replayed %t: %s",
			keyText(w.job.payments.keyPrefix), c.request.keys()[0], c.repeats.status,
			r.status, r.replayed, r.body[:min(len(r.body), exampleLen)]))
	}
}

// remembered reports whether a server gives the answer again to a duplicate.
func remembered(status int) bool {
	switch status {
	case 200, 201, 402, 404, 409, 412, 422:
		return true
	}
	return false
}

// fingerprint stands for an answer: for all bytes of one payment's; for the
// status and seq of each result of a batch, since a replayed result says so.
func fingerprint(r *reply, answers []answer) uint64 {
	if len(answers) == 1 {
		return maphash.Bytes(hashSeed, r.body)
	}
	var h uint64
	for _, a := range answers {
		h = splitmix(h ^ uint64(a.status)<<48 ^ a.seq)
	}
	return h
}

// broken notes that the connection broke and prepares the request in flight,
// if any, for being sent again on the next one.
func (w *worker) broken(c *conn) {
	if c.inFlight && !c.paused {
		w.tally.cut++
		w.doubt(c)
	}
	c.rewind()
}

func (w *worker) doubt(c *conn) {
	if !c.doubted && c.moves() {
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
	if c.moves() {
		w.doubt(c)
		w.tally.unresolved++
		for _, number := range c.request.keys() {
			w.tally.open = append(w.tally.open, doubt{keyText(w.job.payments.keyPrefix) + number, c.call.kind, c.call.id})
		}
	}
	c.inFlight = false
	w.flying--
}

// doubt is a payment, or a later event of one, of which nobody knows whether it
// was made.
type doubt struct {
	key  string
	kind kind
	id   string // of the payment that a later event is about
}
