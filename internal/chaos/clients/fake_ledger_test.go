package clients

import (
	"fmt"
	"slices"
	"time"
)

// lie is something that a fake does wrong.
type lie string

const (
	honest         lie = ""
	lieLost        lie = "a payment is acknowledged and not made"
	lieDoubled     lie = "a payment is made twice"
	lieAgain       lie = "a retry is executed again"
	lieAgainHidden lie = "a retry is executed again, but answered as if not"
	lieReplayBytes lie = "a replay has other bytes"
	lieReuse       lie = "a key is taken for another request"
	lieForgetful   lie = "a key is forgotten"
	lieNotApplied  lie = "503 for what was applied"
	lieOverdraft   lie = "a payment overdraws its account"
	lieRefusal     lie = "a payment is refused without reason"
	lieSkimmed     lie = "a credit is less than its debit"
	lieWorldSum    lie = "the world has lost money"
	lieEarly       lie = "a hold lapses before its time"
	lieStale       lie = "a linearizable read shows the past"
	lieBehind      lie = "a read does not reflect min_index"
	lieNeverWas    lie = "a read shows what never was"
	lieTorn        lie = "a list shows one account as it was before"
	lieNode        lie = "a node lacks an entry"
	lieDigest      lie = "a node has another digest"
)

// digits is seq as ids have it.
func digits(seq uint64) string {
	var b [13]byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = crockford[seq&31]
		seq >>= 5
	}
	return string(b[:])
}

// execute gives o a place in the ledger's order.
func (f *fake) execute(o *operation) reply {
	f.seq++
	source := f.model.accounts[o.source]
	switch {
	case o.kind != pay || source == nil || f.model.accounts[o.destination] == nil || o.source == o.destination || o.floor >= 0:
	case source.lacks(o.amount):
		if f.lying(lieOverdraft) {
			source.unlimited = true
			defer func() { source.unlimited = false }()
		}
	case f.lying(lieRefusal):
		return f.refusal(outcome{code: "insufficient_funds", account: o.source, have: source.available(), required: o.amount})
	case f.lying(lieLost):
		return f.lose(o)
	case f.lying(lieDoubled):
		first := f.apply(o)
		f.seq++
		f.apply(o)
		return first
	}
	return f.apply(o)
}

// apply executes o on the model and keeps the journals.
func (f *fake) apply(o *operation) reply {
	before := contract{}
	if p := f.model.payments[o.payment]; p != nil {
		before = *p
	}
	out := f.model.apply(o, "pay_"+digits(f.seq), f.now)
	if out.payment == nil {
		return f.refusal(out)
	}
	p := out.payment
	amount, way := o.amount, [2]string{"debit", "credit"}
	switch o.kind {
	case capture:
		amount = p.Captured - before.Captured
	case refund:
		amount, way = p.Refunded-before.Refunded, [2]string{"credit", "debit"}
	case void, expire:
		amount, way = before.held, [2]string{"none"}
	case authorize:
		way = [2]string{"none"}
	}
	if o.kind == pay && p.DestinationBalance != nil && f.lying(lieSkimmed) {
		a := f.model.accounts[p.Destination]
		a.Posted--
		f.lost--
		p.DestinationBalance.Posted--
	}
	if p.Source == world && f.lying(lieWorldSum) {
		f.lost++
	}
	f.post(o.kind, p, p.Source, p.Destination, way[0], amount, p.SourceBalance)
	if way[1] != "" {
		f.post(o.kind, p, p.Destination, p.Source, way[1], amount, p.DestinationBalance)
	}
	if o.kind == authorize && o.expiresIn < 60 {
		f.due = append(f.due, p.ID)
	}
	status := 200
	if !o.kind.onPayment() {
		status = 201
	}
	f.shown[p.ID] = f.render(p)
	return reply{status: status, body: f.shown[p.ID]}
}

// post writes an entry into the journal of an account.
func (f *fake) post(k kind, p *payment, id, other, way string, amount int64, after *state) {
	e := map[string]any{
		"seq": f.seq, "payment": p.ID, "kind": k, "direction": way, "amount": fmt.Sprint(amount),
		"posted": nil, "held": nil, "version": nil, "counterparty": other, "created_at": moment3339(f.now),
	}
	if after != nil {
		e["posted"], e["held"], e["version"] = fmt.Sprint(after.Posted), fmt.Sprint(after.Held), after.Version
		f.past[id] = append(f.past[id], *after)
	}
	f.journals[id] = append(f.journals[id], e)
}

func moment3339(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.000000Z")
}

// lose answers as if o were executed, and leaves everything as it is.
func (f *fake) lose(o *operation) reply {
	source, destination := *f.model.accounts[o.source], *f.model.accounts[o.destination]
	out := f.model.apply(o, "pay_"+digits(f.seq), f.now)
	*f.model.accounts[o.source], *f.model.accounts[o.destination] = source, destination
	f.shown[out.payment.ID] = f.render(out.payment)
	return reply{status: 201, body: f.shown[out.payment.ID]}
}

func (f *fake) render(p *payment) string {
	balance := func(s *state) any {
		if s == nil {
			return nil
		}
		return map[string]any{"posted": fmt.Sprint(s.Posted), "held": fmt.Sprint(s.Held), "version": s.Version}
	}
	c := f.model.payments[p.ID]
	fields := map[string]any{
		"id": p.ID, "seq": f.seq, "status": p.Status, "source": p.Source, "destination": p.Destination,
		"amount": fmt.Sprint(p.Amount), "captured": fmt.Sprint(p.Captured), "refunded": fmt.Sprint(p.Refunded),
		"created_at": moment3339(f.now), "expires_at": nil,
		"source_balance": balance(p.SourceBalance), "destination_balance": balance(p.DestinationBalance),
	}
	if c.expires > 0 {
		fields["expires_at"] = moment3339(c.expires)
	}
	return text(fields)
}

var refusalStatus = map[string]int{
	"insufficient_funds": 402, "account_not_found": 404, "payment_not_found": 404, "payment_not_open": 409,
	"payment_not_refundable": 409, "condition_failed": 412,
}

func (f *fake) refusal(out outcome) reply {
	status := refusalStatus[out.code]
	if status == 0 {
		status = 422
	}
	fields := map[string]any{"code": out.code, "request_id": "req_" + digits(f.seq)}
	if out.account != "" {
		fields["account"] = out.account
	}
	if out.required != 0 || out.code == "condition_failed" {
		fields["available"], fields["required"] = fmt.Sprint(out.have), fmt.Sprint(out.required)
	}
	return reply{status: status, body: text(fields)}
}

// lapse ends the holds whose time has come.
func (f *fake) lapse() {
	f.due = slices.DeleteFunc(f.due, func(id string) bool {
		p := f.model.payments[id]
		if p.held > 0 && p.expires > f.now && f.lying(lieEarly) {
			p.expires = f.now
		}
		if p.held > 0 && p.expires <= f.now {
			f.seq++
			f.apply(&operation{kind: expire, intent: intent{payment: id}})
		}
		return p.held == 0
	})
}
