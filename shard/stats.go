package shard

import "sync/atomic"

// counts are a shard's own numbers. Only its goroutine writes them; anybody may
// read them.
type counts struct {
	accounts, pages   atomic.Int64
	bytes, retained   atomic.Int64
	copies            atomic.Int64
	entries, commands atomic.Uint64
	lends, parks      atomic.Uint64
}

// publish brings the numbers up to date after an entry of which this shard
// executed commands.
func (s *Shard) publish(commands int) {
	if commands > 0 {
		s.counts.entries.Add(1)
		s.counts.commands.Add(uint64(commands))
	}
	live, retained := s.accounts.total()
	s.counts.accounts.Store(int64(s.accounts.count))
	s.counts.pages.Store(int64(s.accounts.pages))
	s.counts.bytes.Store(int64(live))
	s.counts.retained.Store(int64(retained))
	s.counts.copies.Store(int64(s.accounts.copies))
}

// Stats describe one shard.
type Stats struct {
	Accounts int
	Pages    int
	Bytes    int64 // memory for accounts, ids, metadata and index
	Retained int64 // memory kept only for freezes in use

	PagesCopied uint64 // because a freeze had captured them
	Entries     uint64 // of which the shard executed something
	Commands    uint64 // decided or followed by it
	Lends       uint64 // times it lent its accounts for an entry, a freeze or a load
	Parks       uint64 // times it parked in a rendezvous

	ReadsWaiting int
	ReadLimit    int // ReadsWaiting never exceeds it
}

// Stats returns numbers for every shard, each as of its newest entry. Any
// goroutine may call it.
func (g *Group) Stats() []Stats {
	stats := make([]Stats, len(g.shards))
	for i, s := range g.shards {
		c := &s.counts
		stats[i] = Stats{
			Accounts:     int(c.accounts.Load()),
			Pages:        int(c.pages.Load()),
			Bytes:        c.bytes.Load(),
			Retained:     c.retained.Load(),
			PagesCopied:  uint64(c.copies.Load()),
			Entries:      c.entries.Load(),
			Commands:     c.commands.Load(),
			Lends:        c.lends.Load(),
			Parks:        c.parks.Load(),
			ReadsWaiting: len(s.asks),
			ReadLimit:    cap(s.asks),
		}
	}
	return stats
}
