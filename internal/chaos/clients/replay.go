package clients

import "time"

// replay executes the commands in the ledger's order on the model and compares
// what the model says with what the clients were told.
func (k *check) replay() {
	ordered := k.bySeq()
	k.checkPlaces(ordered)
	now := k.clock(ordered)
	m := newModel(k.bank.holders)
	due := map[uint64]*operation{} // entries of the world
	for i, o := range ordered {
		id := ""
		if o.accepted() {
			id = o.answer.payment.ID
		} else if o.answer == nil {
			id = o.made
		}
		out := m.apply(o, id, now[i])
		k.compare(o, &out)
		if out.payment == nil {
			continue
		}
		p := out.payment
		k.events[p.ID] = append(k.events[p.ID], event{p, o.seq})
		if (p.Source == world || p.Destination == world) && (o.kind == pay || o.kind == capture || o.kind == refund) {
			due[o.seq] = o
		}
	}
	k.matchWorld(due)
}

// checkPlaces looks for places that two commands claim, and for places that none
// does: something that was executed and that nobody asked for. What was sent while
// accounts were created, by commands that show no place, is left out.
func (k *check) checkPlaces(ordered []*operation) {
	spare, first := k.placeless()
	for i := 1; i < len(ordered); i++ {
		last, o := ordered[i-1], ordered[i]
		if o.seq == last.seq {
			k.add(faultDoubled, "seq %d: %s and %s", o.seq, last, o)
			continue
		}
		if last.seq < first {
			continue
		}
		spare -= int(o.seq - last.seq - 1)
		if spare < 0 {
			k.add(faultGap, "between seq %d and seq %d", last.seq, o.seq)
			spare = 0
		}
	}
}

// placeless returns how many commands there may be that show no place, from the
// first seq on that was called when all accounts had been created: late tries to
// create one, and refusals without an answer.
func (k *check) placeless() (spare int, first uint64) {
	var created int64
	for _, o := range k.ops {
		if o.kind == create {
			created = max(created, o.ret)
			if o.doubtful {
				spare += len(o.tries) - 1
			}
		}
	}
	first = noSeq
	for _, o := range k.commands {
		switch {
		case o.seq > 0 && o.call > created:
			first = min(first, o.seq)
		case o.seq == 0 && o.unknown():
			spare++
		}
	}
	return spare, first
}

// clock returns the log time at which each command may have been executed. It is
// known where there are entries. A refusal lies between those known before and
// behind it: what is said to be over may be at the late end of that, everything
// else at the early end.
func (k *check) clock(ordered []*operation) []int64 {
	times := make([]int64, len(ordered))
	var last int64
	for i, o := range ordered {
		if o.at != 0 {
			if o.at < last {
				k.add(faultClock, "%s at log time %d, after %d", o, o.at, last)
			}
			last = o.at
		}
		times[i] = last
	}
	next := never
	for i := len(ordered) - 1; i >= 0; i-- {
		o := ordered[i]
		if o.at != 0 {
			next = o.at
		} else if o.answer != nil && o.answer.code() == "payment_not_open" {
			times[i] = next
		}
	}
	return times
}

// compare holds the answer to a command against what the model says.
func (k *check) compare(o *operation, out *outcome) {
	if o.answer == nil { // an applied command without an answer, or the ledger's own
		if out.payment == nil {
			k.add(faultRules, "%s with seq %d: the rules say %s", o, o.seq, out.code)
		}
		return
	}
	if p := o.answer.problem; p != nil {
		switch {
		case out.payment != nil:
			k.add(faultRefusal, "%s with seq %d: %v", o, o.seq, o.answer)
		case p.Code != out.code || p.Account != out.account || p.Available != out.have || p.Required != out.required:
			k.add(faultOutcome, "%s with seq %d: %v, the rules say %+v", o, o.seq, o.answer, *out)
		}
		return
	}
	p := o.answer.payment
	switch {
	case out.payment == nil:
		k.add(faultRules, "%s with seq %d: %v, the rules say %+v", o, o.seq, o.answer, *out)
	case !p.same(out.payment):
		k.add(faultOutcome, "%s with seq %d: %v, the rules say %s", o, o.seq, o.answer, out.payment)
	case o.kind == authorize && p.ExpiresAt.Sub(p.CreatedAt) != time.Duration(o.expiresIn)*time.Second:
		k.add(faultOutcome, "%s with seq %d: expires at %v", o, o.seq, p.ExpiresAt)
	}
}

// same reports whether two answers show the same payment in the same state.
func (p *payment) same(q *payment) bool {
	return p.ID == q.ID && p.Status == q.Status && p.Source == q.Source && p.Destination == q.Destination &&
		p.Amount == q.Amount && p.Captured == q.Captured && p.Refunded == q.Refunded &&
		p.SourceBalance.same(q.SourceBalance) && p.DestinationBalance.same(q.DestinationBalance)
}

func (s *state) same(t *state) bool {
	if s == nil || t == nil {
		return s == t
	}
	return *s == *t
}

// matchWorld holds the world's journal against the commands that are due there.
// Its entries have no versions: their seqs say whose they are.
func (k *check) matchWorld(due map[uint64]*operation) {
	var last uint64
	for i := range k.books.journals[world] {
		e := &k.books.journals[world][i]
		o := due[e.Seq]
		switch {
		case o == nil:
			k.add(faultUnasked, "%s: %+v", world, *e)
		case o.kind != e.Kind || o.amount != 0 && o.amount != e.Amount || e.Seq <= last:
			k.add(faultMismatch, "%s with seq %d: %s has %+v", o, o.seq, world, *e)
		}
		delete(due, e.Seq)
		last = e.Seq
	}
	for _, o := range due {
		k.add(faultLost, "%s with seq %d: not in the journal of %s", o, o.seq, world)
	}
}

// checkTotals compares the balances as they are with the ends of their histories.
func (k *check) checkTotals() {
	for _, h := range k.bank.holders {
		states := k.states[h.id]
		if got, want := k.books.accounts[h.id], states[len(states)-1].state; got != want {
			k.add(faultFinal, "%s is %+v, its journal ends with %+v", h.id, got, want)
		}
	}
	for node, sum := range k.books.sums {
		if sum != 0 {
			k.add(faultSum, "%d at node %d", sum, node)
		}
	}
}
