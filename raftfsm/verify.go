package raftfsm

import (
	"context"
	"fmt"
	"maps"

	"purser/internal/ledger"
	"purser/shard"
)

// Report is the outcome of checking the books at one log index.
type Report struct {
	OK         bool
	Index      uint64
	Deep       bool   // the journal was read row by row
	Rows       uint64 // of the journal; counted if Deep, and then the last seq if none is missing
	Currencies []CurrencyReport
}

// CurrencyReport is the part of one currency. The books balance when Sum is 0,
// Journal is Posted, and the journal says of the world what World does.
type CurrencyReport struct {
	Currency ledger.Currency
	Accounts int
	Posted   ledger.Int128 // sum over all accounts but the world's
	World    ledger.Int128 // of the world account
	Sum      ledger.Int128 // Posted + World: 0
	Journal  ledger.Int128 // what the journal's movements add up to: Posted
	OK       bool
}

// Verify sums every account as it is between two entries, and compares the sums
// with the movements of the journal: with their running totals, or, if deep is
// set, with the rows themselves, all of them. Payments go on meanwhile; a restore
// of a snapshot waits.
func (f *FSM) Verify(ctx context.Context, deep bool) (report Report, err error) {
	err = f.use(func(m *machine) error {
		report, err = m.verify(ctx, deep)
		return err
	})
	return report, err
}

func (m *machine) verify(ctx context.Context, deep bool) (Report, error) {
	m.applying.Lock()
	view := m.group.Freeze(shard.View)
	at, running := m.pos, maps.Clone(m.worlds)
	m.applying.Unlock()
	defer view.Done(true)

	report := Report{OK: true, Index: at.Index, Deep: deep, Rows: at.Seq}
	inside := view.Totals()
	books := running
	if deep {
		var err error
		if books, report.Rows, err = m.scanTotals(ctx, at.Seq); err != nil {
			return Report{}, err
		}
		report.OK = report.Rows == at.Seq
	}
	seen := make(map[ledger.Currency]world)
	maps.Copy(seen, running)
	maps.Copy(seen, books)
	for c := range inside {
		seen[c] = world{} // perhaps accounts, but no movement yet
	}
	for _, c := range currencies(seen) {
		in, w, rows := inside[c], running[c], books[c]
		line := CurrencyReport{
			Currency: c, Accounts: in.Accounts, Posted: in.Posted,
			World: w.Posted, Sum: in.Posted.Plus(w.Posted), Journal: rows.Inside,
		}
		line.OK = line.Sum.IsZero() && line.Journal == line.Posted && rows.Posted == w.Posted
		report.OK = report.OK && line.OK
		report.Currencies = append(report.Currencies, line)
	}
	return report, nil
}

// scanTotals adds up the movements of all journal rows up to last, and counts
// the rows.
func (m *machine) scanTotals(ctx context.Context, last uint64) (totals map[ledger.Currency]world, rows uint64, err error) {
	totals = make(map[ledger.Currency]world)
	add := func(c ledger.Currency, leg *ledger.Leg, dir ledger.Direction, amount int64) {
		if !leg.Moved || dir == ledger.None {
			return
		}
		if dir == ledger.Debit {
			amount = -amount
		}
		t := totals[c]
		if leg.World {
			t.Posted = t.Posted.Add(amount)
		} else {
			t.Inside = t.Inside.Add(amount)
		}
		totals[c] = t
	}
	err = m.store.ScanRecords(1, last+1, func(rec *ledger.Record) error {
		rows++
		if rec.Code != ledger.OK || rec.Command.Kind < ledger.Pay {
			return ctx.Err()
		}
		c := rec.Command.Currency
		if rec.Command.Kind.OnPayment() {
			view, ok, err := m.store.Payment(rec.Command.Payment, rec.Seq+1)
			if err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("journal row %d acts on no payment", rec.Seq)
			}
			c = view.Payment.Currency
		}
		add(c, &rec.Source, rec.Command.Kind.SourceDirection(), rec.Amount)
		add(c, &rec.Destination, rec.Command.Kind.DestinationDirection(), rec.Amount)
		return ctx.Err()
	})
	return totals, rows, err
}
