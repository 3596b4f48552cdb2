package raftfsm

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"purser/internal/ledger"
	"purser/internal/planted"
)

// Ready returns nil while this node may propose: it leads, and its state has
// everything that was committed before. Otherwise it returns ledger.ErrNoLeader.
func (n *Node) Ready() error {
	if !n.serving.Load() || n.diverged.Load() != nil {
		return ledger.ErrNoLeader
	}
	return nil
}

// NextDue is the log time at which the earliest open hold lapses; ok is false
// when there is none. What log time has passed already is due at 1, before any
// clock: a leader may have one that is behind log time, and would wait for it.
func (n *Node) NextDue() (due ledger.Micros, ok bool) {
	_ = n.fsm.use(func(m *machine) error { // without a state nothing is due
		at := m.position()
		if due = at.NextDue; due != 0 && due <= at.Stamp {
			due = 1
		}
		return nil
	})
	return due, due != 0
}

// intake is where entries are handed to raft. It closes before raft does: raft
// never answers what is still queued when it is shut down.
type intake struct {
	mu     sync.RWMutex // for reading while something is handed over
	closed bool
}

// hand runs give unless the intake is closed.
func (i *intake) hand(give func()) bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if i.closed {
		return false
	}
	give()
	return true
}

// close ends the intake and returns when everything that went through it is
// answered: raft answers in order, and the barrier comes last.
func (i *intake) close(r *raft.Raft) {
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	_ = r.Barrier(0).Error() // also an error comes after the answers
}

// Proposal is an entry on its way through raft.
type Proposal struct {
	future  raft.ApplyFuture // nil: refused
	awaited *atomic.Int64    // to be lowered by Wait
}

// Propose hands entry to raft, which owns it from then on. Wait must be called,
// once.
func (n *Node) Propose(entry []byte) (p Proposal) {
	p.awaited = &n.fsm.awaited
	p.awaited.Add(1)
	n.intake.hand(func() { p.future = n.raft.Apply(entry, n.cfg.AppendLimit) })
	return p
}

// Wait blocks until the entry is applied on this node, or raft has given it up.
// Errors are ledger.ErrNoLeader and ledger.ErrOverloaded when it was certainly
// not applied, and ledger.ErrOutcomeUnknown otherwise.
func (p Proposal) Wait() (*ledger.Applied, error) {
	defer p.awaited.Add(-1)
	if p.future == nil {
		return nil, ledger.ErrNoLeader
	}
	switch err := p.future.Error(); {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return nil, ledger.ErrNoLeader
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return nil, ledger.ErrOverloaded
	case planted.Is(planted.LostLeadershipRefused) && errors.Is(err, raft.ErrLeadershipLost):
		return nil, ledger.ErrNoLeader
	default: // lost leadership, shut down, a failed store: the entry may live on
		return nil, ledger.ErrOutcomeUnknown
	}
	applied, ok := p.future.Response().(*ledger.Applied)
	if !ok {
		return nil, ledger.ErrOutcomeUnknown
	}
	return applied, nil
}

// newNotify makes the channel of raft's notifications. raft waits until one is
// taken: there is room for those that come while a diverged leader hands over.
func newNotify() chan bool { return make(chan bool, 16) }

// followLeadership drains raft's notifications, which raft waits for, and lets
// the node serve once a barrier has passed after it became leader.
func (n *Node) followLeadership() {
	var passed chan error // of the barrier under way
	for {
		select {
		case <-n.stop:
			return
		case leading := <-n.notify:
			n.serving.Store(leading && planted.Is(planted.ServedBeforeBarrier))
			passed = nil
			if leading {
				passed = n.barrier()
			}
		case err := <-passed:
			passed = nil
			if err != nil {
				n.cfg.Logger.Warn("no barrier passed after the election", "error", err)
				continue
			}
			if err := n.Diverged(); err != nil {
				n.cfg.Logger.Error("handing the lead over", "error", err)
				n.StepDown()
				continue
			}
			n.serving.Store(true)
			n.cfg.Logger.Info("leading", "term", n.raft.CurrentTerm(), "applied", n.fsm.Applied())
		}
	}
}

// barrier proposes one and returns where its outcome will be sent. raft answers
// it at the latest when it loses the lead, and Close awaits it.
func (n *Node) barrier() chan error {
	passed := make(chan error, 1)
	n.done.Add(1)
	go func() {
		defer n.done.Done()
		var future raft.Future
		if !n.intake.hand(func() { future = n.raft.Barrier(0) }) {
			passed <- raft.ErrRaftShutdown
			return
		}
		passed <- future.Error()
	}()
	return passed
}
