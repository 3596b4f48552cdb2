package raftfsm

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"purser/internal/ledger"
)

// Ready returns nil while this node may propose: it leads, and its state has
// everything that was committed before. Otherwise it returns ledger.ErrNoLeader.
func (n *Node) Ready() error {
	if !n.serving.Load() {
		return ledger.ErrNoLeader
	}
	return nil
}

// NextDue is the log time at which the earliest open hold lapses; ok is false
// when there is none.
func (n *Node) NextDue() (due ledger.Micros, ok bool) {
	n.fsm.use(func(m *machine) { due = m.position().NextDue })
	return due, due != 0
}

// Proposal is an entry on its way through raft.
type Proposal struct {
	future raft.ApplyFuture
}

// Propose hands entry to raft, which owns it from then on.
func (n *Node) Propose(entry []byte) Proposal {
	return Proposal{future: n.raft.Apply(entry, n.cfg.AppendLimit)}
}

// Wait blocks until the entry is applied on this node, or raft has given it up.
// Errors are ledger.ErrNoLeader and ledger.ErrOverloaded when it was certainly
// not applied, and ledger.ErrOutcomeUnknown otherwise.
func (p Proposal) Wait() (*ledger.Applied, error) {
	switch err := p.future.Error(); {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return nil, ledger.ErrNoLeader
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return nil, ledger.ErrOverloaded
	default: // lost leadership, shut down, a failed store: the entry may live on
		return nil, ledger.ErrOutcomeUnknown
	}
	applied, ok := p.future.Response().(*ledger.Applied)
	if !ok {
		return nil, ledger.ErrOutcomeUnknown
	}
	return applied, nil
}

// followLeadership drains raft's notifications, which raft waits for, and lets
// the node serve once a barrier has passed after it became leader.
func (n *Node) followLeadership() {
	defer n.done.Done()
	var passed chan error // of the barrier under way
	for {
		select {
		case <-n.stop:
			return
		case leading := <-n.notify:
			n.serving.Store(false)
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
			n.serving.Store(true)
			n.cfg.Logger.Info("leading", "term", n.raft.CurrentTerm(), "applied", n.fsm.Applied())
		}
	}
}

// barrier proposes one and returns where its outcome will be sent. raft answers
// it at the latest when it loses the lead or stops.
func (n *Node) barrier() chan error {
	passed := make(chan error, 1)
	future := n.raft.Barrier(0)
	n.done.Add(1)
	go func() {
		defer n.done.Done()
		passed <- future.Error()
	}()
	return passed
}

// keyNodeID holds the id of the node that owns a data directory.
var keyNodeID = []byte("purser.node-id")

// claimIdentity binds the data directory to id, or refuses another one: a vote
// belongs to the node that gave it.
func claimIdentity(stable raft.StableStore, id string) error {
	owner, err := stable.Get(keyNodeID)
	switch {
	case err != nil && isMiss(err):
		return stable.Set(keyNodeID, []byte(id))
	case err != nil:
		return fmt.Errorf("read node id: %w", err)
	case string(owner) != id:
		return fmt.Errorf("the data directory belongs to node %q, not to %q", owner, id)
	}
	return nil
}
