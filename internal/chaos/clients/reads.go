package clients

import "slices"

// readSpans places the answered reads in the ledger's order. Those that show what
// never was are named, and left out.
func (k *check) readSpans() (spans []span) {
	for _, o := range k.ops {
		if !o.kind.reads() || o.answer == nil {
			continue
		}
		s := span{o, o.call, o.ret, 0, noSeq}
		fits := false
		switch {
		case o.answer.account != nil:
			fits = s.sees(k.states[o.account], o.answer.account.state)
		case o.answer.accounts != nil:
			fits = k.placeList(&s)
		case o.answer.payment != nil:
			fits = k.placePayment(&s)
		case o.answer.code() == "account_not_found": // as a node says that begins anew
			fits = s.before(k.states[o.account])
		}
		switch {
		case !fits:
			k.add(faultNeverWas, "%s %s: %v", o, o.path, o.answer)
		case s.low >= s.high:
			k.add(faultTorn, "%s %s: %v", o, o.path, o.answer)
		default:
			spans = append(spans, s)
		}
	}
	return spans
}

// sees narrows s to where an account's history has the state that was read, and
// reports whether it has it.
func (s *span) sees(history []moment, read state) bool {
	i := int(read.Version) - 1
	if i < 0 || i >= len(history) || history[i].state != read {
		return false
	}
	s.low = max(s.low, history[i].seq)
	if i+1 < len(history) {
		s.high = min(s.high, history[i+1].seq)
	}
	return true
}

// before narrows s to where an account was not funded yet.
func (s *span) before(history []moment) bool {
	if len(history) > 1 {
		s.high = history[1].seq
	}
	return true
}

// placeList narrows s to where all the accounts of a list were as it shows them.
func (k *check) placeList(s *span) bool {
	if len(s.o.answer.accounts) != len(k.bank.hot) {
		return false
	}
	for _, a := range s.o.answer.accounts {
		if !s.sees(k.states[a.ID], a.state) {
			return false
		}
	}
	return true
}

// placePayment narrows s to where a payment was as it was read.
func (k *check) placePayment(s *span) bool {
	events := k.events[s.o.payment]
	i := slices.IndexFunc(events, func(e event) bool { return e.payment.same(s.o.answer.payment) })
	if i < 0 {
		return false
	}
	s.low = events[i].seq
	if i+1 < len(events) {
		s.high = events[i+1].seq
	}
	return true
}
