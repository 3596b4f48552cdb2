package ledger_test

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

// The rules and an independent model agree on every command of a random log,
// money is neither made nor lost, and every invariant holds after each step.
func TestRulesAgainstModel(t *testing.T) {
	seen := map[ledger.Code]int{}
	rapid.Check(t, func(t *rapid.T) {
		model, book := ledgertest.NewModel(), ledgertest.NewBook()
		for _, step := range ledgertest.Steps(t, 250) {
			before := snapshot(book)
			rec := book.Apply(step.Seq, step.Time, &step.Command)
			want := model.Apply(step.Seq, step.Time, &step.Command)
			if err := want.Compare(rec); err != nil {
				t.Fatalf("command %d, %s: %v", step.Seq, describe(&step.Command), err)
			}
			seen[rec.Code]++
			if rec.Code != ledger.OK && !maps.Equal(before, snapshot(book)) {
				t.Fatalf("command %d, %s: refused, but it changed something", step.Seq, describe(&step.Command))
			}
			checkBooks(t, book, model)
		}
	})
	t.Log(seen)
}

func describe(c *ledger.Command) string {
	return fmt.Sprintf("%s %s -> %s %d of payment %d", c.Kind, c.Source, c.Destination, c.Amount, c.Payment)
}

// snapshot is all state of a book in comparable form.
func snapshot(b *ledgertest.Book) map[string]string {
	all := map[string]string{}
	for id, a := range b.Accounts {
		all[id] = fmt.Sprint(*a, b.Metadata[id])
	}
	for seq, p := range b.Payments {
		all[fmt.Sprint(seq)] = fmt.Sprint(*p)
	}
	return all
}

func checkBooks(t *rapid.T, book *ledgertest.Book, model *ledgertest.Model) {
	if len(book.Accounts) != len(model.Accounts) {
		t.Fatalf("%d accounts, the model has %d", len(book.Accounts), len(model.Accounts))
	}
	held := map[string]int64{}
	for _, p := range book.Payments {
		s := p.State
		if s.Refunded < 0 || s.Refunded > s.Captured || s.Held < 0 || s.Captured > p.Amount-s.Held {
			t.Fatalf("payment %d breaks an invariant: %+v of %d", p.Seq, s, p.Amount)
		}
		if (s.Status == ledger.Authorized) != (s.Held > 0) {
			t.Fatalf("payment %d is %s and holds %d", p.Seq, s.Status, s.Held)
		}
		held[string(p.Source)] += s.Held
	}
	for id, a := range book.Accounts {
		view := ledger.AccountView{Account: *a, ID: []byte(id), Metadata: book.Metadata[id]}
		if err := model.CompareAccount(&view); err != nil {
			t.Fatalf("account %s: %v", id, err)
		}
		free := new(big.Int).Sub(big.NewInt(a.Posted), big.NewInt(a.Held))
		if a.Held < 0 || a.Limit < 0 || free.Cmp(big.NewInt(-math.MaxInt64)) < 0 {
			t.Fatalf("account %s breaks an invariant: %+v", id, *a)
		}
		if a.Held != held[id] {
			t.Fatalf("account %s holds %d, its payments %d", id, a.Held, held[id])
		}
		if a.Status == ledger.Closed && (a.Posted != 0 || a.Held != 0) {
			t.Fatalf("account %s is closed with %d posted and %d held", id, a.Posted, a.Held)
		}
	}
	for _, currency := range []string{"USD", "EUR"} {
		if sum := model.Sum(currency); sum.Sign() != 0 {
			t.Fatalf("the sum of all posted %s is %s", currency, sum)
		}
	}
}

// With no limit ever lowered, no account ever spends more than its limit.
func TestNothingIsSpentBeyondTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		book := ledgertest.NewBook()
		for _, step := range ledgertest.Steps(t, 250) {
			c := step.Command
			if c.Kind == ledger.UpdateAccount && c.Sets&ledger.SetsLimit != 0 {
				continue
			}
			book.Apply(step.Seq, step.Time, &c)
			for id, a := range book.Accounts {
				if !a.Unlimited && a.Available().Negative {
					t.Fatalf("command %d, %s: account %s has %+v available", step.Seq, describe(&c), id, a.Available())
				}
			}
		}
	})
}
