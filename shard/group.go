package shard

import (
	"fmt"
	"sync/atomic"
)

// MaxShards bounds the number of shards: beyond the number of CPUs of any
// machine they only cost.
const MaxShards = 1024

// Options configure a Group.
type Options struct {
	// Shards is the number of shards, at least 1. One per CPU is a good choice.
	Shards int
}

// Validate reports what is wrong with the options.
func (o Options) Validate() error {
	if o.Shards < 1 || o.Shards > MaxShards {
		return fmt.Errorf("shards: %d is not in 1..%d", o.Shards, MaxShards)
	}
	return nil
}

// Group is all accounts, spread over its shards. Except where a method says
// otherwise, one goroutine calls its methods.
type Group struct {
	shards []*Shard

	plan    []part // by shard: its part of the entry being executed
	pending atomic.Int32
	done    chan struct{}  // capacity 1: the last shard at work has finished
	lent    chan *accounts // what the shards lend to the caller

	policy policy

	clean         atomic.Uint64 // epoch of the newest checkpoint that succeeded
	checkpointing atomic.Bool   // a Frozen for a checkpoint is not done yet
	loaded        uint32        // number of shards when the loaded pages were written, 0 before Load
}

// part is one shard's share of an entry.
type part struct {
	slots []*Slot // in log order; filled only when the shard runs them itself
	legs  int     // how many accounts of the entry's commands are here
}

// New starts a group without accounts. The caller must Close it.
func New(o Options) (*Group, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	g := &Group{
		shards: make([]*Shard, o.Shards),
		plan:   make([]part, o.Shards),
		done:   make(chan struct{}, 1),
		lent:   make(chan *accounts, o.Shards),
		policy: measured,
	}
	for i := range g.shards {
		g.shards[i] = newShard(g, int32(i), o.Shards)
	}
	for _, s := range g.shards {
		go s.run()
	}
	return g, nil
}

// Close stops the shards and waits until their goroutines have ended. Reads go
// on to be answered, from the final state. Nothing else may be called after it.
func (g *Group) Close() {
	for _, s := range g.shards {
		close(s.work)
	}
	for _, s := range g.shards {
		<-s.stopped
	}
}

// Shards returns the number of shards.
func (g *Group) Shards() int { return len(g.shards) }

// Execute executes the commands of an entry, in order, and returns when all
// their records are complete. The outcome is that of one thread executing them
// one after another, whatever the number of shards. It panics on a command that
// the rules do not know, which a decoded entry never holds.
func (g *Group) Execute(slots []*Slot) {
	crossing := 0
	for _, s := range slots {
		g.route(s)
		if s.decider == nobody {
			continue
		}
		g.plan[s.decider].legs++
		if s.crosses() {
			g.plan[s.follower].legs++
			crossing++
		}
	}
	involved, busiest := 0, 0
	for i := range g.plan {
		if g.plan[i].legs > 0 {
			involved++
		}
		if g.plan[i].legs > g.plan[busiest].legs {
			busiest = i
		}
	}
	switch {
	case involved == 0:
		return
	case involved > 1 && g.policy(len(slots), crossing):
		g.fanOut(slots, involved)
	default:
		g.solo(slots, busiest, involved-1)
	}
	<-g.done
	for i := range g.plan {
		p := &g.plan[i]
		clear(p.slots) // or one slot would keep all of its entry in memory
		p.slots, p.legs = p.slots[:0], 0
	}
}

// fanOut has every shard execute its own part.
func (g *Group) fanOut(slots []*Slot, involved int) {
	for _, s := range slots {
		if s.decider == nobody {
			continue
		}
		d := &g.plan[s.decider]
		d.slots = append(d.slots, s)
		if s.crosses() {
			f := &g.plan[s.follower]
			f.slots = append(f.slots, s)
		}
	}
	g.pending.Store(int32(involved))
	for i := range g.plan {
		if g.plan[i].legs > 0 {
			g.shards[i].work <- task{kind: taskRun, slots: g.plan[i].slots}
		}
	}
}

// solo has the shard with most of the work execute the whole entry, and the
// others involved lend it their accounts.
func (g *Group) solo(slots []*Slot, busiest, lenders int) {
	executor := g.shards[busiest]
	g.pending.Store(1)
	for i := range g.plan {
		if g.plan[i].legs > 0 && i != busiest {
			g.shards[i].work <- task{kind: taskLend, to: executor.lent}
		}
	}
	executor.work <- task{kind: taskSolo, slots: slots, lenders: lenders}
}

// finish is called by each shard at work on an entry when it is done.
func (g *Group) finish() {
	if g.pending.Add(-1) == 0 {
		g.done <- struct{}{}
	}
}

// borrow lends all accounts to the caller's goroutine while do runs.
func (g *Group) borrow(do func(all []*accounts)) {
	all := make([]*accounts, len(g.shards))
	for _, s := range g.shards {
		s.work <- task{kind: taskLend, to: g.lent}
	}
	for range all {
		a := <-g.lent
		all[a.shard] = a
	}
	do(all)
	for i, a := range all {
		g.shards[i].back <- a
	}
}

// policy decides whether an entry over several shards is executed by all of
// them, rather than by one to which the others lend their accounts.
type policy func(commands, crossing int) bool

// Fanning out divides the time of an entry by the shards if processors are idle,
// but every command that crosses costs a rendezvous: about 1.2 us of processor
// time (BenchmarkExecute, 2 shards on 2 cores, of which a payment among a million
// accounts takes 0.7 us). One in 32 adds some 5 percent, all of them treble the
// cost, while lending costs two wake-ups an entry. Below fanOutFrom commands,
// some 40 us of work, waking the other shards is a good part of the time.
const (
	fanOutFrom    = 64
	crossingOneIn = 32
)

// measured is the policy of every group but those of tests.
func measured(commands, crossing int) bool {
	return commands >= fanOutFrom && crossing*crossingOneIn <= commands
}
