package shard

import (
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

// reading is a freeze that another goroutine reads while execution goes on.
type reading struct {
	frozen *Frozen
	want   state
	done   chan struct{}
	pages  rows
	got    state
	totals map[ledger.Currency]Total
}

func startReading(f *Frozen, want state) *reading {
	r := &reading{frozen: f, want: want, done: make(chan struct{}), pages: rows{}}
	go func() {
		defer close(r.done)
		r.pages.write(f)
		r.got = stateOfFrozen(f)
		r.totals = f.Totals()
	}()
	return r
}

// What a freeze shows is the state at the freeze, whatever is executed while it
// is read; what checkpoints have stored, failed ones aside, loads as the state
// at the last one that succeeded, with the same number of shards or another.
func TestFreeze(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		steps := ledgertest.Steps(t, 400)
		m := rapid.SampledFrom(modes()).Draw(t, "mode")
		g := newGroup(t, m)
		defer g.Close()
		// Enough accounts for several pages, so that only some of them change.
		book := ledgertest.NewBook()
		machine := newMachine(g)
		fill := rapid.SampledFrom([]int{0, 100, 500}).Draw(t, "accounts")
		machine.entry(fillers(book, fill))

		stored, storedState := rows{}, state{}
		var readings []*reading
		var checkpoint *reading
		finish := func(r *reading) {
			<-r.done
			compareStates(t, "frozen", r.got, r.want)
			compareTotals(t, r.totals, r.want)
			ok := r.frozen.purpose == View || rapid.Bool().Draw(t, "durable")
			if r.frozen.purpose == Checkpoint && ok {
				if r.frozen.Whole() {
					clear(stored)
				}
				maps.Copy(stored, r.pages)
				storedState = r.want
			}
			r.frozen.Done(ok)
		}
		for len(steps) > 0 {
			switch rapid.SampledFrom([]int{0, 0, 1, 2, 3}).Draw(t, "freeze") {
			case 1:
				readings = append(readings, startReading(g.Freeze(View), stateOfBook(book)))
			case 2:
				if checkpoint == nil {
					checkpoint = startReading(g.Freeze(Checkpoint), stateOfBook(book))
				}
			case 3:
				if checkpoint != nil {
					finish(checkpoint)
					checkpoint = nil
				}
				if len(readings) > 0 {
					finish(readings[0])
					readings = readings[1:]
				}
			}
			n := min(len(steps), rapid.IntRange(1, 20).Draw(t, "entry"))
			machine.entry(steps[:n])
			for _, s := range steps[:n] {
				book.Apply(s.Seq, s.Time, &s.Command)
			}
			steps = steps[n:]
		}
		if checkpoint != nil {
			finish(checkpoint)
		}
		for _, r := range readings {
			finish(r)
		}
		again := newGroup(t, mode{shards: rapid.SampledFrom([]int{1, 2, 3, 16}).Draw(t, "shards afterwards")})
		defer again.Close()
		if err := stored.load(again); err != nil {
			t.Fatalf("%v", err)
		}
		f := again.Freeze(View)
		defer f.Done(true)
		compareStates(t, "loaded", stateOfFrozen(f), storedState)
	})
}

// fillers returns commands that create n accounts, already applied to book. Their
// numbers do not matter to the commands after them.
func fillers(book *ledgertest.Book, n int) []ledgertest.Step {
	steps := make([]ledgertest.Step, n)
	for i := range steps {
		c := ledger.Command{Kind: ledger.CreateAccount, Source: fmt.Appendf(nil, "filler-%d", i), Currency: usd}
		if i%50 == 0 {
			c.Metadata = ledger.AppendMetadata(nil, []ledger.Pair{{Key: []byte("n"), Value: fmt.Appendf(nil, "%d", i)}})
		}
		steps[i] = ledgertest.Step{Seq: uint64(1_000_000 + i), Time: 1, Command: c}
		book.Apply(steps[i].Seq, 1, &c)
	}
	return steps
}

func compareTotals(t failer, got map[ledger.Currency]Total, s state) {
	t.Helper()
	want := map[ledger.Currency]Total{}
	for _, a := range s {
		total := want[a.Currency]
		total.Accounts++
		total.Posted, total.Held = total.Posted.Add(a.Posted), total.Held.Add(a.Held)
		want[a.Currency] = total
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("totals (-want +got):\n%s", diff)
	}
}

func dirty(f *Frozen) (keys []Key) {
	for key := range f.Pages() {
		keys = append(keys, key)
	}
	return keys
}

// Only what changed since the last successful checkpoint is written again, as long
// as that is less than half of all.
func TestDirtyPages(t *testing.T) {
	g := newGroup(t, mode{shards: 1, policy: measured})
	defer g.Close()
	ids := open(g, "a", 11*pageAccounts)
	seq := uint64(1000)
	pay := func(from, to int) {
		g.Execute(slotsOf(seq, ledger.Command{Kind: ledger.Pay, Source: ids[from], Destination: ids[to], Currency: usd, Amount: 1}))
		seq++
	}
	expect := func(what string, f *Frozen, pages ...uint32) {
		t.Helper()
		var want []Key
		for _, p := range pages {
			want = append(want, Key{0, p})
		}
		if diff := cmp.Diff(want, dirty(f)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	first := g.Freeze(Checkpoint)
	expect("at first", first, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	pay(0, 2*pageAccounts)
	expect("after payments since the freeze", first, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	first.Done(true)
	first.Done(false) // a second time: nothing

	second := g.Freeze(Checkpoint)
	expect("after one payment", second, 0, 2)
	pay(3*pageAccounts, 0)
	second.Done(false)

	view := g.Freeze(View)
	expect("in a view", view, 0, 2, 3)
	pay(pageAccounts, 4*pageAccounts)
	view.Done(true)

	third := g.Freeze(Checkpoint)
	expect("after a checkpoint that failed, and a view", third, 0, 1, 2, 3, 4)
	third.Done(true)
	g.Execute(slotsOf(seq, ledger.Command{Kind: ledger.Pay, Source: ids[0], Destination: ids[1], Currency: usd, Amount: 1 << 61}))
	fourth := g.Freeze(Checkpoint)
	expect("after a refusal", fourth)
	fourth.Done(true)
	g.Execute(slotsOf(seq+1, ledger.Command{
		Kind: ledger.Authorize, Source: ids[0], Destination: ids[2*pageAccounts], Currency: usd, Amount: 1, ExpiresIn: 9,
	}))
	fifth := g.Freeze(Checkpoint)
	expect("after an authorization", fifth, 0)
	fifth.Done(true)
}

// From half of all pages on, counted over all shards, a checkpoint has every page,
// unchanged ones too, as they were at the freeze: whatever is executed while they
// are read, and whoever asks first what the checkpoint has.
func TestWholeCheckpoint(t *testing.T) {
	const pages = 8 // in all
	for _, shards := range []int{1, 2} {
		for changed := range pages + 1 {
			g := newGroup(t, mode{shards: shards, policy: measured})
			page := fillPages(g, pages)
			g.Freeze(Checkpoint).Done(true)
			g.Execute(updates(1000, page[:changed]))

			view := g.Freeze(View)
			want := rows{} // every page
			for _, p := range page {
				frozen := view.tables[p.Shard].page(int(p.Page))
				want[p.Key] = appendPage(nil, frozen, p.Key, shards)
			}
			view.Done(true)
			whole := 2*changed >= pages
			if !whole {
				for _, clean := range page[changed:] {
					delete(want, clean.Key)
				}
			}

			f := g.Freeze(Checkpoint)
			written := make(chan rows)
			go func() {
				for range 3 {
					got := rows{}
					for key, data := range f.Pages() {
						got[key] = append([]byte(nil), data...)
					}
					written <- got
				}
				close(written)
			}()
			seq := uint64(2000)
			for got := range written {
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%d shards, %d pages of %d changed (-want +got):\n%s", shards, changed, pages, diff)
				}
				g.Execute(updates(seq, page))
				seq += pages
			}
			if f.Whole() != whole {
				t.Errorf("%d shards, %d pages of %d changed: whole is %v", shards, changed, pages, f.Whole())
			}
			f.Done(true)
			g.Close()
		}
	}
}

// filledPage is a page, and one of its accounts.
type filledPage struct {
	Key
	id []byte
}

// fillPages creates accounts until there are n pages, equally many in each shard.
func fillPages(g *Group, n int) (pages []filledPage) {
	each := n / g.Shards()
	have := make([]int, g.Shards())
	seq := uint64(1)
	for i := 0; len(pages) < n; i++ {
		id := fmt.Appendf(nil, "account-%d", i)
		at := int(g.owner(id).home)
		if have[at] > (each-1)*pageAccounts {
			continue
		}
		if have[at]%pageAccounts == 0 {
			pages = append(pages, filledPage{Key{uint32(at), uint32(have[at] / pageAccounts)}, id})
		}
		have[at]++
		g.Execute(slotsOf(seq, ledger.Command{Kind: ledger.CreateAccount, Source: id, Currency: usd}))
		seq++
	}
	return pages
}

// updates change an account of each page.
func updates(seq uint64, pages []filledPage) (slots []*Slot) {
	for i, p := range pages {
		slots = append(slots, slotsOf(seq+uint64(i), ledger.Command{
			Kind: ledger.UpdateAccount, Source: p.id, Sets: ledger.SetsLimit, Limit: int64(seq) + 1,
		})...)
	}
	return slots
}

func TestOnlyOneCheckpoint(t *testing.T) {
	g := newGroup(t, mode{shards: 2, policy: measured})
	defer g.Close()
	f := g.Freeze(Checkpoint)
	view := g.Freeze(View)
	view.Done(false)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a second checkpoint was started")
			}
		}()
		g.Freeze(Checkpoint)
	}()
	f.Done(true)
	g.Freeze(Checkpoint).Done(true)
}

// Pages are copied only while a freeze that captured them is in use.
func TestCopies(t *testing.T) {
	g := newGroup(t, mode{shards: 1, policy: measured})
	defer g.Close()
	ids := open(g, "a", 4*pageAccounts)
	pay := func(from, to int) {
		g.Execute(slotsOf(1000, ledger.Command{Kind: ledger.Pay, Source: ids[from], Destination: ids[to], Currency: usd, Amount: 1}))
	}
	expect := func(what string, copies uint64) {
		t.Helper()
		if got := g.Stats()[0].PagesCopied; got != copies {
			t.Errorf("%s: %d pages copied, want %d", what, got, copies)
		}
	}
	pay(0, 1)
	expect("before any freeze", 0)
	f := g.Freeze(View)
	frozen := f.StateHash()
	pay(0, 1)
	pay(1, pageAccounts)
	pay(pageAccounts, 0)
	expect("in a freeze", 2)
	if f.StateHash() != frozen {
		t.Error("the frozen state has changed")
	}
	if s := g.Stats()[0]; s.Retained < 2*int64(pageSize) {
		t.Errorf("%d bytes are retained for two pages", s.Retained)
	}
	f.Done(true)
	pay(2*pageAccounts, 3*pageAccounts)
	expect("after the freeze", 2)
	if s := g.Stats()[0]; s.Retained != 0 {
		t.Errorf("%d bytes are retained for nothing", s.Retained)
	}
}
