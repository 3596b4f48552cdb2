package ledgertest

import (
	"fmt"
	"math"
	"math/big"

	"purser/internal/ledger"
)

// Model is the ledger as the API describes it, written without looking at the
// rules: unbounded integers, maps, and for each command a list of checks in the
// API's order. It is slow and it never shares code with what it is compared to.
type Model struct {
	Accounts map[string]*Account
	World    map[string]*big.Int // posted of the world accounts, by currency
	Payments map[uint64]*Payment
}

// Account is one account of a Model.
type Account struct {
	Number   uint64
	Currency string
	Posted   *big.Int
	Held     *big.Int
	Limit    *big.Int // nil: unlimited
	Status   string
	Version  int64
	Metadata string
	Created  ledger.Micros
	Updated  ledger.Micros
	LastSeq  uint64
	Postings uint64
}

// Payment is one accepted payment of a Model.
type Payment struct {
	Source, Destination string
	Expires             ledger.Micros
	Status              string
	Captured, Refunded  *big.Int
	Held                *big.Int
}

// Outcome is what the model says about one command.
type Outcome struct {
	Code       ledger.Code
	Party      ledger.Party
	Have, Need *big.Int // nil: 0

	Amount              *big.Int
	Payment             *Payment // a copy, as of right after the command
	Source, Destination *Side
	Created             bool
}

// Side is one account right after an accepted command.
type Side struct {
	World   bool
	Moved   bool
	Prev    uint64
	Account Account // a copy
}

// NewModel returns an empty ledger.
func NewModel() *Model {
	return &Model{
		Accounts: map[string]*Account{},
		World:    map[string]*big.Int{},
		Payments: map[uint64]*Payment{},
	}
}

var (
	maxBalance = big.NewInt(math.MaxInt64)
	minBalance = big.NewInt(-math.MaxInt64)
)

// check is one rule: when it holds, the command is refused.
type check struct {
	refused    func() bool
	code       ledger.Code
	party      ledger.Party
	have, need func() *big.Int
}

func (m *Model) firstRefusal(checks []check) (o Outcome, refused bool) {
	for _, c := range checks {
		if !c.refused() {
			continue
		}
		o = Outcome{Code: c.code, Party: c.party}
		if c.have != nil {
			o.Have, o.Need = c.have(), c.need()
		}
		return o, true
	}
	return Outcome{}, false
}

// Apply executes one command.
func (m *Model) Apply(seq uint64, now ledger.Micros, c *ledger.Command) Outcome {
	switch c.Kind {
	case ledger.CreateAccount:
		return m.create(seq, now, c)
	case ledger.UpdateAccount:
		return m.update(now, c)
	case ledger.Pay, ledger.Authorize:
		return m.pay(seq, now, c)
	case ledger.Capture:
		return m.capture(seq, now, c)
	case ledger.Void, ledger.Expire:
		return m.release(seq, now, c)
	case ledger.Refund:
		return m.refund(seq, now, c)
	}
	panic(fmt.Sprintf("model: kind %d", c.Kind))
}

func limitOf(c *ledger.Command) *big.Int {
	if c.Unlimited {
		return nil
	}
	return big.NewInt(c.Limit)
}

func sameLimit(a, b *big.Int) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Cmp(b) == 0
}

func (m *Model) create(seq uint64, now ledger.Micros, c *ledger.Command) Outcome {
	if a := m.Accounts[string(c.Source)]; a != nil {
		if a.Currency != c.Currency.String() || !sameLimit(a.Limit, limitOf(c)) || a.Metadata != string(c.Metadata) {
			return Outcome{Code: ledger.AccountExists, Party: ledger.SourceParty}
		}
		return Outcome{Source: &Side{Account: *a}}
	}
	a := &Account{
		Number: seq, Currency: c.Currency.String(), Posted: new(big.Int), Held: new(big.Int), Limit: limitOf(c),
		Status: "active", Version: 1, Metadata: string(c.Metadata), Created: now, Updated: now,
	}
	m.Accounts[string(c.Source)] = a
	return Outcome{Created: true, Source: &Side{Account: *a}}
}

func (m *Model) update(now ledger.Micros, c *ledger.Command) Outcome {
	a := m.Accounts[string(c.Source)]
	o, refused := m.firstRefusal([]check{
		{refused: func() bool { return a == nil }, code: ledger.AccountNotFound, party: ledger.SourceParty},
		{refused: func() bool { return a.Status == "closed" }, code: ledger.AccountClosed, party: ledger.SourceParty},
		{
			refused: func() bool { return c.IfVersion.Set && c.IfVersion.Value != a.Version },
			code:    ledger.VersionMismatch, party: ledger.SourceParty,
			have: func() *big.Int { return big.NewInt(a.Version) },
			need: func() *big.Int { return big.NewInt(c.IfVersion.Value) },
		},
		{
			refused: func() bool {
				closes := c.Sets&ledger.SetsStatus != 0 && c.Status == ledger.Closed
				return closes && (a.Posted.Sign() != 0 || a.Held.Sign() != 0)
			},
			code: ledger.AccountNotEmpty, party: ledger.SourceParty,
			have: func() *big.Int { return a.Posted },
			need: func() *big.Int { return a.Held },
		},
	})
	if refused {
		return o
	}
	before := *a
	if c.Sets&ledger.SetsLimit != 0 {
		a.Limit = limitOf(c)
	}
	if c.Sets&ledger.SetsStatus != 0 {
		a.Status = map[ledger.Status]string{1: "active", 2: "frozen", 3: "closed"}[c.Status]
	}
	if c.Sets&ledger.SetsMetadata != 0 {
		a.Metadata = string(c.Metadata)
	}
	if !sameLimit(before.Limit, a.Limit) || before.Status != a.Status || before.Metadata != a.Metadata {
		a.Version++
		a.Updated = now
	}
	return Outcome{Source: &Side{Account: *a}}
}
