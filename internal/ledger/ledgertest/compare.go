package ledgertest

import (
	"fmt"
	"math/big"

	"purser/internal/ledger"
)

// Compare returns how a record differs from what the model says, or nil.
func (o *Outcome) Compare(rec *ledger.Record) error {
	d := differences{}
	d.equal("code", rec.Code, o.Code)
	d.equal("party", rec.Party, o.Party)
	d.number("have", rec.Have, o.Have)
	d.number("need", rec.Need, o.Need)
	account := rec.Command.Kind == ledger.CreateAccount || rec.Command.Kind == ledger.UpdateAccount
	switch {
	case o.Code != ledger.OK:
		d.equal("account view", rec.Account, (*ledger.AccountView)(nil))
		d.equal("source", rec.Source, ledger.Leg{})
		d.equal("destination", rec.Destination, ledger.Leg{})
		d.equal("amount", rec.Amount, 0)
		d.equal("state", rec.State, ledger.PaymentState{})
	case account && rec.Account == nil:
		d.equal("account view", "none", "one")
	case account:
		d.equal("created", rec.Account.Created, o.Created)
		d.equal("id", string(rec.Account.ID), string(rec.Command.Source))
		d.account(rec.Account, &o.Source.Account)
	default:
		d.number("amount", rec.Amount, o.Amount)
		d.equal("status", rec.State.Status.String(), o.Payment.Status)
		d.number("captured", rec.State.Captured, o.Payment.Captured)
		d.number("refunded", rec.State.Refunded, o.Payment.Refunded)
		d.number("held of the payment", rec.State.Held, o.Payment.Held)
		d.leg("source", &rec.Source, o.Source)
		d.leg("destination", &rec.Destination, o.Destination)
	}
	return d.err
}

// CompareAccount returns how an account differs from the model's of the same id.
func (m *Model) CompareAccount(v *ledger.AccountView) error {
	a := m.Accounts[string(v.ID)]
	if a == nil {
		return fmt.Errorf("account %q: the model has none", v.ID)
	}
	d := differences{}
	d.account(v, a)
	return d.err
}

// Sum returns the sum of posted of one currency, the world included.
func (m *Model) Sum(currency string) *big.Int {
	sum := new(big.Int)
	for _, a := range m.Accounts {
		if a.Currency == currency {
			sum.Add(sum, a.Posted)
		}
	}
	if w := m.World[currency]; w != nil {
		sum.Add(sum, w)
	}
	return sum
}

// differences keeps the first one.
type differences struct{ err error }

func (d *differences) equal(what string, got, want any) {
	if d.err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
		d.err = fmt.Errorf("%s is %v, want %v", what, got, want)
	}
}

func (d *differences) number(what string, got int64, want *big.Int) {
	if want == nil {
		want = new(big.Int)
	}
	d.equal(what, got, want)
}

func (d *differences) leg(what string, got *ledger.Leg, want *Side) {
	d.equal(what+" is world", got.World, want.World)
	d.equal(what+" moved", got.Moved, want.Moved)
	d.equal(what+" prev", got.Prev, want.Prev)
	if want.World {
		d.equal(what+" version", got.Version, 0)
		return
	}
	a := &want.Account
	d.equal(what+" number", got.Account, a.Number)
	d.number(what+" posted", got.Posted, a.Posted)
	d.number(what+" held", got.Held, a.Held)
	d.equal(what+" unlimited", got.Unlimited, a.Limit == nil)
	d.number(what+" limit", got.Limit, a.Limit)
	d.equal(what+" version", got.Version, a.Version)
	if want.Moved {
		d.equal(what+" ordinal", got.Ordinal, a.Postings)
	}
}

func (d *differences) account(got *ledger.AccountView, want *Account) {
	d.equal("number", got.Number, want.Number)
	d.equal("currency", got.Currency, want.Currency)
	d.number("posted", got.Posted, want.Posted)
	d.number("held", got.Held, want.Held)
	d.equal("unlimited", got.Unlimited, want.Limit == nil)
	d.number("limit", got.Limit, want.Limit)
	d.equal("status", got.Status, want.Status)
	d.equal("version", got.Version, want.Version)
	d.equal("metadata", string(got.Metadata), want.Metadata)
	d.equal("created at", got.CreatedAt, want.Created)
	d.equal("updated at", got.UpdatedAt, want.Updated)
	d.equal("newest posting", got.LastSeq, want.LastSeq)
	d.equal("postings", got.Postings, want.Postings)
}
