package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

// locate finds the ledger's seq of every command: in a payment's own answer, in
// the request id of a remembered refusal, and for what else moved an account in
// that account's history, by version. Changes of accounts are what is left, in
// the order in which the one operator made them.
func (h *history) locate(c *conn) {
	h.t.Helper()
	at := map[string]map[int64]uint64{} // account, version: seq
	highest := uint64(0)
	for i := range serialAccounts {
		versions := map[int64]uint64{}
		for _, e := range c.entries(accountName(i), "asc") {
			versions[e.Version] = e.Seq
			highest = max(highest, e.Seq)
		}
		at[accountName(i)] = versions
	}
	taken := map[uint64]*operation{}
	var patches []*operation
	for _, o := range h.ops {
		switch {
		case o.read != "":
			continue
		case o.command.Kind == ledger.UpdateAccount:
			patches = append(patches, o)
			continue
		case !o.accepted():
			o.seq = h.refusalSeq(o)
		case o.payment.SourceBalance != nil:
			o.seq = at[o.source][o.payment.SourceBalance.Version]
		default:
			o.seq = at[o.dest][o.payment.DestinationBalance.Version]
		}
		if first := taken[o.seq]; first != nil || o.seq == 0 {
			h.t.Fatalf("seq %d for %s, and for %+v", o.seq, o.answer.body, first)
		}
		taken[o.seq] = o
		highest = max(highest, o.seq)
	}
	slices.SortFunc(patches, func(a, b *operation) int { return cmp.Compare(a.call, b.call) })
	// What created and funded the accounts came first, with the seqs up to base.
	const base = 2 * serialAccounts
	seq := uint64(base)
	for _, o := range patches {
		for seq++; taken[seq] != nil; seq++ {
		}
		o.seq = seq
		highest = max(highest, seq)
	}
	if want := uint64(base + len(taken) + len(patches)); highest != want {
		h.t.Fatalf("the highest seq is %d after %d commands: there is a gap", highest, want)
	}
}

// refusalSeq reads the request id that a remembered refusal carries.
func (h *history) refusalSeq(o *operation) uint64 {
	h.t.Helper()
	id := parse[struct {
		RequestID string `json:"request_id"`
	}](h.t, o.answer.body).RequestID
	digits, ok := strings.CutPrefix(id, "req_")
	seq, err := ledger.ParsePaymentID([]byte("pay_" + digits))
	if !ok || err != nil {
		h.t.Fatalf("a refusal with request id %q: %s", id, o.answer.body)
	}
	return seq
}

// checkRealTime checks that the order of seqs is that of indexes, and that
// nothing is ordered before what was answered before it was asked.
func (h *history) checkRealTime() {
	h.t.Helper()
	commands := slices.DeleteFunc(slices.Clone(h.ops), func(o *operation) bool { return o.seq == 0 })
	slices.SortFunc(commands, func(a, b *operation) int { return cmp.Compare(a.seq, b.seq) })
	for i := 1; i < len(commands); i++ {
		if a, b := commands[i-1], commands[i]; a.index > b.index {
			h.t.Errorf("seq %d has index %d, seq %d has index %d", a.seq, a.index, b.seq, b.index)
		}
	}
	answered := slices.Clone(h.ops)
	slices.SortFunc(answered, func(a, b *operation) int { return cmp.Compare(a.ret, b.ret) })
	asked := slices.Clone(h.ops)
	slices.SortFunc(asked, func(a, b *operation) int { return cmp.Compare(a.call, b.call) })
	var index, seq uint64 // the highest answered so far
	next := 0
	for _, o := range asked {
		for ; answered[next].ret < o.call; next++ {
			index, seq = max(index, answered[next].index), max(seq, answered[next].seq)
		}
		if o.index < index || o.seq != 0 && o.seq < seq {
			h.t.Errorf("index %d, seq %d was asked for when index %d, seq %d was answered", o.index, o.seq, index, seq)
		}
	}
}

// checkModel replays the commands on the naive model and compares every answer,
// and in the end every account.
func (h *history) checkModel(c *conn) {
	h.t.Helper()
	commands := slices.DeleteFunc(slices.Clone(h.ops), func(o *operation) bool { return o.seq == 0 })
	slices.SortFunc(commands, func(a, b *operation) int { return cmp.Compare(a.seq, b.seq) })
	m, err := replay(commands)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := range serialAccounts {
		got, want := c.account(accountName(i)), m.Accounts[accountName(i)]
		if err := sameBalance(&got.balance, want); err != nil || got.Status != want.Status {
			h.t.Errorf("%+v, but the model has %+v: %v", got, want, err)
		}
	}
	if got, want := c.account("world:USD").Posted, m.World["USD"]; big.NewInt(got).Cmp(want) != 0 {
		h.t.Errorf("the world has %d, but the model %d", got, want)
	}
	// The check must be able to fail: two answers swapped are no history.
	for i, o := range commands {
		if o.command.Kind == ledger.Pay && o.accepted() {
			last := commands[len(commands)-1]
			swapped := slices.Clone(commands[:i+1])
			forged := *o
			forged.payment.Amount++
			swapped[i] = &forged
			if _, err := replay(swapped); err == nil {
				h.t.Fatalf("a forged answer passed, of %d up to seq %d", len(commands), last.seq)
			}
			return
		}
	}
	h.t.Fatal("no payment was accepted")
}

// replay executes commands in the given order and returns the first answer that
// is not the model's.
func replay(commands []*operation) (*ledgertest.Model, error) {
	m := ledgertest.NewModel()
	seq := uint64(0)
	for i := range serialAccounts {
		seq++
		m.Apply(seq, ledger.Micros(seq), &ledger.Command{Kind: ledger.CreateAccount, Source: []byte(accountName(i)), Currency: usdCurrency})
		seq++
		m.Apply(seq, ledger.Micros(seq), &ledger.Command{
			Kind: ledger.Pay, Source: []byte("world:USD"), Destination: []byte(accountName(i)),
			Currency: usdCurrency, Amount: serialFunds,
		})
	}
	for _, o := range commands {
		want := m.Apply(o.seq, ledger.Micros(o.seq), &o.command)
		if err := o.compare(&want); err != nil {
			return nil, fmt.Errorf("seq %d, %s: the answer was %d %s; %w", o.seq, o.command.Kind, o.answer.status, o.answer.body, err)
		}
	}
	return m, nil
}

// compare returns how an answer differs from what the model says.
func (o *operation) compare(want *ledgertest.Outcome) error {
	if !o.accepted() {
		return o.compareRefusal(want)
	}
	if want.Code != ledger.OK {
		return fmt.Errorf("the model says %s", want.Code)
	}
	if o.command.Kind == ledger.UpdateAccount {
		if o.account.Status != want.Source.Account.Status {
			return fmt.Errorf("the model says status %s", want.Source.Account.Status)
		}
		return sameBalance(&o.account.balance, &want.Source.Account)
	}
	p := want.Payment
	if o.payment.Status != p.Status || !same(o.payment.Captured, p.Captured) || !same(o.payment.Refunded, p.Refunded) {
		return fmt.Errorf("the model says %s, captured %d, refunded %d", p.Status, p.Captured, p.Refunded)
	}
	first := o.command.Kind == ledger.Pay || o.command.Kind == ledger.Authorize
	if first && !same(o.payment.Amount, want.Amount) {
		return fmt.Errorf("the model says amount %d", want.Amount)
	}
	for _, side := range []struct {
		got  *balance
		want *ledgertest.Side
	}{{o.payment.SourceBalance, want.Source}, {o.payment.DestinationBalance, want.Destination}} {
		if side.want.World != (side.got == nil) {
			return fmt.Errorf("a world account's balance: %+v", side.got)
		}
		if side.got == nil {
			continue
		}
		if err := sameBalance(side.got, &side.want.Account); err != nil {
			return err
		}
	}
	return nil
}

func (o *operation) compareRefusal(want *ledgertest.Outcome) error {
	problem := struct {
		Code, Account       string
		Available, Required json.Number
	}{}
	if err := json.Unmarshal([]byte(o.answer.body), &problem); err != nil {
		return err
	}
	if problem.Code != want.Code.String() {
		return fmt.Errorf("the model says %s", want.Code)
	}
	if problem.Available != "" && (problem.Available.String() != want.Have.String() || problem.Required.String() != want.Need.String()) {
		return fmt.Errorf("the model has %d and needs %d", want.Have, want.Need)
	}
	return nil
}

func same(got int64, want *big.Int) bool { return big.NewInt(got).Cmp(want) == 0 }

func sameBalance(got *balance, want *ledgertest.Account) error {
	free := new(big.Int).Sub(want.Posted, want.Held)
	if !same(got.Posted, want.Posted) || !same(got.Held, want.Held) || got.Version != want.Version || got.Available != free.String() {
		return fmt.Errorf("the model says posted %d, held %d, version %d", want.Posted, want.Held, want.Version)
	}
	return nil
}
