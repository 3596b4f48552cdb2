package shard

// lookahead is how many commands have their accounts prefetched at a time: what
// that brings in, some four cache lines for each account, stays in a core's own
// cache until it is used.
const lookahead = 64

// prefetch brings into the processor's cache what executing slots will read of the
// accounts in s.hands: the misses of many accounts overlap, those of one, each
// behind the one before, do not. It changes nothing.
func (s *Shard) prefetch(slots []*Slot) {
	places := s.glances[:0]
	for _, slot := range slots {
		if slot.decider == nobody {
			continue // it was refused before it got accounts
		}
		places = s.glance(places, &slot.source)
		places = s.glance(places, &slot.destination)
	}
	sum := uint64(0)
	for _, g := range places {
		account := &g.page.accounts[g.at]
		sum += account.Number + account.Postings + uint64(g.page.ends[g.at])
	}
	for _, g := range places {
		if id := g.page.id(g.at); len(id) > 0 {
			sum += uint64(id[0])
		}
	}
	clear(places) // pages that are replaced shall not stay because of this
	s.glanced = sum
}

// glimpse is where an account probably is.
type glimpse struct {
	page *page
	at   int
}

// glance appends where the account of p probably is, if anywhere.
func (s *Shard) glance(to []glimpse, p *party) []glimpse {
	if p.world || s.hands[p.home] == nil {
		return to
	}
	a := s.hands[p.home]
	tag := uint32(p.hash)
	at, _, ok := a.index.next(tag, a.index.start(tag))
	if !ok {
		return to
	}
	return append(to, glimpse{a.page(int(at / pageAccounts)), int(at % pageAccounts)})
}
