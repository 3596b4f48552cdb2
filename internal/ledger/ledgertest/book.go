package ledgertest

import "purser/internal/ledger"

// Book executes commands by the real rules, one after another, over plain maps:
// the one thread whose results every other executor must have.
type Book struct {
	Accounts map[string]*ledger.Account
	Metadata map[string]ledger.Metadata
	Payments map[uint64]*ledger.Payment
}

// NewBook returns an empty ledger.
func NewBook() *Book {
	return &Book{
		Accounts: map[string]*ledger.Account{},
		Metadata: map[string]ledger.Metadata{},
		Payments: map[uint64]*ledger.Payment{},
	}
}

// Apply executes one command and returns its record.
func (b *Book) Apply(seq uint64, now ledger.Micros, c *ledger.Command) *ledger.Record {
	rec := &ledger.Record{Seq: seq, Time: now, Command: *c, Raw: ledger.AppendCommand(nil, c)}
	switch {
	case c.Kind < ledger.Pay:
		b.account(rec)
	case c.Kind.OnPayment():
		rec.Payment = b.Payments[c.Payment]
		if rec.Payment == nil {
			ledger.Decide(rec, ledger.Side{}, ledger.Side{})
			break
		}
		ledger.Decide(rec, b.side(rec.Payment.Source), b.side(rec.Payment.Destination))
	default:
		ledger.Decide(rec, b.side(c.Source), b.side(c.Destination))
		if rec.Code == ledger.OK {
			b.Payments[seq] = ledger.PaymentOf(rec)
		}
	}
	return rec
}

func (b *Book) account(rec *ledger.Record) {
	id := string(rec.Command.Source)
	account, exists := b.Accounts[id]
	if !exists {
		account = &ledger.Account{}
	}
	metadata := ledger.DecideAccount(rec, account, b.Metadata[id])
	if rec.Code != ledger.OK {
		return
	}
	b.Accounts[id], b.Metadata[id] = account, metadata
	rec.Account = &ledger.AccountView{Account: *account, ID: []byte(id), Metadata: metadata, Created: !exists}
}

func (b *Book) side(id []byte) ledger.Side {
	if ledger.IsWorld(id) {
		currency, _ := ledger.WorldCurrency(id)
		return ledger.Side{World: true, Currency: currency}
	}
	return ledger.Side{Account: b.Accounts[string(id)]}
}
