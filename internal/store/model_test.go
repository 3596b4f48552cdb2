package store

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"purser/internal/ledger"
)

var (
	usd = currency("USD")
	eur = currency("EUR")
)

func currency(code string) ledger.Currency {
	c, ok := ledger.ParseCurrency([]byte(code))
	if !ok {
		panic(code)
	}
	return c
}

// model is the part of the server that feeds a store, at its simplest: it
// executes commands one after the other with the domain's rules and remembers
// every record. Tests compare what the store answers with lists over records.
type model struct {
	accounts map[string]*ledger.Account
	payments map[uint64]*ledger.Payment
	worlds   map[ledger.Currency]*ledger.Account // LastSeq and Postings only
	records  []*ledger.Record                    // by seq, from 1 on
	index    uint64
	now      ledger.Micros
	digest   uint64
}

func newModel() *model {
	return &model{
		accounts: map[string]*ledger.Account{},
		payments: map[uint64]*ledger.Payment{},
		worlds:   map[ledger.Currency]*ledger.Account{usd: {}, eur: {}},
		now:      1_700_000_000 * ledger.Second,
	}
}

func (m *model) next() uint64 { return uint64(len(m.records)) + 1 }

// commit executes commands as one entry and commits their rows to s.
func (m *model) commit(t testing.TB, s *Store, commands ...ledger.Command) {
	t.Helper()
	if err := m.write(s, m.execute(commands)); err != nil {
		t.Fatal(err)
	}
}

// execute runs commands as the next entry.
func (m *model) execute(commands []ledger.Command) []*ledger.Record {
	m.index++
	m.now += ledger.Second
	first := len(m.records)
	for i := range commands {
		m.records = append(m.records, m.run(commands[i]))
	}
	return m.records[first:]
}

// write commits the rows of an entry, and chains the digest.
func (m *model) write(s *Store, records []*ledger.Record) error {
	b := s.Begin(m.index, m.now)
	for _, rec := range records {
		b.Add(rec)
	}
	m.digest = b.Digest(m.digest)
	return b.Commit()
}

func (m *model) run(c ledger.Command) *ledger.Record {
	rec := &ledger.Record{Seq: m.next(), Time: m.now, Raw: ledger.AppendCommand(nil, &c)}
	if err := ledger.DecodeCommand(rec.Raw, &rec.Command); err != nil {
		panic(err)
	}
	if c.Kind == ledger.CreateAccount {
		m.open(rec)
		return rec
	}
	source, destination, currency := c.Source, c.Destination, c.Currency
	if p := m.payments[c.Payment]; p != nil {
		clone := *p
		rec.Payment = &clone
		source, destination, currency = p.Source, p.Destination, p.Currency
	}
	ledger.Decide(rec, m.side(source), m.side(destination))
	if rec.Code != ledger.OK {
		return rec
	}
	for _, leg := range []*ledger.Leg{&rec.Source, &rec.Destination} {
		if leg.World && leg.Moved {
			w := m.worlds[currency]
			w.Postings++
			leg.Prev, leg.Ordinal = w.LastSeq, w.Postings
			w.LastSeq = rec.Seq
		}
	}
	if rec.Payment == nil {
		m.payments[rec.Seq] = ledger.PaymentOf(rec)
	} else {
		m.payments[c.Payment] = rec.Payment
	}
	return rec
}

func (m *model) open(rec *ledger.Record) {
	id := string(rec.Command.Source)
	a := m.accounts[id]
	if a == nil {
		a = &ledger.Account{}
	}
	ledger.DecideAccount(rec, a, nil)
	if rec.Code == ledger.OK {
		rec.Account = &ledger.AccountView{Account: *a, ID: []byte(id), Created: a.Number == rec.Seq}
		m.accounts[id] = a
	}
}

func (m *model) side(id []byte) ledger.Side {
	if c, ok := ledger.WorldCurrency(id); ok {
		return ledger.Side{World: true, Currency: c}
	}
	return ledger.Side{Account: m.accounts[string(id)]}
}

func create(id string, c ledger.Currency) ledger.Command {
	return ledger.Command{Kind: ledger.CreateAccount, Source: []byte(id), Currency: c, Unlimited: true}
}

func pay(source, destination string, c ledger.Currency, amount int64) ledger.Command {
	return ledger.Command{
		Kind: ledger.Pay, Key: []byte("key-of-a-payment"), Source: []byte(source), Destination: []byte(destination),
		Currency: c, Amount: amount,
	}
}

// random returns n commands of every kind, most of them accepted, over a few
// accounts so that histories get long.
func (m *model) random(rng *rand.Rand, n int) []ledger.Command {
	commands := make([]ledger.Command, n)
	for i := range commands {
		commands[i] = m.randomCommand(rng, m.next()+uint64(i))
	}
	return commands
}

func (m *model) randomCommand(rng *rand.Rand, seq uint64) ledger.Command {
	account := func() string { return fmt.Sprintf("account-%d", rng.IntN(5)) }
	c := ledger.Command{
		Key:      fmt.Appendf(nil, "key-%d-%d", seq, rng.Uint32()),
		Payment:  1 + rng.Uint64N(seq),
		Source:   []byte(account()),
		Currency: usd,
		Amount:   1 + rng.Int64N(100),
	}
	if recent := uint64(30); seq > recent && rng.IntN(2) == 0 {
		c.Payment = seq - recent + rng.Uint64N(recent)
	}
	switch kind := rng.IntN(20); {
	case kind < 3 || seq < 6:
		return create(account(), usd)
	case kind < 7:
		c.Kind, c.Destination = ledger.Pay, []byte(account())
	case kind < 9:
		c.Kind, c.Destination = ledger.Pay, []byte("world:USD")
	case kind < 11:
		c.Kind, c.Source, c.Destination = ledger.Pay, []byte("world:USD"), []byte(account())
	case kind < 14:
		c.Kind, c.Destination = ledger.Authorize, []byte(account())
		c.ExpiresIn = 1 + rng.Int64N(50)
	case kind < 16:
		c.Kind, c.Amount, c.Final = ledger.Capture, rng.Int64N(20), rng.IntN(2) == 0
	case kind < 17:
		c.Kind = ledger.Void
	case kind < 18:
		c.Kind, c.Key = ledger.Expire, nil
	default:
		c.Kind, c.Amount = ledger.Refund, rng.Int64N(20)
	}
	return c
}

// row is rec as the journal keeps it.
func row(rec *ledger.Record) *ledger.Record {
	r := *rec
	r.Payment, r.Account = nil, nil
	r.Source.Ordinal, r.Destination.Ordinal = 0, 0
	return &r
}

// history lists the postings of h among the first n records, oldest first.
func (m *model) history(h History, n int) (entries []ledger.EntryView) {
	for _, rec := range m.records[:n] {
		c := &rec.Command
		if c.Kind.OnPayment() {
			if rec.Payment == nil {
				continue
			}
			c = &m.records[rec.Payment.Seq-1].Command
		}
		for i, leg := range []*ledger.Leg{&rec.Source, &rec.Destination} {
			if !leg.Moved || leg.Account != h.Account || leg.World && c.Currency != h.World {
				continue
			}
			e := ledger.EntryView{
				Seq: rec.Seq, Payment: rec.PaymentSeq(), Kind: rec.Command.Kind,
				Direction: rec.Command.Kind.SourceDirection(), Amount: rec.Amount,
				Balance: *leg, Counterparty: c.Destination, Time: rec.Time,
			}
			if i == 1 {
				e.Direction, e.Counterparty = rec.Command.Kind.DestinationDirection(), c.Source
			}
			e.Balance.Ordinal = 0
			entries = append(entries, e)
		}
	}
	return entries
}
