package ledger

import "math"

// Side is one account of a command, lent to the rules for one decision.
type Side struct {
	Account  *Account // nil: there is no such account, or it is a world account
	World    bool     // the world account of Currency: unlimited, never refused
	Currency Currency // of a world account
}

func (s *Side) found() bool { return s.World || s.Account != nil }

func (s *Side) is(status Status) bool { return !s.World && s.Account.Status == status }

func (s *Side) holds(c Currency) bool {
	if s.World {
		return s.Currency == c
	}
	return s.Account.Currency == c
}

// Decide executes a command that moves, reserves or releases money. The caller
// has set rec's Seq, Time, Command, Raw and, for a command OnPayment, Payment
// (nil when there is none), and lends the accounts of the payment. An accepted
// command changes the accounts and the payment in place; a refused one changes
// nothing but rec.
//
// The checks run in the API's order of precedence: not found, closed, frozen,
// currency, same account, state of the payment, conditions, bounds of the
// amount, funds.
func Decide(rec *Record, src, dst Side) {
	switch rec.Command.Kind {
	case Pay, Authorize:
		decidePay(rec, &src, &dst)
	case Capture:
		decideCapture(rec, &src, &dst)
	case Refund:
		decideRefund(rec, &src, &dst)
	case Void, Expire:
		decideRelease(rec, &src, &dst)
	default:
		panic("ledger: Decide on " + rec.Command.Kind.String())
	}
}

func decidePay(rec *Record, src, dst *Side) {
	c := &rec.Command
	switch {
	case rec.refusedSides(src, dst, SourceParty, DestinationParty):
		return
	case !src.holds(c.Currency):
		rec.refuse(CurrencyMismatch, SourceParty)
		return
	case !dst.holds(c.Currency):
		rec.refuse(CurrencyMismatch, DestinationParty)
		return
	case string(c.Source) == string(c.Destination):
		rec.refuse(SameAccount, DestinationParty)
		return
	case rec.refusedConditions(src):
		return
	case rec.refusedFunds(src, dst, SourceParty, DestinationParty, c.Amount):
		return
	}
	rec.Amount = c.Amount
	if c.Kind == Pay {
		rec.State = PaymentState{Captured: c.Amount, Status: Captured}
		rec.move(src, dst, c.Amount)
		return
	}
	rec.State = PaymentState{Held: c.Amount, Status: Authorized}
	rec.hold(src, dst, c.Amount)
}

func decideCapture(rec *Record, src, dst *Side) {
	p := rec.Payment
	if p == nil {
		rec.refuse(PaymentNotFound, NoParty)
		return
	}
	amount := rec.Command.Amount
	if amount == 0 {
		amount = p.State.Held
	}
	switch {
	case rec.refusedSides(src, dst, SourceParty, DestinationParty):
		return
	case !p.open(rec.Time):
		rec.refuse(PaymentNotOpen, NoParty)
		return
	case amount > p.State.Held:
		rec.refuseFor(AmountExceedsAuthorized, NoParty, p.State.Held, amount)
		return
	case !dst.takes(amount):
		rec.refuse(BalanceOverflow, DestinationParty)
		return
	}
	released := amount
	if rec.Command.Final {
		released = p.State.Held
	}
	p.State.Held -= released
	p.State.Captured += amount
	p.State.settle(Captured)
	rec.Amount, rec.State = amount, p.State
	src.release(released)
	rec.move(src, dst, amount)
}

func decideRefund(rec *Record, src, dst *Side) {
	p := rec.Payment
	if p == nil {
		rec.refuse(PaymentNotFound, NoParty)
		return
	}
	amount := rec.Command.Amount
	if amount == 0 {
		amount = p.State.Refundable()
	}
	switch {
	case rec.refusedSides(dst, src, DestinationParty, SourceParty):
		return
	case p.State.Refundable() == 0:
		rec.refuse(PaymentNotRefundable, NoParty)
		return
	case amount > p.State.Refundable():
		rec.refuseFor(AmountExceedsCaptured, NoParty, p.State.Refundable(), amount)
		return
	case rec.refusedFunds(dst, src, DestinationParty, SourceParty, amount):
		return
	}
	p.State.Refunded += amount
	p.State.settle(p.State.Status)
	rec.Amount, rec.State = amount, p.State
	rec.move(dst, src, amount)
	rec.Source, rec.Destination = rec.Destination, rec.Source
}

// decideRelease gives back what is still held. It debits nothing, so a frozen
// account can have its money released; a closed one holds none.
func decideRelease(rec *Record, src, dst *Side) {
	p := rec.Payment
	status := Voided
	if rec.Command.Kind == Expire {
		status = Expired
	}
	switch {
	case p == nil:
		rec.refuse(PaymentNotFound, NoParty)
		return
	case p.State.Held == 0, status == Voided && !p.open(rec.Time):
		rec.refuse(PaymentNotOpen, NoParty)
		return
	}
	rec.Amount = p.State.Held
	p.State.Held = 0
	p.State.settle(status)
	rec.State = p.State
	src.release(rec.Amount)
	rec.Source = src.post(rec)
	rec.Destination = dst.leg()
}

// refusedSides checks what every movement from debited to credited needs of the
// two accounts themselves.
func (r *Record) refusedSides(debited, credited *Side, debit, credit Party) bool {
	first, second := debited, credited
	one, two := debit, credit
	if debit == DestinationParty { // name the source first, whichever way the money goes
		first, second, one, two = credited, debited, credit, debit
	}
	switch {
	case !first.found():
		r.refuse(AccountNotFound, one)
	case !second.found():
		r.refuse(AccountNotFound, two)
	case first.is(Closed):
		r.refuse(AccountClosed, one)
	case second.is(Closed):
		r.refuse(AccountClosed, two)
	case debited.is(Frozen):
		r.refuse(AccountFrozen, debit)
	default:
		return false
	}
	return true
}

func (r *Record) refusedConditions(src *Side) bool {
	c := &r.Command
	var version int64 // a world account has none
	if !src.World {
		version = int64(src.Account.Version)
	}
	switch {
	case c.SourceVersion.Set && version != c.SourceVersion.Value:
		r.refuseFor(VersionMismatch, SourceParty, version, c.SourceVersion.Value)
	case c.MinAvailableAfter.Set && !src.World && !src.Account.leaves(c.Amount, c.MinAvailableAfter.Value):
		r.refuseFor(ConditionFailed, SourceParty, src.Account.Available().Clamp(), c.MinAvailableAfter.Value)
	default:
		return false
	}
	return true
}

// refusedFunds checks that amount can leave debited, and fits into credited.
func (r *Record) refusedFunds(debited, credited *Side, debit, credit Party, amount int64) bool {
	if !credited.takes(amount) {
		r.refuse(BalanceOverflow, credit)
		return true
	}
	if debited.World {
		return false
	}
	a := debited.Account
	if r.Command.Kind == Authorize && a.Held > math.MaxInt64-amount {
		r.refuse(BalanceOverflow, debit)
		return true
	}
	switch code := a.spend(amount); code {
	case OK:
		return false
	case InsufficientFunds:
		r.refuseFor(code, debit, a.Available().Clamp(), amount)
	default:
		r.refuse(code, debit)
	}
	return true
}

func (r *Record) refuse(code Code, party Party) { r.Code, r.Party = code, party }

func (r *Record) refuseFor(code Code, party Party, have, need int64) {
	r.Code, r.Party, r.Have, r.Need = code, party, have, need
}

// move posts amount from one side to the other and fills both legs.
func (r *Record) move(from, to *Side, amount int64) {
	if !from.World {
		from.Account.Posted -= amount
	}
	if !to.World {
		to.Account.Posted += amount
	}
	r.Source = from.post(r)
	r.Destination = to.post(r)
}

// hold reserves amount of src and fills both legs; dst does not change yet.
func (r *Record) hold(src, dst *Side, amount int64) {
	if !src.World {
		src.Account.Held += amount
	}
	r.Source = src.post(r)
	r.Destination = dst.leg()
}

func (s *Side) release(amount int64) {
	if !s.World {
		s.Account.Held -= amount
	}
}

func (s *Side) takes(amount int64) bool { return s.World || s.Account.takes(amount) }

// post makes rec the newest posting of the account and returns its leg.
func (s *Side) post(rec *Record) Leg {
	if s.World { // the chain of a world account is kept where its total is
		return Leg{World: true, Moved: true}
	}
	a := s.Account
	prev := a.LastSeq
	a.LastSeq = rec.Seq
	a.Postings++
	a.Version++
	a.UpdatedAt = rec.Time
	l := s.leg()
	l.Moved, l.Prev, l.Ordinal = true, prev, a.Postings
	return l
}

// leg describes the account as it is, without a posting.
func (s *Side) leg() Leg {
	if s.World {
		return Leg{World: true}
	}
	if s.Account == nil {
		return Leg{}
	}
	a := s.Account
	return Leg{
		Account:   a.Number,
		Posted:    a.Posted,
		Held:      a.Held,
		Limit:     a.Limit,
		Unlimited: a.Unlimited,
		Version:   a.Version,
	}
}
