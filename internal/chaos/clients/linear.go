package clients

import (
	"time"

	"github.com/anishathalye/porcupine"
)

// porcupineTime bounds the search on one account.
const porcupineTime = 3 * time.Second

// checkLinearizable has porcupine look for an order of the operations on each of
// the accounts that pay to the world only, one that agrees with the clients'
// clocks. What the server says about its order plays no part: neither seq nor
// index. It returns the number of accounts by result; an unknown one is that of a
// search that took too long.
func (k *check) checkLinearizable() map[porcupine.CheckResult]int {
	results := map[porcupine.CheckResult]int{}
	for _, h := range k.bank.holders {
		if !k.bank.isAlone(h.id) {
			continue
		}
		ops := k.touching(h.id)
		result := porcupine.CheckOperationsTimeout(accountModel, ops, porcupineTime)
		results[result]++
		if result == porcupine.Illegal {
			k.add(faultLinearizable, "%s: %d operations", h.id, len(ops))
		}
	}
	return results
}

// accountModel is one account: its state is a balance, its operations are of this
// package.
var accountModel = porcupine.Model{
	Init:  func() any { return state{Version: 1} },
	Step:  func(s, in, _ any) (bool, any) { return s.(state).step(in.(*touch)) },
	Equal: func(a, b any) bool { return a == b },
}

// touch is what an operation says about an account.
type touch struct {
	*operation
	shown  state // the account as the answer shows it: after a command, or as read
	credit bool  // the account gets money
}

// touching lists the operations that say something about an account. One without
// an outcome is among them if it was applied, as if it had been answered at the
// end of time.
func (k *check) touching(id string) (ops []porcupine.Operation) {
	add := func(t *touch) {
		ops = append(ops, porcupine.Operation{ClientId: t.client, Input: t, Call: t.call, Return: t.ret})
	}
	for _, o := range k.ops {
		if o.kind == read && o.account == id && o.answer != nil && o.answer.account != nil {
			add(&touch{operation: o, shown: o.answer.account.state})
		}
	}
	for _, o := range k.commands {
		switch t := (&touch{operation: o}); {
		case o.accepted():
			if t.shows(id, o.answer.payment) {
				add(t)
			}
		case o.answer == nil && o.seq > 0:
			if p := k.shownAfter(o); p != nil && t.shows(id, p) {
				add(t)
			}
		case o.answer != nil && o.answer.problem.Account == id:
			t.shown = state{Posted: o.answer.problem.Available}
			add(t)
		}
	}
	return ops
}

// shows fills in what p shows of the account after a command that is not refused;
// false if that is nothing.
func (t *touch) shows(id string, p *payment) bool {
	switch {
	case p.Source == id && p.SourceBalance != nil:
		t.shown, t.credit = *p.SourceBalance, t.kind == refund
	case p.Destination == id && p.DestinationBalance != nil:
		t.shown, t.credit = *p.DestinationBalance, t.kind != refund
	default:
		return false
	}
	return true
}

// shownAfter is the payment right after a command that was applied without an
// answer.
func (k *check) shownAfter(o *operation) *payment {
	for _, e := range k.events[o.made] {
		if e.seq == o.seq {
			return e.payment
		}
	}
	return nil
}

// step decides whether an operation can follow a state, and what comes after it.
func (s state) step(t *touch) (bool, state) {
	switch {
	case t.kind == read:
		return s == t.shown, s
	case t.answer != nil && t.answer.problem != nil:
		return s.Posted-s.Held == t.shown.Posted && t.answer.problem.Required > s.Posted-s.Held, s
	}
	next := s
	next.Version++
	amount := t.amount
	switch {
	case t.kind == authorize:
		next.Held += amount
	case t.kind == void:
		return t.shown.Held < s.Held && t.shown.Posted == s.Posted && t.shown.Version == next.Version, t.shown
	case amount == 0: // all that is left, which other clients decide, too
		moved := t.shown.Posted > s.Posted == t.credit && t.shown.Posted != s.Posted
		return moved && t.shown.Version == next.Version, t.shown
	case t.credit:
		next.Posted += amount
	default:
		next.Posted -= amount
		if t.kind == capture {
			next.Held -= amount
			if t.final { // and more, if more is held
				next.Held = min(next.Held, t.shown.Held)
			}
		}
	}
	return next == t.shown, next
}
