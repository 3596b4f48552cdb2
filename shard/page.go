package shard

import (
	"slices"
	"unsafe"

	"purser/internal/ledger"
)

// pageAccounts is the number of accounts of a full page.
const pageAccounts = 64

// page holds up to 64 accounts in the order of their creation. Only the last
// page of a shard is not full.
//
// A page that a freeze has captured is never written again: its owner copies it
// first. ids is append-only, so a copy shares the array: the captured page reads
// only up to its own length.
//
// The fields with pointers come first: the collector scans no further.
type page struct {
	ids      []byte            // concatenated
	metadata []ledger.Metadata // nil, or one per account of a full page; the bytes are never written again
	epoch    uint64            // of the newest write
	used     int
	ends     [pageAccounts]uint16 // where each id ends in ids
	accounts [pageAccounts]ledger.Account
}

const (
	pageSize     = int(unsafe.Sizeof(page{}))
	metadataSize = int(unsafe.Sizeof(ledger.Metadata{}))
)

func (p *page) id(i int) []byte {
	start := 0
	if i > 0 {
		start = int(p.ends[i-1])
	}
	end := int(p.ends[i])
	return p.ids[start:end:end]
}

func (p *page) metadataOf(i int) ledger.Metadata {
	if p.metadata == nil {
		return nil
	}
	return p.metadata[i]
}

// setMetadata keeps m, which must be the page's own from now on.
func (p *page) setMetadata(i int, m ledger.Metadata) {
	if p.metadata == nil {
		if len(m) == 0 {
			return
		}
		p.metadata = make([]ledger.Metadata, pageAccounts)
	}
	p.metadata[i] = m
}

// add appends an account and returns its number in the page.
func (p *page) add(id []byte, account *ledger.Account, metadata ledger.Metadata) int {
	i := p.used
	if p.ids == nil { // ids tend to be of one length
		p.ids = make([]byte, 0, pageAccounts*len(id))
	}
	p.ids = append(p.ids, id...)
	p.ends[i] = uint16(len(p.ids))
	p.accounts[i] = *account
	p.setMetadata(i, metadata)
	p.used++
	return i
}

// copy returns a page that can be written without changing p.
func (p *page) copy(epoch uint64) *page {
	q := new(page)
	*q = *p
	q.epoch = epoch
	q.metadata = slices.Clone(p.metadata)
	return q
}

// bytes is what the page takes in memory, with all that it points to.
func (p *page) bytes() int {
	n := pageSize + cap(p.ids) + cap(p.metadata)*metadataSize
	for _, m := range p.metadata {
		n += cap(m)
	}
	return n
}

// view returns a detached copy of an account.
func (p *page) view(i int) ledger.AccountView {
	return ledger.AccountView{
		Account:  p.accounts[i],
		ID:       slices.Clone(p.id(i)),
		Metadata: slices.Clone(p.metadataOf(i)),
	}
}
