package transport

import (
	"bytes"
	"slices"
	"sync"

	"purser/internal/ledger"
)

// book is a ledger in memory behind the three interfaces: the real rules, one
// command at a time, nothing durable. It copies what it keeps, as an Executor
// has to, so that a handler that reuses memory too early shows in its answers.
type book struct {
	mu       sync.Mutex
	seq      uint64
	index    uint64
	now      ledger.Micros
	accounts map[string]*bookAccount
	payments map[uint64]*ledger.PaymentView
	keys     map[string]*ledger.Record
	outside  map[ledger.Currency]ledger.Int128
	history  map[string][]ledger.EntryView
	executed int    // commands that got a seq
	barriers int    // reads that waited
	late     uint64 // entries applied by the time that a read looks
	fail     error  // answer to everything, if set
}

type bookAccount struct {
	ledger.Account
	metadata ledger.Metadata
}

// bookEpoch is the time of the first entry of every book.
const bookEpoch = ledger.Micros(1_767_323_045_000_000) // 2026-01-02T03:04:05Z

func newBook() *book {
	return &book{
		now:      bookEpoch,
		accounts: map[string]*bookAccount{},
		payments: map[uint64]*ledger.PaymentView{},
		keys:     map[string]*ledger.Record{},
		outside:  map[ledger.Currency]ledger.Int128{},
		history:  map[string][]ledger.EntryView{},
	}
}

func (b *book) Execute(cmd *ledger.Command, use func(ledger.Result, uint64)) error {
	p, err := b.Submit(cmd, true)
	if err != nil {
		return err
	}
	return p.Wait(use)
}

func (b *book) Submit(cmd *ledger.Command, _ bool) (ledger.Pending, error) {
	return b.submit(cmd, over)
}

// submit executes cmd, and shows the result once done is closed.
func (b *book) submit(cmd *ledger.Command, done <-chan struct{}) (p ledger.Pending, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return p, b.fail
	}
	b.tick()
	return ledger.Pending{Work: &work{done, b.apply(cmd), b.index}}, nil
}

// work is done when its channel is closed.
type work struct {
	done   <-chan struct{}
	result ledger.Result
	index  uint64
}

// over is closed.
var over = func() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}()

func (w *work) Done() <-chan struct{} { return w.done }

func (w *work) Show(_ int, use func(ledger.Result, uint64)) error {
	results := []ledger.Result{w.result}
	defer show(results)()
	use(results[0], w.index)
	return nil
}

func (b *book) ExecuteAll(cmds []ledger.Command, use func([]ledger.Result, uint64)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return b.fail
	}
	b.tick()
	results := make([]ledger.Result, len(cmds))
	for i := range cmds {
		results[i] = b.apply(&cmds[i])
	}
	defer show(results)()
	use(results, b.index)
	return nil
}

// show replaces the records of results by copies, and returns what spoils those: a
// handler that looks at them afterwards shows that in its answer.
func show(results []ledger.Result) (spoil func()) {
	for i := range results {
		if results[i].Record == nil {
			continue
		}
		rec := *results[i].Record
		rec.Raw = slices.Clone(rec.Raw)
		if err := ledger.DecodeCommand(rec.Raw, &rec.Command); err != nil {
			panic(err)
		}
		results[i].Record = &rec
	}
	return func() {
		for _, res := range results {
			if rec := res.Record; rec != nil {
				for i := range rec.Raw {
					rec.Raw[i] = 0xdb
				}
				*rec = ledger.Record{Code: 255}
			}
		}
		clear(results)
	}
}

func (b *book) Barrier() (ledger.Pending, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return ledger.Pending{}, b.fail
	}
	b.barriers++
	return ledger.Pending{Work: &work{done: over, index: b.index}}, nil
}

func (b *book) tick() {
	b.index++
	b.now += ledger.Second
}

func (b *book) apply(cmd *ledger.Command) ledger.Result {
	raw := ledger.AppendCommand(nil, cmd)
	rec := &ledger.Record{Time: b.now, Raw: raw}
	if err := ledger.DecodeCommand(raw, &rec.Command); err != nil {
		panic(err)
	}
	c := &rec.Command
	if c.Kind.Keyed() {
		if first := b.keys[string(c.Key)]; first != nil {
			if diff := ledger.Difference(&first.Command, c); diff != "" {
				return ledger.Result{Conflict: diff}
			}
			return ledger.Result{Record: first, Replayed: true}
		}
		b.keys[string(c.Key)] = rec
	}
	b.seq++
	b.executed++
	rec.Seq = b.seq
	switch {
	case c.Kind < ledger.Pay:
		b.applyAccount(rec)
	case c.Kind.OnPayment():
		b.applyEvent(rec)
	default:
		b.applyPayment(rec)
	}
	return ledger.Result{Record: rec}
}

func (b *book) applyAccount(rec *ledger.Record) {
	id := string(rec.Command.Source)
	a, known := b.accounts[id]
	if !known {
		a = &bookAccount{}
	}
	a.metadata = slices.Clone(ledger.DecideAccount(rec, &a.Account, a.metadata))
	if rec.Code != ledger.OK {
		return
	}
	b.accounts[id] = a
	view := b.view(id)
	view.Created = !known
	rec.Account = &view
}

func (b *book) view(id string) ledger.AccountView {
	a := b.accounts[id]
	return ledger.AccountView{Account: a.Account, ID: []byte(id), Metadata: slices.Clone(a.metadata)}
}

func (b *book) side(id []byte) ledger.Side {
	if c, ok := ledger.WorldCurrency(id); ok {
		return ledger.Side{World: true, Currency: c}
	}
	if a := b.accounts[string(id)]; a != nil {
		return ledger.Side{Account: &a.Account}
	}
	return ledger.Side{}
}

func (b *book) applyPayment(rec *ledger.Record) {
	ledger.Decide(rec, b.side(rec.Command.Source), b.side(rec.Command.Destination))
	if rec.Code == ledger.OK {
		b.settle(ledger.PaymentOf(rec), rec)
	}
}

func (b *book) applyEvent(rec *ledger.Record) {
	var src, dst ledger.Side
	if view := b.payments[rec.Command.Payment]; view != nil {
		p := *view.Payment
		rec.Payment = &p
		src, dst = b.side(p.Source), b.side(p.Destination)
	}
	ledger.Decide(rec, src, dst)
	if rec.Code == ledger.OK {
		b.settle(rec.Payment, rec)
	}
}

// settle keeps the newest event of p and its postings.
func (b *book) settle(p *ledger.Payment, rec *ledger.Record) {
	b.payments[p.Seq] = &ledger.PaymentView{Payment: p, Last: rec}
	kind := rec.Command.Kind
	b.post(p.Source, p.Destination, p, rec, &rec.Source, kind.SourceDirection())
	b.post(p.Destination, p.Source, p, rec, &rec.Destination, kind.DestinationDirection())
}

func (b *book) post(id, other []byte, p *ledger.Payment, rec *ledger.Record, leg *ledger.Leg, d ledger.Direction) {
	if !leg.Moved {
		return
	}
	b.history[string(id)] = append(b.history[string(id)], ledger.EntryView{
		Seq: rec.Seq, Payment: p.Seq, Kind: rec.Command.Kind, Direction: d,
		Amount: rec.Amount, Balance: *leg, Counterparty: other, Time: rec.Time,
	})
	if currency, ok := ledger.WorldCurrency(id); ok {
		switch d {
		case ledger.Debit:
			b.outside[currency] = b.outside[currency].Add(-rec.Amount)
		case ledger.Credit:
			b.outside[currency] = b.outside[currency].Add(rec.Amount)
		}
	}
}

func (b *book) Account(id []byte) (ledger.AccountView, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c, ok := ledger.WorldCurrency(id); ok {
		total := b.outside[c]
		view := ledger.AccountView{ID: slices.Clone(id), Outside: &total}
		view.Currency = c
		return view, true, b.fail
	}
	if b.accounts[string(id)] == nil {
		return ledger.AccountView{}, false, b.fail
	}
	view := b.view(string(id))
	view.Index = b.index + b.late
	return view, true, b.fail
}

func (b *book) Accounts(prefix, after []byte, limit int) (ledger.AccountsPage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []string
	for id := range b.accounts {
		if bytes.HasPrefix([]byte(id), prefix) && id > string(after) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	page := ledger.AccountsPage{More: len(ids) > limit, Index: b.index + b.late}
	for _, id := range ids[:min(limit, len(ids))] {
		page.Accounts = append(page.Accounts, b.view(id))
	}
	return page, b.fail
}

func (b *book) Entries(id []byte, ascending bool, from uint64, limit int) (ledger.EntriesPage, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.accounts[string(id)] == nil && !ledger.IsWorld(id) {
		return ledger.EntriesPage{}, false, b.fail
	}
	var all []ledger.EntryView
	for _, e := range b.history[string(id)] {
		if from == 0 || ascending && e.Seq > from || !ascending && e.Seq < from {
			all = append(all, e)
		}
	}
	if !ascending {
		slices.Reverse(all)
	}
	n := min(limit, len(all))
	return ledger.EntriesPage{Entries: all[:n], More: len(all) > n, Index: b.index + b.late}, true, b.fail
}

func (b *book) Payment(seq uint64) (ledger.PaymentView, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.payments[seq]; p != nil {
		view := *p
		view.Index = b.index + b.late
		return view, true, b.fail
	}
	return ledger.PaymentView{}, false, b.fail
}

func (b *book) Key(key []byte) (ledger.KeyView, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if rec := b.keys[string(key)]; rec != nil {
		return ledger.KeyView{Record: rec, ExpiresAt: rec.Time + 86_400*ledger.Second, Index: b.index + b.late}, true, b.fail
	}
	return ledger.KeyView{}, false, b.fail
}

func (b *book) Applied() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.index
}

// counts returns how many commands were executed so far.
func (b *book) counts() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.executed
}

// breakWith makes everything from now on fail with err; nil repairs it.
func (b *book) breakWith(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = err
}
