package shard

import (
	"cmp"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"purser/internal/ledger"
	"purser/internal/planted"
)

// Purpose is what a freeze is for.
type Purpose uint8

const (
	// Checkpoint freezes write what has changed since the last one that succeeded.
	Checkpoint Purpose = iota
	// View freezes only look: they leave no trace in what a checkpoint writes.
	View
)

// Frozen is all accounts as they were between two entries. One goroutine at a
// time may use it, any one, while execution goes on. It must be Done: until then
// the shards keep a copy of every page that they change.
type Frozen struct {
	group   *Group
	purpose Purpose
	epoch   uint64
	since   uint64  // pages of a newer epoch are dirty
	tables  []table // by shard
	whole   func() bool
	done    atomic.Bool
}

// table is one shard's page table at the freeze. Nobody writes what it points to.
type table struct {
	chunks   []*chunk
	pages    int
	accounts int
}

func (t *table) page(n int) *page { return t.chunks[n/chunkPages].pages[n%chunkPages] }

// Freeze captures the state between two entries, at a cost that grows only with
// the number of page chunks: one pointer for 16,384 accounts. Several views may
// be in use at once, but only one checkpoint: a second one panics.
func (g *Group) Freeze(purpose Purpose) *Frozen {
	if purpose == Checkpoint && !g.checkpointing.CompareAndSwap(false, true) {
		panic("shard: a checkpoint is already under way")
	}
	f := &Frozen{group: g, purpose: purpose, since: g.clean.Load(), tables: make([]table, len(g.shards))}
	f.whole = sync.OnceValue(f.halfDirty)
	g.borrow(func(all []*accounts) {
		f.epoch = all[0].epoch // the same in every shard
		for i, a := range all {
			f.tables[i] = a.freeze(f)
		}
	})
	return f
}

// Done ends the use of f. For a checkpoint, ok says that its pages are durable;
// if they are not, the next checkpoint has them again. Done may be called from
// any goroutine, again without effect, but not while f is in use.
func (f *Frozen) Done(ok bool) {
	if f.done.Load() {
		return
	}
	if f.purpose == Checkpoint {
		if ok {
			f.group.clean.Store(f.epoch)
		}
		f.group.checkpointing.Store(false)
	}
	f.tables = nil
	f.done.Store(true)
}

// Whole reports whether Pages yields every page, so that all that earlier
// checkpoints have written is obsolete: that is so if at least half of the pages
// have changed since the last one that succeeded. A store can replace everything
// for less than it merges so many pages with the others.
//
// After Load has placed the accounts of another number of shards, all pages have
// changed.
func (f *Frozen) Whole() bool { return f.whole() }

func (f *Frozen) halfDirty() bool {
	if f.done.Load() {
		panic("shard: Whole of a freeze that is done") // it would seem to have no pages
	}
	pages, dirty := 0, 0
	for i := range f.tables {
		t := &f.tables[i]
		pages += t.pages
		for n := range t.pages {
			if t.page(n).epoch > f.since {
				dirty++
			}
		}
	}
	return 2*dirty >= pages
}

// Pages yields the encoded pages that have changed since the last successful
// checkpoint, or all if Whole, in ascending order. The bytes are valid until the
// next one.
func (f *Frozen) Pages() iter.Seq2[Key, []byte] {
	return func(yield func(Key, []byte) bool) {
		whole := f.Whole()
		var buf []byte
		for shard := range f.tables {
			t := &f.tables[shard]
			for n := range t.pages {
				p := t.page(n)
				if p.epoch <= f.since && !whole {
					continue
				}
				key := Key{Shard: uint32(shard), Page: uint32(n)}
				buf = appendPage(buf[:0], p, key, len(f.tables))
				if !yield(key, buf) {
					return
				}
			}
		}
	}
}

// Accounts returns the number of accounts.
func (f *Frozen) Accounts() int {
	n := 0
	for i := range f.tables {
		n += f.tables[i].accounts
	}
	return n
}

// All yields every account with its id and metadata, in no particular order.
// What it yields is read-only and valid until Done.
func (f *Frozen) All() iter.Seq[ledger.AccountView] {
	tables := f.tables
	if planted.Is(planted.ShardForgotten) {
		tables = tables[:1]
	}
	return func(yield func(ledger.AccountView) bool) {
		for i := range tables {
			t := &tables[i]
			for n := range t.pages {
				p := t.page(n)
				for j := range p.used {
					v := ledger.AccountView{Account: p.accounts[j], ID: p.id(j), Metadata: p.metadataOf(j)}
					if !yield(v) {
						return
					}
				}
			}
		}
	}
}

// Total sums up the accounts of one currency. Amounts are minor units.
type Total struct {
	Accounts int
	Posted   ledger.Int128
	Held     ledger.Int128
}

// Totals sums up all accounts, changed or not.
func (f *Frozen) Totals() map[ledger.Currency]Total {
	totals := make(map[ledger.Currency]Total)
	for v := range f.All() {
		t := totals[v.Currency]
		t.Accounts++
		t.Posted = t.Posted.Add(v.Posted)
		t.Held = t.Held.Add(v.Held)
		totals[v.Currency] = t
	}
	return totals
}

// StateHash returns a hash over every field of every account, in the order of
// their ids: equal states have equal hashes, however they are spread over shards
// and pages.
func (f *Frozen) StateHash() uint64 {
	all := slices.SortedFunc(f.All(), func(a, b ledger.AccountView) int {
		return cmp.Compare(string(a.ID), string(b.ID))
	})
	digest := xxhash.New()
	var buf []byte
	for i := range all {
		buf = appendAccount(buf[:0], all[i].ID, &all[i].Account, all[i].Metadata)
		digest.Write(buf)
	}
	return digest.Sum64()
}

// StateHash returns the hash of the state between two entries; see the method
// of Frozen.
func (g *Group) StateHash() uint64 {
	f := g.Freeze(View)
	defer f.Done(true)
	return f.StateHash()
}
