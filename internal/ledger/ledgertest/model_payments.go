package ledgertest

import (
	"math/big"

	"purser/internal/ledger"
)

// end is one account of a payment, seen by the model's checks.
type end struct {
	party ledger.Party
	id    string
	world string // currency of a world account, else empty
	*Account
}

func (m *Model) end(id string, party ledger.Party) *end {
	e := &end{party: party, id: id}
	if c, ok := ledger.WorldCurrency([]byte(id)); ok {
		e.world = c.String()
		return e
	}
	e.Account = m.Accounts[id]
	return e
}

func (e *end) missing() bool { return e.world == "" && e.Account == nil }

func (e *end) status(s string) bool { return e.world == "" && e.Status == s }

func (e *end) currency() string {
	if e.world != "" {
		return e.world
	}
	return e.Currency
}

// free is posted - held.
func (e *end) free() *big.Int { return new(big.Int).Sub(e.Posted, e.Held) }

// clamped is what is available, in the range of an int64.
func (e *end) clamped() *big.Int {
	v := e.free()
	if e.Limit != nil {
		v.Add(v, e.Limit)
	}
	if v.Cmp(maxBalance) > 0 {
		return maxBalance
	}
	return v
}

func (e *end) notFound() check {
	return check{refused: e.missing, code: ledger.AccountNotFound, party: e.party}
}

func (e *end) closed() check {
	return check{refused: func() bool { return e.status("closed") }, code: ledger.AccountClosed, party: e.party}
}

func (e *end) frozen() check {
	return check{refused: func() bool { return e.status("frozen") }, code: ledger.AccountFrozen, party: e.party}
}

func (e *end) otherCurrency(c ledger.Currency) check {
	return check{
		refused: func() bool { return e.currency() != c.String() },
		code:    ledger.CurrencyMismatch, party: e.party,
	}
}

// full: a credit would leave the range of a balance.
func (e *end) full(amount *big.Int) check {
	return check{refused: func() bool {
		return e.world == "" && new(big.Int).Add(e.Posted, amount).Cmp(maxBalance) > 0
	}, code: ledger.BalanceOverflow, party: e.party}
}

// heldFull: a further hold would leave the range of what is held.
func (e *end) heldFull(amount *big.Int) check {
	return check{refused: func() bool {
		return e.world == "" && new(big.Int).Add(e.Held, amount).Cmp(maxBalance) > 0
	}, code: ledger.BalanceOverflow, party: e.party}
}

// poor: there is not enough to spend.
func (e *end) poor(amount *big.Int) check {
	return check{
		refused: func() bool {
			if e.world != "" || e.Limit == nil {
				return false
			}
			return new(big.Int).Add(e.free(), e.Limit).Cmp(amount) < 0
		},
		code: ledger.InsufficientFunds, party: e.party,
		have: e.clamped, need: func() *big.Int { return amount },
	}
}

// empty: an account without a limit would leave the range of a balance.
func (e *end) empty(amount *big.Int) check {
	return check{refused: func() bool {
		return e.world == "" && e.Limit == nil && new(big.Int).Sub(e.free(), amount).Cmp(minBalance) < 0
	}, code: ledger.BalanceOverflow, party: e.party}
}

func (m *Model) pay(seq uint64, now ledger.Micros, c *ledger.Command) Outcome {
	src := m.end(string(c.Source), ledger.SourceParty)
	dst := m.end(string(c.Destination), ledger.DestinationParty)
	amount := big.NewInt(c.Amount)
	version := func() *big.Int {
		if src.world != "" {
			return new(big.Int)
		}
		return big.NewInt(src.Version)
	}
	checks := []check{
		src.notFound(), dst.notFound(), src.closed(), dst.closed(), src.frozen(),
		src.otherCurrency(c.Currency), dst.otherCurrency(c.Currency),
		{refused: func() bool { return src.id == dst.id }, code: ledger.SameAccount, party: ledger.DestinationParty},
		{
			refused: func() bool {
				return c.SourceVersion.Set && version().Cmp(big.NewInt(c.SourceVersion.Value)) != 0
			},
			code: ledger.VersionMismatch, party: ledger.SourceParty,
			have: version, need: func() *big.Int { return big.NewInt(c.SourceVersion.Value) },
		},
		{
			refused: func() bool {
				if !c.MinAvailableAfter.Set || src.world != "" || src.Limit == nil {
					return false
				}
				left := new(big.Int).Add(src.free(), src.Limit)
				return left.Sub(left, amount).Cmp(big.NewInt(c.MinAvailableAfter.Value)) < 0
			},
			code: ledger.ConditionFailed, party: ledger.SourceParty,
			have: src.clamped, need: func() *big.Int { return big.NewInt(c.MinAvailableAfter.Value) },
		},
		dst.full(amount),
	}
	if c.Kind == ledger.Authorize {
		checks = append(checks, src.heldFull(amount))
	}
	if o, refused := m.firstRefusal(append(checks, src.poor(amount), src.empty(amount))); refused {
		return o
	}
	p := &Payment{Source: src.id, Destination: dst.id, Captured: new(big.Int), Refunded: new(big.Int), Held: new(big.Int)}
	m.Payments[seq] = p
	if c.Kind == ledger.Pay {
		p.Captured, p.Status = amount, "captured"
		return m.moved(amount, p, m.post(src, seq, now, sub, amount, nil), m.post(dst, seq, now, add, amount, nil))
	}
	p.Held, p.Status = amount, "authorized"
	p.Expires = now + ledger.Micros(c.ExpiresIn)*1_000_000
	return m.moved(amount, p, m.post(src, seq, now, nil, nil, amount), m.look(dst))
}

func (m *Model) capture(seq uint64, now ledger.Micros, c *ledger.Command) Outcome {
	p := m.Payments[c.Payment]
	if p == nil {
		return Outcome{Code: ledger.PaymentNotFound}
	}
	src, dst := m.end(p.Source, ledger.SourceParty), m.end(p.Destination, ledger.DestinationParty)
	amount := big.NewInt(c.Amount)
	if c.Amount == 0 {
		amount = p.Held
	}
	o, refused := m.firstRefusal([]check{
		src.notFound(), dst.notFound(), src.closed(), dst.closed(), src.frozen(),
		{refused: func() bool { return p.Held.Sign() == 0 || now >= p.Expires }, code: ledger.PaymentNotOpen},
		{
			refused: func() bool { return amount.Cmp(p.Held) > 0 }, code: ledger.AmountExceedsAuthorized,
			have: func() *big.Int { return p.Held }, need: func() *big.Int { return amount },
		},
		dst.full(amount),
	})
	if refused {
		return o
	}
	released := amount
	if c.Final {
		released = p.Held
	}
	p.Held = new(big.Int).Sub(p.Held, released)
	p.Captured = new(big.Int).Add(p.Captured, amount)
	p.Status = "captured"
	if p.Held.Sign() > 0 {
		p.Status = "authorized"
	} else if p.Captured.Cmp(p.Refunded) == 0 {
		p.Status = "refunded"
	}
	return m.moved(amount, p,
		m.post(src, seq, now, sub, amount, new(big.Int).Neg(released)), m.post(dst, seq, now, add, amount, nil))
}

func (m *Model) release(seq uint64, now ledger.Micros, c *ledger.Command) Outcome {
	p := m.Payments[c.Payment]
	if p == nil {
		return Outcome{Code: ledger.PaymentNotFound}
	}
	overdue := c.Kind == ledger.Void && now >= p.Expires
	if p.Held.Sign() == 0 || overdue {
		return Outcome{Code: ledger.PaymentNotOpen}
	}
	released := p.Held
	p.Held = new(big.Int)
	switch {
	case p.Captured.Sign() == 0 && c.Kind == ledger.Void:
		p.Status = "voided"
	case p.Captured.Sign() == 0:
		p.Status = "expired"
	case p.Captured.Cmp(p.Refunded) == 0:
		p.Status = "refunded"
	default:
		p.Status = "captured"
	}
	src, dst := m.end(p.Source, ledger.SourceParty), m.end(p.Destination, ledger.DestinationParty)
	return m.moved(released, p, m.post(src, seq, now, nil, nil, new(big.Int).Neg(released)), m.look(dst))
}

func (m *Model) refund(seq uint64, now ledger.Micros, c *ledger.Command) Outcome {
	p := m.Payments[c.Payment]
	if p == nil {
		return Outcome{Code: ledger.PaymentNotFound}
	}
	src, dst := m.end(p.Source, ledger.SourceParty), m.end(p.Destination, ledger.DestinationParty)
	left := new(big.Int).Sub(p.Captured, p.Refunded)
	amount := big.NewInt(c.Amount)
	if c.Amount == 0 {
		amount = left
	}
	o, refused := m.firstRefusal([]check{
		src.notFound(), dst.notFound(), src.closed(), dst.closed(), dst.frozen(),
		{refused: func() bool { return left.Sign() == 0 }, code: ledger.PaymentNotRefundable},
		{
			refused: func() bool { return amount.Cmp(left) > 0 }, code: ledger.AmountExceedsCaptured,
			have: func() *big.Int { return left }, need: func() *big.Int { return amount },
		},
		src.full(amount), dst.poor(amount), dst.empty(amount),
	})
	if refused {
		return o
	}
	p.Refunded = new(big.Int).Add(p.Refunded, amount)
	if p.Held.Sign() == 0 && p.Captured.Cmp(p.Refunded) == 0 {
		p.Status = "refunded"
	}
	return m.moved(amount, p,
		m.post(src, seq, now, add, amount, nil), m.post(dst, seq, now, sub, amount, nil))
}

var (
	add = func(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }
	sub = func(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) }
)

// post changes an account: posted by op(amount) if op is not nil, held by held if
// that is not nil.
func (m *Model) post(e *end, seq uint64, now ledger.Micros, op func(a, b *big.Int) *big.Int, amount, held *big.Int) *Side {
	if e.world != "" {
		total := m.World[e.world]
		if total == nil {
			total = new(big.Int)
		}
		if op != nil {
			m.World[e.world] = op(total, amount)
		}
		return &Side{World: true, Moved: true}
	}
	if op != nil {
		e.Posted = op(e.Posted, amount)
	}
	if held != nil {
		e.Held = add(e.Held, held)
	}
	prev := e.LastSeq
	e.LastSeq = seq
	e.Postings++
	e.Version++
	e.Updated = now
	return &Side{Moved: true, Prev: prev, Account: *e.Account}
}

// look describes an account that a command does not change.
func (m *Model) look(e *end) *Side {
	if e.world != "" {
		return &Side{World: true}
	}
	return &Side{Account: *e.Account}
}

func (m *Model) moved(amount *big.Int, p *Payment, src, dst *Side) Outcome {
	after := *p
	return Outcome{Amount: amount, Payment: &after, Source: src, Destination: dst}
}
