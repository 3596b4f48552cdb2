package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"

	"purser/internal/ledger"
)

// view is an account as porcupine's model sees it.
type view struct {
	posted, held, version int64
	frozen                bool
}

func (v *view) available() int64 { return v.posted - v.held }

// touch is the part of an operation that concerns one account.
type touch struct {
	o       *operation
	account string
}

// checkAccounts has porcupine look for an order of each account's operations
// that agrees with the clients' clocks. Seqs, indexes and times of the server
// play no part.
func (h *history) checkAccounts() {
	h.t.Helper()
	model := porcupine.Model{
		Init:  func() any { return view{posted: serialFunds, version: 2} },
		Step:  func(state, input, output any) (bool, any) { return step(state.(view), input.(touch), output.(*answer)) },
		Equal: func(a, b any) bool { return a == b },
	}
	for i := range serialAccounts {
		id := accountName(i)
		ops := h.touching(id)
		if result := porcupine.CheckOperationsTimeout(model, ops, patience); result != porcupine.Ok {
			h.t.Errorf("%s: the history of %d operations is %s", id, len(ops), result)
		}
		// The check must be able to fail: a lost update is no history.
		lost := slices.DeleteFunc(slices.Clone(ops), func(op porcupine.Operation) bool {
			return op.Input.(touch).moves() && op.Call == firstMove(ops).Call
		})
		if result := porcupine.CheckOperationsTimeout(model, lost, patience); result != porcupine.Illegal {
			h.t.Errorf("%s: a history without its first movement is %s", id, result)
		}
	}
}

// touching lists the operations that say something about an account.
func (h *history) touching(id string) (ops []porcupine.Operation) {
	for _, o := range h.ops {
		if !slices.Contains(h.accountsOf(o), id) {
			continue
		}
		ops = append(ops, porcupine.Operation{
			ClientId: o.client, Input: touch{o, id}, Call: o.call, Output: o.answer, Return: o.ret,
		})
	}
	return ops
}

// accountsOf are the accounts that an operation says something about: a refusal
// tells of the one it names, or of the debited one.
func (h *history) accountsOf(o *operation) []string {
	switch {
	case o.read != "":
		return []string{o.read}
	case o.command.Kind == ledger.UpdateAccount:
		return []string{string(o.command.Source)}
	case o.accepted():
		return []string{o.source, o.dest}
	}
	problem := parse[struct{ Account string }](h.t, o.answer.body)
	return []string{problem.Account}
}

func firstMove(ops []porcupine.Operation) *porcupine.Operation {
	for i := range ops {
		if ops[i].Input.(touch).moves() {
			return &ops[i]
		}
	}
	return &porcupine.Operation{}
}

// moves reports whether the operation changed the account's money.
func (x touch) moves() bool {
	o := x.o
	if o.command.Kind < ledger.Pay || !o.accepted() {
		return false
	}
	return x.account == o.source || o.command.Kind != ledger.Authorize && o.command.Kind != ledger.Void
}

// step decides whether an operation can follow a state, and what comes after.
func step(s view, x touch, a *answer) (bool, view) {
	o := x.o
	switch {
	case o.read != "":
		return s == viewOf(&o.account), s
	case o.command.Kind == ledger.UpdateAccount:
		if frozen := o.command.Status == ledger.Frozen; frozen != s.frozen {
			s.frozen = frozen
			s.version++
		}
		return s == viewOf(&o.account), s
	case !o.accepted():
		return s.explains(o, a), s
	}
	return s.move(x)
}

func viewOf(a *account) view {
	return view{posted: a.Posted, held: a.Held, version: a.Version, frozen: a.Status == "frozen"}
}

// move applies an accepted command on a payment. What the answer says of the
// account must be what the request leads to.
func (s view) move(x touch) (bool, view) {
	o := x.o
	shown := o.payment.DestinationBalance
	if x.account == o.source {
		shown = o.payment.SourceBalance
	}
	after := view{posted: shown.Posted, held: shown.Held, version: shown.Version, frozen: s.frozen}
	if !x.moves() {
		return s == after, s
	}
	debited := x.account == o.source && o.command.Kind != ledger.Void
	if o.command.Kind == ledger.Refund {
		debited = x.account == o.dest
	}
	if debited && s.frozen {
		return false, s
	}
	amount := o.command.Amount
	s.version++
	switch kind := o.command.Kind; {
	case kind == ledger.Authorize:
		s.held += amount
	case kind == ledger.Void:
		return after.held < s.held && after.posted == s.posted && after.version == s.version, after
	case amount == 0: // all that is left, which other clients decide, too
		return after.version == s.version && (after.posted < s.posted) == debited, after
	case kind == ledger.Capture && o.command.Final && debited:
		return after.posted == s.posted-amount && after.held <= s.held-amount && after.version == s.version, after
	case kind == ledger.Capture && debited:
		s.posted, s.held = s.posted-amount, s.held-amount
	case debited:
		s.posted -= amount
	default:
		s.posted += amount
	}
	return s == after, after
}

// explains reports whether an account in this state is why a command was
// refused.
func (s view) explains(o *operation, a *answer) bool {
	problem := struct {
		Code, Detail string
		Available    int64 `json:",string"`
		Required     int64 `json:",string"`
	}{}
	if json.Unmarshal([]byte(a.body), &problem) != nil {
		return false
	}
	switch problem.Code {
	case "account_frozen":
		return s.frozen
	case "insufficient_funds":
		return !s.frozen && problem.Available == s.available() && problem.Required > s.available()
	case "version_mismatch":
		want := o.command.SourceVersion.Value
		return !s.frozen && s.version != want && problem.Detail == fmt.Sprintf("version %d, expected %d", s.version, want)
	case "condition_failed":
		floor := o.command.MinAvailableAfter.Value
		return !s.frozen && problem.Available == s.available() && s.available()-o.command.Amount < floor
	}
	return false
}
