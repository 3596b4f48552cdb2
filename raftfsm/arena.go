package raftfsm

import (
	"slices"
	"sync"

	"purser/internal/ledger"
	"purser/shard"
)

// arena is the memory of one entry: its commands on their way through the shards,
// and their results. The goroutine that applies the entry takes it. It comes back
// when release is called, which is once nobody looks at the entry's Applied or at
// anything that this leads to; an arena that is never released is garbage like any
// other. So it is enough not to be sure: then it is not released.
//
// What hangs on a record and is not of this entry alone is not in it: payments and
// records of the journal, copies of accounts.
type arena struct {
	home *arenas
	idle bool // in home.free, guarded by home.mu

	own      []shard.Slot // of the entry's commands
	slots    []*shard.Slot
	results  []ledger.Result
	recalled []recalled
	applied  ledger.Applied
	release  func() // made once: for every entry it would be garbage
}

// arenas keeps those that are not in use.
type arenas struct {
	mu   sync.Mutex
	free []*arena // the longest idle one first: all take turns, and a large one does not stay
	room int      // commands of the largest entry of late

	// spoil has what is released overwritten, so that a late look at it is noticed.
	spoil bool
}

// idleArenas is how many are kept: as many as entries in flight, and as many whose
// handlers still render.
const idleArenas = 6

// take returns an arena with room for the commands of an entry. A new one has room
// for the entries of late, which are forgotten by a 64th at each.
func (s *arenas) take(commands int) *arena {
	s.mu.Lock()
	var a *arena
	s.room = max(commands, s.room-s.room/64)
	room := s.room + s.room/8
	if len(s.free) > 0 {
		a = s.free[0]
		a.idle = false
		s.free = slices.Delete(s.free, 0, 1)
	}
	s.mu.Unlock()
	if a == nil {
		a = &arena{home: s}
		a.release = a.giveBack
	} else if s.spoil {
		a.clear()
	}
	if cap(a.own) < commands {
		a.own, a.results = make([]shard.Slot, 0, room), make([]ledger.Result, 0, room)
		a.slots = make([]*shard.Slot, 0, room)
	}
	a.own, a.results = a.own[:commands], a.results[:commands]
	return a
}

// recallable returns room for what earlier entries have to say.
func (a *arena) recallable() []recalled {
	if cap(a.recalled) < len(a.own) {
		a.recalled = make([]recalled, 0, cap(a.own))
	}
	a.recalled = a.recalled[:len(a.own)]
	return a.recalled
}

// giveBack is release. It does not keep an arena that is much larger than the entries
// of late: the collector looks at all of it, in use or not.
func (a *arena) giveBack() {
	a.home.mu.Lock()
	idle := a.idle
	a.home.mu.Unlock()
	if idle {
		panic("raftfsm: the memory of an entry is released twice")
	}
	if a.home.spoil {
		a.overwrite()
	} else {
		a.clear()
	}
	a.home.mu.Lock()
	defer a.home.mu.Unlock()
	if len(a.home.free) < idleArenas && cap(a.own) <= 2*a.home.room+64 {
		a.idle = true
		a.home.free = append(a.home.free, a)
	}
}

// clear makes everything as it was before the entry: a slot and a result begin as
// zero, and nothing shall stay in memory because of an idle arena.
func (a *arena) clear() {
	clear(a.own)
	clear(a.slots)
	clear(a.results)
	clear(a.recalled)
	a.own, a.slots, a.results, a.recalled = a.own[:0], a.slots[:0], a.results[:0], a.recalled[:0]
	a.applied = ledger.Applied{}
}

// overwrite makes everything wrong.
func (a *arena) overwrite() {
	gone := []byte("released")
	for i := range a.own {
		rec := &a.own[i].Record
		rec.Seq, rec.Amount, rec.Code = 1<<63, -1, 255
		rec.Command = ledger.Command{Kind: 255, Key: gone, Source: gone, Destination: gone, Amount: -1}
		rec.Raw, rec.Payment, rec.Account = gone, nil, nil
	}
	for i := range a.results {
		a.results[i] = ledger.Result{Conflict: "released"}
	}
	a.applied.Index = 1 << 63
}
