package clients

import (
	"cmp"
	"slices"
)

// place is a version of an account: one entry of its journal.
type place struct {
	account string
	version int64
}

// match finds for every acknowledgement its entries and for every entry its
// acknowledgement. It gives each command its seq.
func (k *check) match() {
	claims := map[place][]*operation{}
	for _, o := range k.ops {
		o.commands(func(c *operation) {
			k.commands = append(k.commands, c)
			c.seq, c.at, c.made = 0, 0, ""
			if c.unknown() {
				k.unknown = append(k.unknown, c)
			}
			k.claim(claims, c)
		})
	}
	for _, h := range k.bank.holders {
		k.follow(h, claims)
	}
	for at, left := range claims {
		for _, o := range left {
			k.add(faultLost, "%s as version %d of %s: %s", o, at.version, at.account, o.answer.body)
		}
	}
}

// claim notes the entries that an acknowledgement says there are, and the seq
// that an answer has.
func (k *check) claim(claims map[place][]*operation, o *operation) {
	switch {
	case o.answer == nil:
		return
	case o.answer.problem != nil:
		seq, ok := o.answer.problem.refusalSeq()
		if !ok {
			k.add(faultOutcome, "%s: a refusal without its place: %v", o, o.answer)
		}
		o.seq = seq
		return
	case !o.kind.onPayment():
		o.seq = o.answer.payment.Seq
	}
	p := o.answer.payment
	stake := func(id string, s *state) {
		if s == nil {
			return
		}
		at := place{id, s.Version}
		claims[at] = append(claims[at], o)
	}
	stake(p.Source, p.SourceBalance)
	if o.kind != authorize && o.kind != void { // which leave the destination as it is
		stake(p.Destination, p.DestinationBalance)
	}
}

// follow goes along the journal of an account.
func (k *check) follow(h holder, claims map[place][]*operation) {
	now := state{Version: 1}
	states := []moment{{state: now}}
	var last entry
	for i := range k.books.journals[h.id] {
		e := &k.books.journals[h.id][i]
		if !e.follows(now) || e.Seq <= last.Seq {
			k.add(faultChain, "%s: %+v after %+v", h.id, *e, last)
		}
		if !h.unlimited && e.Posted+h.limit < e.Held {
			k.add(faultOverdrawn, "%s with overdraft limit %d: %+v", h.id, h.limit, *e)
		}
		o := claimant(claims, place{h.id, e.Version}, e)
		if o == nil {
			o = k.unclaimed(h.id, e)
		}
		if o != nil {
			k.assign(h.id, o, e)
		}
		now, last = e.state, *e
		states = append(states, moment{now, e.Seq})
	}
	k.states[h.id] = states
}

// claimant takes the acknowledgement of e out of those that claim its place: the
// one of the same payment and, if it is known, the same seq.
func claimant(claims map[place][]*operation, at place, e *entry) *operation {
	i := slices.IndexFunc(claims[at], func(o *operation) bool {
		return o.kind == e.Kind && o.answer.payment.ID == e.Payment && (o.seq == 0 || o.seq == e.Seq)
	})
	if i < 0 {
		return nil
	}
	o := claims[at][i]
	if claims[at] = slices.Delete(claims[at], i, i+1); len(claims[at]) == 0 {
		delete(claims, at)
	}
	return o
}

// follows reports whether e can come after a balance.
func (e *entry) follows(s state) bool {
	posted, held := s.Posted, s.Held
	switch e.Kind {
	case pay, refund, capture:
		if e.Direction == "debit" {
			posted -= e.Amount
		} else {
			posted += e.Amount
		}
	case authorize:
		held += e.Amount
	case void, expire:
		held -= e.Amount
	}
	if e.Kind == capture && e.Direction == "debit" {
		held = min(e.Held, held-e.Amount) // a final one releases more
	}
	return e.Version == s.Version+1 && e.Posted == posted && e.Held == held && e.Held >= 0
}

// unclaimed finds the command of an entry that no acknowledgement tells of: one
// without an outcome, or the ledger's own; nil if there is none.
func (k *check) unclaimed(id string, e *entry) *operation {
	if e.Kind == expire {
		o := &operation{kind: expire, intent: intent{payment: e.Payment}, seq: e.Seq, ret: never}
		k.commands = append(k.commands, o)
		return o
	}
	for _, seq := range []uint64{e.Seq, 0} { // first the one whose other entry was met
		for _, o := range k.unknown {
			if o.seq == seq && o.mayBe(id, e) {
				return o
			}
		}
	}
	k.add(faultUnasked, "%s: %+v", id, *e)
	return nil
}

// mayBe reports whether e can be an entry of o in the journal of id.
func (o *operation) mayBe(id string, e *entry) bool {
	if o.kind != e.Kind || o.amount != 0 && o.amount != e.Amount {
		return false
	}
	if o.kind.onPayment() {
		return o.payment == e.Payment
	}
	source, destination := id, e.Counterparty
	if e.Direction == "credit" {
		source, destination = destination, source
	}
	return o.source == source && o.destination == destination
}

// assign makes e an entry of o.
func (k *check) assign(id string, o *operation, e *entry) {
	if o.seq == 0 {
		o.seq = e.Seq
	}
	if o.seq != e.Seq || o.amount != 0 && o.amount != e.Amount {
		k.add(faultMismatch, "%s with seq %d: %s has %+v", o, o.seq, id, *e)
	}
	o.at, o.made = e.Created.UnixMicro(), e.Payment
}

// bySeq sorts the commands whose place is known by it.
func (k *check) bySeq() []*operation {
	placed := slices.DeleteFunc(slices.Clone(k.commands), func(o *operation) bool { return o.seq == 0 })
	slices.SortFunc(placed, func(a, b *operation) int { return cmp.Compare(a.seq, b.seq) })
	return placed
}
