package clients

import "slices"

// checkRetries holds what was sent again, or asked for by key, against the first
// answers.
func (k *check) checkRetries() {
	for _, o := range append(slices.Clone(k.ops), k.books.repeated...) {
		switch {
		case o.kind == retry && o.answer != nil && !o.answer.repeats(o.of.answer):
			k.add(faultReplay, "%s at node %d: first %v, then, replayed=%t, %v", o, o.lastNode(), o.of.answer, o.answer.replayed, o.answer)
		case o.kind == reuse && o.answer != nil && o.answer.code() != "idempotency_key_reused":
			k.add(faultReuse, "%s: first %v, with another body %v", o, o.of.answer, o.answer)
		}
		o.commands(func(c *operation) {
			if c.found != nil && c.answer != nil && !c.answer.repeats(c.found) {
				k.add(faultResolution, "%s: the key said %v, then, replayed=%t, %v", c, c.found, c.answer.replayed, c.answer)
			}
		})
	}
	for _, r := range k.books.recalled {
		if r.answer == nil || !r.answer.sameAs(r.o.answer) {
			k.add(faultResolution, "%s at node %d: answered %v, remembered %v", r.o, r.node, r.o.answer, r.answer)
		}
	}
	for _, r := range k.books.unasked {
		if r.answer != nil {
			k.add(faultNotApplied, "%s: node %d remembers %v", r.o, r.node, r.answer)
		}
	}
}

// checkPayments requires that payments read at the end show their last event.
func (k *check) checkPayments() {
	for _, r := range k.books.payments {
		events := k.events[r.o.answer.payment.ID]
		if len(events) == 0 || r.answer.payment == nil || !events[len(events)-1].payment.same(r.answer.payment) {
			k.add(faultFinal, "%s: %v at the end of its events", r.o, r.answer)
		}
	}
}

// repeats reports whether a is first again, and says so.
func (a *answer) repeats(first *answer) bool {
	if len(first.results) == 0 {
		return a.replayed && a.sameAs(first)
	}
	if len(a.results) != len(first.results) {
		return false
	}
	for i, item := range a.results {
		if !item.repeats(first.results[i]) {
			return false
		}
	}
	return true
}
