package shard

import (
	"slices"
	"unsafe"

	"purser/internal/ledger"
	"purser/internal/planted"
)

// chunkPages is the number of pages that one chunk of the page table points to.
const chunkPages = 256

// chunk is a part of the page table. Like a page, it is copied before one of its
// pointers changes after a freeze; filling in a further one needs no copy.
type chunk struct {
	pages [chunkPages]*page
	epoch uint64
}

const chunkSize = int(unsafe.Sizeof(chunk{}))

// accounts is all state of one shard. Exactly one goroutine has it at a time:
// its shard, or whom the shard has lent it to through a channel.
type accounts struct {
	shard  int32
	count  int // accounts
	pages  int
	chunks []*chunk
	index  index

	// epoch grows with every freeze. A page of an older epoch is unchanged since
	// that freeze, and must be copied before a write while the freeze is in use.
	epoch  uint64
	frozen []*Frozen // those that may still be in use, oldest first

	bytes    int // of what is live, except the index and the table
	retained int // of what is kept only for freezes
	copies   int // pages copied, ever
}

func newAccounts(shard int32) *accounts {
	return &accounts{shard: shard, index: newIndex(), epoch: 1}
}

// place is the number of an account in its shard: page and position in the page.
type place = uint32

func (a *accounts) page(n int) *page { return a.chunks[n/chunkPages].pages[n%chunkPages] }

// find returns the place of id, whose hash the caller knows.
func (a *accounts) find(id []byte, hash uint64) (at place, ok bool) {
	tag := uint32(hash)
	for from := a.index.start(tag); ; {
		at, from, ok = a.index.next(tag, from)
		if !ok {
			return 0, false
		}
		if string(a.page(int(at/pageAccounts)).id(int(at%pageAccounts))) == string(id) {
			return at, true
		}
	}
}

// get returns an account to read; put is the only way to change it.
func (a *accounts) get(at place) *ledger.Account {
	return &a.page(int(at / pageAccounts)).accounts[at%pageAccounts]
}

func (a *accounts) metadata(at place) ledger.Metadata {
	return a.page(int(at / pageAccounts)).metadataOf(int(at % pageAccounts))
}

// put stores an account's new state.
func (a *accounts) put(at place, account *ledger.Account) {
	a.writable(int(at / pageAccounts)).accounts[at%pageAccounts] = *account
}

// putMetadata stores a copy of an account's new metadata.
func (a *accounts) putMetadata(at place, m ledger.Metadata) {
	p := a.writable(int(at / pageAccounts))
	a.bytes -= p.bytes()
	p.setMetadata(int(at%pageAccounts), slices.Clone(m))
	a.bytes += p.bytes()
}

// insert adds an account whose id is not there yet; it copies id and metadata.
func (a *accounts) insert(id []byte, hash uint64, account *ledger.Account, metadata ledger.Metadata) {
	n := a.pages - 1
	if a.pages == 0 || a.page(n).used == pageAccounts {
		n = a.pages
		a.append(&page{epoch: a.epoch})
	}
	p := a.writable(n)
	a.bytes -= p.bytes()
	i := p.add(id, account, slices.Clone(metadata))
	a.bytes += p.bytes()
	a.index.add(uint32(hash), place(n*pageAccounts+i))
	a.count++
}

// append adds a page at the end of the table.
func (a *accounts) append(p *page) {
	if a.pages%chunkPages == 0 {
		a.chunks = append(a.chunks, &chunk{epoch: a.epoch})
	}
	a.chunks[a.pages/chunkPages].pages[a.pages%chunkPages] = p
	a.pages++
	a.bytes += p.bytes()
}

// writable returns page n, copied first if a freeze may still read it.
func (a *accounts) writable(n int) *page {
	p := a.page(n)
	if p.epoch == a.epoch {
		return p
	}
	if !a.captured(p.epoch) || planted.Is(planted.FrozenPageWritten) {
		p.epoch = a.epoch
		return p
	}
	a.retained += pageSize + cap(p.metadata)*metadataSize
	a.copies++
	c := a.chunks[n/chunkPages]
	if c.epoch != a.epoch {
		if a.captured(c.epoch) {
			a.retained += chunkSize
			fresh := *c
			c = &fresh
			a.chunks[n/chunkPages] = c
		}
		c.epoch = a.epoch
	}
	p = p.copy(a.epoch)
	c.pages[n%chunkPages] = p
	return p
}

// captured reports whether a freeze still in use has captured what was last
// written in epoch.
func (a *accounts) captured(epoch uint64) bool {
	a.forget()
	n := len(a.frozen)
	return n > 0 && epoch <= a.frozen[n-1].epoch
}

// forget drops the freezes that are done.
func (a *accounts) forget() {
	if len(a.frozen) == 0 {
		return
	}
	a.frozen = slices.DeleteFunc(a.frozen, func(f *Frozen) bool { return f.done.Load() })
	if len(a.frozen) == 0 {
		a.retained = 0
	}
}

// freeze ends the epoch for f and returns the page table as it is.
func (a *accounts) freeze(f *Frozen) table {
	a.forget()
	a.frozen = append(a.frozen, f)
	a.epoch++
	return table{chunks: slices.Clone(a.chunks), pages: a.pages, accounts: a.count}
}

// total is what the accounts take in memory, without and with what is kept only
// for freezes.
func (a *accounts) total() (live, retained int) {
	return a.bytes + a.index.bytes() + len(a.chunks)*chunkSize, a.retained
}

func (a *accounts) read(id []byte, hash uint64) (ledger.AccountView, bool) {
	at, ok := a.find(id, hash)
	if !ok {
		return ledger.AccountView{}, false
	}
	return a.page(int(at / pageAccounts)).view(int(at % pageAccounts)), true
}
