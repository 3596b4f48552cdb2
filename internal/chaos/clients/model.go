package clients

// model is the ledger as the API describes it, as far as these clients use it:
// one currency, accounts that are never frozen or closed, amounts far from the
// limits of an int64.
type model struct {
	accounts map[string]*holding
	payments map[string]*contract
}

// holding is an account.
type holding struct {
	state
	limit     int64
	unlimited bool
}

// contract is an accepted payment.
type contract struct {
	payment       // as answers show it
	held    int64 // minor units
	expires int64 // microseconds of log time, 0 if it never held anything
}

// outcome is what the model says to one command: a refusal with its code, or the
// payment right after the command.
type outcome struct {
	code, account  string
	have, required int64
	payment        *payment
}

func newModel(holders []holder) *model {
	m := &model{accounts: map[string]*holding{}, payments: map[string]*contract{}}
	for _, h := range holders {
		m.accounts[h.id] = &holding{state: state{Version: 1}, limit: h.limit, unlimited: h.unlimited}
	}
	return m
}

func (h *holding) available() int64 { return h.Posted + h.limit - h.Held }

func refused(code, account string) outcome { return outcome{code: code, account: account} }

// apply executes o at log time now. id is that of the payment, for those that
// make one. The checks are in the order of the API's precedence.
func (m *model) apply(o *operation, id string, now int64) outcome {
	if !o.kind.onPayment() {
		return m.pay(o, id, now)
	}
	p := m.payments[o.payment]
	if p == nil {
		return refused("payment_not_found", "")
	}
	switch o.kind {
	case capture:
		return m.capture(o, p, now)
	case refund:
		return m.refund(o, p)
	}
	return m.release(o, p, now)
}

func (m *model) pay(o *operation, id string, now int64) outcome {
	source, destination := m.accounts[o.source], m.accounts[o.destination]
	switch {
	case source == nil && o.source != world:
		return refused("account_not_found", o.source)
	case destination == nil && o.destination != world:
		return refused("account_not_found", o.destination)
	case o.source == o.destination:
		return refused("same_account", o.destination)
	case o.floor >= 0 && source != nil && !source.unlimited && source.available()-o.amount < o.floor:
		return outcome{code: "condition_failed", account: o.source, have: source.available(), required: o.floor}
	case source.lacks(o.amount):
		return outcome{code: "insufficient_funds", account: o.source, have: source.available(), required: o.amount}
	}
	p := &contract{payment: payment{ID: id, Source: o.source, Destination: o.destination, Amount: o.amount}}
	m.payments[id] = p
	if o.kind == pay {
		p.Captured = o.amount
		m.move(o.source, o.destination, o.amount, 0)
	} else {
		p.held, p.expires = o.amount, now+o.expiresIn*1_000_000
		m.hold(o.source, o.amount)
	}
	return m.after(p, "voided")
}

// lacks reports whether amount cannot be spent; the world, nil, lacks nothing.
func (h *holding) lacks(amount int64) bool {
	return h != nil && !h.unlimited && h.available() < amount
}

func (m *model) capture(o *operation, p *contract, now int64) outcome {
	amount := o.amount
	if amount == 0 {
		amount = p.held
	}
	switch {
	case p.held == 0 || now >= p.expires:
		return refused("payment_not_open", "")
	case amount > p.held:
		return outcome{code: "amount_exceeds_authorized", have: p.held, required: amount}
	}
	released := amount
	if o.final {
		released = p.held
	}
	p.held -= released
	p.Captured += amount
	m.move(p.Source, p.Destination, amount, released)
	return m.after(p, "captured")
}

func (m *model) refund(o *operation, p *contract) outcome {
	left := p.Captured - p.Refunded
	amount := o.amount
	if amount == 0 {
		amount = left
	}
	debited := m.accounts[p.Destination]
	switch {
	case left == 0:
		return refused("payment_not_refundable", "")
	case amount > left:
		return outcome{code: "amount_exceeds_captured", have: left, required: amount}
	case debited.lacks(amount):
		return outcome{code: "insufficient_funds", account: p.Destination, have: debited.available(), required: amount}
	}
	p.Refunded += amount
	m.move(p.Destination, p.Source, amount, 0)
	return m.after(p, p.Status)
}

// release ends a hold, by a void or because its time has come.
func (m *model) release(o *operation, p *contract, now int64) outcome {
	late, closed := now >= p.expires, "voided"
	if o.kind == expire {
		late, closed = !late, "expired"
	}
	if p.held == 0 || late {
		return refused("payment_not_open", "")
	}
	m.hold(p.Source, -p.held)
	p.held = 0
	return m.after(p, closed)
}

// move pays from one account to another and gives back what was held for it.
func (m *model) move(from, to string, amount, released int64) {
	if a := m.accounts[from]; a != nil {
		a.Posted, a.Held, a.Version = a.Posted-amount, a.Held-released, a.Version+1
	}
	if a := m.accounts[to]; a != nil {
		a.Posted, a.Version = a.Posted+amount, a.Version+1
	}
}

func (m *model) hold(id string, amount int64) {
	if a := m.accounts[id]; a != nil {
		a.Held, a.Version = a.Held+amount, a.Version+1
	}
}

// after is the outcome of an accepted command on p. closed is the status of a
// payment that holds nothing any more and has captured nothing.
func (m *model) after(p *contract, closed string) outcome {
	switch {
	case p.held > 0:
		p.Status = "authorized"
	case p.Captured == 0:
		p.Status = closed
	case p.Captured == p.Refunded:
		p.Status = "refunded"
	default:
		p.Status = "captured"
	}
	shown := p.payment
	shown.SourceBalance, shown.DestinationBalance = m.balance(p.Source), m.balance(p.Destination)
	return outcome{payment: &shown}
}

func (m *model) balance(id string) *state {
	if a := m.accounts[id]; a != nil {
		s := a.state
		return &s
	}
	return nil
}
