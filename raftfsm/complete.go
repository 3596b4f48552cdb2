package raftfsm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// completeChanges makes raft's configuration what the replicated state says. A change
// is written there first. The second step may have failed, with the lead or in its
// transfer, and nobody may be left who tries again: a node that has joined takes the
// first for the whole, and waits to hear of a leader that does not know it.
func (n *Node) completeChanges(now raft.Configuration) error {
	if len(n.incomplete(now)) == 0 {
		return nil
	}
	now, unlock, err := n.holdChanges()
	if err != nil {
		return err
	}
	defer unlock()
	var faults []error
	for _, m := range n.incomplete(now) {
		var err error
		n.cfg.Logger.Info("a change of the cluster is completed", "node", m.ID, "removed", m.Removed)
		switch {
		case !m.Removed:
			err = n.enlist(m, m, true)
		case m.ID == n.cfg.NodeID:
			n.StepDown() // another one does it
		default:
			err = n.raft.RemoveServer(raft.ServerID(m.ID), 0, n.cfg.AppendLimit).Error()
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("complete the change of node %q: %w", m.ID, err))
		}
	}
	return errors.Join(faults...)
}

// holdChanges waits until no change of the cluster is under way on this node, keeps
// others from beginning, and returns raft's configuration. Its error wraps
// ErrNotLeader if the node has lost the lead meanwhile: what it knows may be old.
func (n *Node) holdChanges() (now raft.Configuration, unlock func(), err error) {
	n.changing.Lock()
	if !n.serving.Load() {
		err = ErrNotLeader
	} else {
		now, err = n.configuration()
	}
	if err != nil {
		n.changing.Unlock()
	}
	return now, n.changing.Unlock, err
}

// incomplete returns the records that raft's configuration does not agree with.
func (n *Node) incomplete(now raft.Configuration) []MemberRecord {
	return slices.DeleteFunc(n.fsm.Members(), func(m MemberRecord) bool {
		i := slices.IndexFunc(now.Servers, func(s raft.Server) bool { return string(s.ID) == m.ID })
		if m.Removed || i < 0 {
			return m.Removed == (i < 0)
		}
		return string(now.Servers[i].Address) == m.RaftAddr
	})
}
