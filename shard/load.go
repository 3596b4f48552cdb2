package shard

import "fmt"

// Load adds the accounts of a page that a checkpoint has written. Pages come in
// ascending order of keys, before anything is executed. An error is a
// *DamagedPageError and leaves the group unfit for use.
//
// With as many shards as when they were written, pages keep their keys and are
// clean. With another number every account is placed anew and all is dirty, until
// a checkpoint, which is then Whole, has succeeded.
func (g *Group) Load(key Key, data []byte) error {
	p, shards, err := decodePage(key, data)
	if err != nil {
		return err
	}
	if g.loaded == 0 {
		g.loaded = shards
	}
	damaged := func(format string, args ...any) error {
		return &DamagedPageError{Key: key, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case shards != g.loaded:
		return damaged("written for %d shards, pages before it for %d", shards, g.loaded)
	case key.Shard >= shards:
		return damaged("there were only %d shards", shards)
	}
	g.borrow(func(all []*accounts) {
		var reason string
		if int(shards) == len(g.shards) {
			reason = g.adopt(key, p, all[key.Shard])
		} else {
			reason = g.spread(p, all)
		}
		if reason != "" {
			err = damaged("%s", reason)
		}
	})
	return err
}

// adopt puts p where it was, or says why it cannot.
func (g *Group) adopt(key Key, p *page, a *accounts) (reason string) {
	switch {
	case int(key.Page) != a.pages:
		return fmt.Sprintf("page %d was expected", a.pages)
	case a.pages > 0 && a.page(a.pages-1).used < pageAccounts:
		return "the page before it is not full"
	}
	p.epoch = 0 // older than any freeze: clean
	a.append(p)
	for i := range p.used {
		at := g.owner(p.id(i))
		if at.home != a.shard {
			return fmt.Sprintf("account %q belongs to shard %d", p.id(i), at.home)
		}
		if _, twice := a.find(p.id(i), at.hash); twice {
			return fmt.Sprintf("account %q is there twice", p.id(i))
		}
		a.index.add(uint32(at.hash), place(int(key.Page)*pageAccounts+i))
		a.count++
	}
	return ""
}

// spread inserts the accounts of p where they belong now.
func (g *Group) spread(p *page, all []*accounts) (reason string) {
	for i := range p.used {
		at := g.owner(p.id(i))
		a := all[at.home]
		if _, twice := a.find(p.id(i), at.hash); twice {
			return fmt.Sprintf("account %q is there twice", p.id(i))
		}
		a.insert(p.id(i), at.hash, &p.accounts[i], p.metadataOf(i))
	}
	return ""
}
