package raftfsm

import (
	"context"
	"fmt"
	"maps"

	"purser/internal/ledger"
	"purser/internal/planted"
	"purser/shard"
)

// Report is the outcome of checking the books at one log index.
type Report struct {
	OK         bool
	Index      uint64
	Deep       bool   // the journal was read row by row
	Rows       uint64 // of the journal; counted if Deep, and then the last seq if none is missing
	Currencies []CurrencyReport

	// Faults name what was found wrong by a deep verification, the first maxFaults
	// of FaultCount.
	Faults     []string
	FaultCount int
}

// maxFaults is how many faults a report names: what is broken is mostly broken in
// many places.
const maxFaults = 20

func (r *Report) fault(format string, args ...any) {
	r.OK = false
	r.FaultCount++
	if len(r.Faults) < maxFaults {
		r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
	}
}

// CurrencyReport is the part of one currency. The books balance when Sum is 0,
// Journal is Posted, and the journal says of the world what World does; if its rows
// were read, their sums and its running totals both do.
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
// with the running totals of the journal. If deep is set it reads the rows
// themselves, all of them, and holds each account, each row that leads to one and
// each idempotency key against them; see audit. Payments go on meanwhile; a
// restore of a snapshot waits; the end of the node does not.
func (f *FSM) Verify(ctx context.Context, deep bool) (report Report, err error) {
	err = f.use(func(m *machine) error {
		report, err = m.verify(deep, func() error {
			if f.ending.Load() {
				return errNoState
			}
			return ctx.Err()
		})
		return err
	})
	return report, err
}

func (m *machine) verify(deep bool, going func() error) (Report, error) {
	m.applying.Lock()
	view := m.group.Freeze(shard.View)
	at, running := m.pos, maps.Clone(m.worlds)
	m.applying.Unlock()
	defer view.Done(true)

	report := Report{OK: true, Index: at.Index, Deep: deep, Rows: at.Seq}
	inside := view.Totals()
	books := running
	if deep {
		a := newAudit(m, at, &report, view, running)
		view.Done(true)
		if err := a.run(going); err != nil {
			return Report{}, err
		}
		books = a.books
		report.OK = report.OK && report.Rows == at.Seq
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
		line.OK = line.Sum.IsZero() && (planted.Is(planted.JournalUnchecked) ||
			rows.Posted == w.Posted && rows.Inside == in.Posted && w.Inside == in.Posted)
		report.OK = report.OK && line.OK
		report.Currencies = append(report.Currencies, line)
	}
	return report, nil
}
