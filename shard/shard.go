package shard

import "purser/internal/ledger"

// askLimit bounds the reads that wait for one shard. A read takes well under a
// microsecond, so a full queue is a fraction of a millisecond of work; beyond it
// readers block, which is the backpressure.
const askLimit = 256

// Shard is the goroutine that owns one part of the accounts.
type Shard struct {
	number int32
	group  *Group

	// accounts are the shard's own except between answering a task of kind
	// taskLend and receiving from back.
	accounts *accounts

	work    chan task      // from the group's caller, which never has two waiting
	asks    chan *ask      // reads, from any goroutine
	wake    chan struct{}  // ends this shard's one wait in a rendezvous
	lent    chan *accounts // what the others lend to this shard for one entry
	back    chan *accounts // this shard's own, back from whom it lent them to
	stopped chan struct{}  // closed when the goroutine has ended

	hands   []*accounts // by shard: whose accounts the running task may touch
	scratch scratch
	glances [2 * lookahead]glimpse // of prefetch
	glanced uint64                 // what prefetch read, so that it is not optimized away
	counts  counts
}

// scratch is where a command's accounts are worked on: the rules change copies,
// and only an accepted command's are stored.
type scratch struct{ source, destination ledger.Account }

type taskKind uint8

const (
	taskRun  taskKind = iota // execute this shard's commands of the entry
	taskSolo                 // execute the whole entry, with accounts lent by others
	taskLend                 // lend the accounts to somebody and wait for them
)

// task is one message from the group's caller.
type task struct {
	kind    taskKind
	slots   []*Slot
	lenders int              // taskSolo: how many others lend
	to      chan<- *accounts // taskLend
}

// ask is one read: of ids that all belong to the shard that gets it.
type ask struct {
	ids    [][]byte
	hashes []uint64
	at     []int // where in views each answer goes
	views  []ledger.AccountView
	found  []bool
	done   chan struct{} // capacity 1
}

func newShard(g *Group, number int32, shards int) *Shard {
	s := &Shard{
		number:   number,
		group:    g,
		accounts: newAccounts(number),
		work:     make(chan task, 1),
		asks:     make(chan *ask, askLimit),
		wake:     make(chan struct{}, 1),
		lent:     make(chan *accounts, shards),
		back:     make(chan *accounts, 1),
		stopped:  make(chan struct{}),
		hands:    make([]*accounts, shards),
	}
	s.hands[number] = s.accounts
	return s
}

// run is the goroutine. It ends when work is closed.
func (s *Shard) run() {
	defer close(s.stopped)
	for {
		select {
		case t, ok := <-s.work:
			if !ok {
				return
			}
			s.do(t)
		case a := <-s.asks:
			s.answer(a)
		}
	}
}

func (s *Shard) do(t task) {
	switch t.kind {
	case taskRun:
		s.runOwn(t.slots)
		s.publish(len(t.slots))
		s.group.finish()
	case taskSolo:
		s.runWhole(t)
		s.publish(len(t.slots))
		s.group.finish()
	case taskLend:
		s.counts.lends.Add(1)
		t.to <- s.accounts
		<-s.back
		s.publish(0)
	}
}

// answer serves one read from the shard's own memory.
func (s *Shard) answer(a *ask) {
	s.lookUp(a)
	a.done <- struct{}{}
}

// lookUp changes nothing, so that after the goroutine has ended readers may call
// it themselves.
func (s *Shard) lookUp(a *ask) {
	for i, id := range a.ids {
		a.views[a.at[i]], a.found[a.at[i]] = s.accounts.read(id, a.hashes[i])
	}
}
