package raftfsm

import (
	"cmp"
	"fmt"
	"slices"

	"purser/internal/ledger"
	"purser/internal/store"
	"purser/shard"
)

// audit holds the state at one log index against the journal. It starts with the
// accounts as they are, walks the journal back to its first row, and undoes each
// row on the accounts that it moved: what a row says that it left must be what
// the rows behind it have been undone to, and at its creation an account has
// nothing. So a wrong number shows at the newest row that disagrees with it. On
// the way the audit looks for the rows that lead to each row, and for its key.
//
// The accounts are copied first, 56 bytes of each, so that pages are not held
// back from the shards for as long as the journal takes.
type audit struct {
	m      *machine
	at     position
	report *Report

	numbers    []uint64 // of the accounts, ascending
	tallies    []tally  // in the same order
	worlds     map[ledger.Currency]*chain
	currencies []ledger.Currency // that accounts have

	lost map[uint64]bool // numbers of accounts that rows name and no shard has

	books  map[ledger.Currency]world // what the rows moved, inside and outside
	keys   []keyedRow                // of rows that were read, not looked up yet
	hashes []uint64                  // scratch: of keys
}

// newAudit copies what view and worlds show, the state as of at.
func newAudit(m *machine, at position, report *Report, view *shard.Frozen, worlds map[ledger.Currency]world) *audit {
	a := &audit{
		m: m, at: at, report: report,
		numbers: make([]uint64, 0, view.Accounts()),
		tallies: make([]tally, view.Accounts()),
		worlds:  make(map[ledger.Currency]*chain),
		lost:    make(map[uint64]bool),
		books:   make(map[ledger.Currency]world),
	}
	for c, w := range worlds {
		a.worlds[c] = &chain{last: w.Last, postings: w.Postings}
	}
	for v := range view.All() {
		a.numbers = append(a.numbers, v.Number)
	}
	slices.Sort(a.numbers)
	places := make(map[ledger.Currency]uint32)
	for v := range view.All() {
		place, ok := places[v.Currency]
		if !ok {
			place = uint32(len(a.currencies))
			places[v.Currency] = place
			a.currencies = append(a.currencies, v.Currency)
		}
		*a.tally(v.Number) = tally{
			posted: v.Posted, held: v.Held, version: v.Version, currency: place,
			chain: chain{last: v.LastSeq, postings: v.Postings},
		}
	}
	return a
}

// run walks the journal, until going returns an error. What it finds is in the
// report, and in books.
func (a *audit) run(going func() error) error {
	a.report.Rows = 0
	err := a.m.store.ScanBack(a.at.Seq, func(rec *ledger.Record) error {
		a.report.Rows++
		if err := a.row(rec); err != nil {
			return err
		}
		return going()
	})
	if store.Damaged(err) { // what is undone up to here leads no further
		return a.damage(err)
	}
	if err != nil {
		return err
	}
	if err := a.damage(a.lookUpKeys()); err != nil {
		return err
	}
	for i := range a.tallies {
		if a.tallies[i].version != 0 {
			a.report.fault("account %d was created by no row of the journal", a.numbers[i])
		}
	}
	for c, w := range a.worlds {
		if w.last != 0 || w.counted() {
			a.report.fault("world:%s: before all its rows it has %d postings, the last in row %d", c, w.postings, w.last)
		}
	}
	return nil
}

// row undoes rec.
func (a *audit) row(rec *ledger.Record) error {
	if err := a.damage(a.key(rec)); err != nil {
		return err
	}
	if rec.Code != ledger.OK {
		return nil
	}
	var err error
	switch kind := rec.Command.Kind; kind {
	case ledger.CreateAccount:
		err = a.undoCreation(rec)
	case ledger.UpdateAccount:
		err = a.undoUpdate(rec)
	default:
		err = a.undoMovement(rec)
	}
	if err == nil {
		err = a.m.store.CheckIndexes(rec, func() store.ExpiryCursor { return a.m.position().Swept })
	}
	return a.damage(err)
}

// undoCreation takes rec's account away, or finds it untouched: the same
// definition may come again.
func (a *audit) undoCreation(rec *ledger.Record) error {
	id := rec.Command.Source
	t := a.tally(rec.Seq)
	if t == nil {
		_, err := a.tallyOf(id, rec.Seq)
		return err
	}
	if t.posted != 0 || t.held != 0 || t.last != 0 || t.counted() || !t.hadVersion(1) {
		a.report.fault("account %q: at its creation in row %d it has posted %d, held %d, version %d, the last of %d postings in row %d",
			id, rec.Seq, t.posted, t.held, t.version, t.postings, t.last)
	}
	*t = tally{currency: t.currency}
	rec.Account = &ledger.AccountView{Account: ledger.Account{Number: rec.Seq}, Created: true}
	return nil
}

// undoUpdate notes that the version may have been one less before rec. The row
// does not say: a PATCH that changes nothing keeps the version.
func (a *audit) undoUpdate(rec *ledger.Record) error {
	t, err := a.tallyOf(rec.Command.Source, rec.Seq)
	if t != nil {
		t.updates++
	}
	return err
}

// undoMovement undoes a command that moved, reserved or released money.
func (a *audit) undoMovement(rec *ledger.Record) error {
	kind := rec.Command.Kind
	c := rec.Command.Currency
	if kind.OnPayment() { // the row does not say, its accounts do
		for _, leg := range [...]*ledger.Leg{&rec.Source, &rec.Destination} {
			if t := a.tally(leg.Account); t != nil {
				c = a.currencies[t.currency]
			}
		}
		rec.Payment = &ledger.Payment{Currency: c}
	}
	held, err := a.heldBy(rec)
	if err != nil {
		return err
	}
	a.undo(rec, &rec.Source, signed(rec.Amount, kind.SourceDirection()), held, c)
	a.undo(rec, &rec.Destination, signed(rec.Amount, kind.DestinationDirection()), 0, c)
	return nil
}

// heldBy is what rec added to held of its source.
func (a *audit) heldBy(rec *ledger.Record) (int64, error) {
	switch rec.Command.Kind {
	case ledger.Authorize:
		return rec.Amount, nil
	case ledger.Void, ledger.Expire:
		return -rec.Amount, nil
	case ledger.Capture:
		if !rec.Command.Final {
			return -rec.Amount, nil
		}
	default:
		return 0, nil
	}
	// A final capture releases all that was not captured before it.
	origin, ok, err := a.m.store.Record(rec.Command.Payment)
	if err != nil {
		return 0, err
	}
	if !ok {
		a.report.fault("row %d acts on payment %d, which has no row", rec.Seq, rec.Command.Payment)
		return -rec.Amount, nil
	}
	return rec.State.Captured - rec.Amount - origin.Amount, nil
}

// undo undoes one side of rec, which added posted and held to it.
func (a *audit) undo(rec *ledger.Record, leg *ledger.Leg, posted, held int64, c ledger.Currency) {
	book := a.books[c]
	if leg.World {
		w := a.worlds[c]
		if w == nil {
			w = &chain{}
			a.worlds[c] = w
		}
		if leg.Moved {
			w.undo(rec.Seq, leg, func(what string) { a.report.fault("world:%s: %s", c, what) })
			book.Posted = book.Posted.Add(posted)
			a.books[c] = book
		}
		return
	}
	t := a.tally(leg.Account)
	if t == nil {
		a.missing(leg.Account, rec.Seq)
		return
	}
	if t.posted != leg.Posted || t.held != leg.Held || !t.hadVersion(leg.Version) {
		a.report.fault("account %s: row %d left it posted %d, held %d, version %d; all that is newer leaves %d, %d, %d",
			a.name(leg.Account), rec.Seq, leg.Posted, leg.Held, leg.Version, t.posted, t.held, t.version)
	}
	t.posted, t.held, t.version, t.updates = leg.Posted, leg.Held, leg.Version, 0
	if !leg.Moved {
		return
	}
	t.undo(rec.Seq, leg, func(what string) { a.report.fault("account %s: %s", a.name(leg.Account), what) })
	t.posted -= posted
	t.held -= held
	t.version--
	book.Inside = book.Inside.Add(posted)
	a.books[c] = book
}

// tally returns the account with number; nil if there is none.
func (a *audit) tally(number uint64) *tally {
	i, ok := slices.BinarySearch(a.numbers, number)
	if !ok {
		return nil
	}
	return &a.tallies[i]
}

// tallyOf returns the tally of the account with id, which the row of seq names; nil
// if there is none, which is reported.
func (a *audit) tallyOf(id []byte, seq uint64) (*tally, error) {
	number, ok, err := a.m.store.AccountNumber(id)
	if err != nil {
		return nil, err
	}
	if !ok {
		a.report.fault("account %q of row %d is not in the list of accounts", id, seq)
		return nil, nil
	}
	t := a.tally(number)
	if t == nil {
		a.missing(number, seq)
	}
	return t, nil
}

// missing reports, once, that no shard has the account with number.
func (a *audit) missing(number, seq uint64) {
	if !a.lost[number] {
		a.lost[number] = true
		a.report.fault("account %s of row %d is on no shard", a.name(number), seq)
	}
}

// name is an account's id, as the row that created it has it.
func (a *audit) name(number uint64) string {
	rec, ok, err := a.m.store.Record(number)
	if err != nil || !ok {
		return fmt.Sprint(number)
	}
	return fmt.Sprintf("%q", rec.Command.Source)
}

// damage reports err and returns nil if it is about what the disk holds.
func (a *audit) damage(err error) error {
	if !store.Damaged(err) {
		return err
	}
	a.report.fault("%v", err)
	return nil
}

// keyedRow is a row whose idempotency key has to be found.
type keyedRow struct {
	hash, seq uint64
	at        ledger.Micros
}

// keysAtOnce is how many keys are looked up together, in some 5 MB of memory.
const keysAtOnce = 128 << 10

// key remembers to look up the key of rec, unless it has expired.
func (a *audit) key(rec *ledger.Record) error {
	if !rec.Command.Kind.Keyed() || rec.Time+a.m.retention <= a.at.Stamp {
		return nil
	}
	a.keys = append(a.keys, keyedRow{a.m.keys.Hash(rec.Command.Key), rec.Seq, rec.Time})
	if len(a.keys) < keysAtOnce {
		return nil
	}
	return a.lookUpKeys()
}

// lookUpKeys requires that each of the keys leads to its row.
func (a *audit) lookUpKeys() error {
	keys := a.keys
	a.keys = keys[:0]
	slices.SortFunc(keys, func(x, y keyedRow) int { return cmp.Compare(x.hash, y.hash) })
	a.hashes = a.hashes[:0]
	for i := range keys {
		a.hashes = append(a.hashes, keys[i].hash)
	}
	err := a.m.keys.FindAll(a.hashes, func(i int, seq uint64) {
		if keys[i].seq == seq {
			keys[i].seq = 0 // found
		}
	})
	if err != nil {
		return err
	}
	for _, row := range keys {
		// A key that has expired by now may be forgotten, and its run dropped.
		if row.seq != 0 && row.at+a.m.retention > a.m.boundary().Stamp {
			a.report.fault("journal row %d is not found by its idempotency key", row.seq)
		}
	}
	return nil
}
