package shard

import "purser/internal/ledger"

// Read returns an account; ok is false when there is none with this id. World
// accounts have no state here. Any goroutine may call it, also after Close.
func (g *Group) Read(id []byte) (view ledger.AccountView, ok bool) {
	p := g.owner(id)
	a := &ask{
		ids:    [][]byte{id},
		hashes: []uint64{p.hash},
		at:     []int{0},
		views:  make([]ledger.AccountView, 1),
		found:  make([]bool, 1),
		done:   make(chan struct{}, 1),
	}
	g.shards[p.home].ask(a)
	g.shards[p.home].wait(a)
	return a.views[0], a.found[0]
}

// ReadMany returns the accounts with these ids, in the same order; found tells
// which exist. Accounts of one shard are read between the same two entries. Any
// goroutine may call it, also after Close.
func (g *Group) ReadMany(ids [][]byte) (views []ledger.AccountView, found []bool) {
	views = make([]ledger.AccountView, len(ids))
	found = make([]bool, len(ids))
	asks := make([]*ask, len(g.shards))
	for i, id := range ids {
		p := g.owner(id)
		a := asks[p.home]
		if a == nil {
			a = &ask{views: views, found: found, done: make(chan struct{}, 1)}
			asks[p.home] = a
		}
		a.ids = append(a.ids, id)
		a.hashes = append(a.hashes, p.hash)
		a.at = append(a.at, i)
	}
	for i, a := range asks {
		if a != nil {
			g.shards[i].ask(a)
		}
	}
	for i, a := range asks {
		if a != nil {
			g.shards[i].wait(a)
		}
	}
	return views, found
}

func (s *Shard) ask(a *ask) {
	select {
	case s.asks <- a:
	case <-s.stopped:
	}
}

// wait returns when a is answered. Once the goroutine has ended nobody writes
// its accounts any more, and the reader looks for itself.
func (s *Shard) wait(a *ask) {
	select {
	case <-a.done:
		return
	case <-s.stopped:
	}
	select {
	case <-a.done:
	default:
		s.lookUp(a)
	}
}
