package raftfsm

import (
	"testing"

	"github.com/hashicorp/raft"
)

// TestNewLeaderServesOnceItHasCaughtUp: a follower that has the entries, and has
// not applied them, is elected. It must not serve before it has: a read would miss
// what was acknowledged.
func TestNewLeaderServesOnceItHasCaughtUp(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.pay(t, c.leader(), 1)
	c.settled()
	before, next := c.leader(), c.follower()

	var late *machine
	_ = next.fsm.use(func(m *machine) error {
		late = m
		return nil
	})
	late.applying.Lock()
	c.pay(t, before, 3)
	err := before.raft.LeadershipTransferToServer(raft.ServerID(next.cfg.NodeID), raft.ServerAddress(next.cfg.RaftListen)).Error()
	if err != nil {
		late.applying.Unlock()
		t.Fatal(err)
	}
	// The barrier behind which it will serve is proposed when it knows that it leads.
	c.eventually("the new leader proposes a barrier", func() bool {
		var last raft.Log
		index, err := next.log.LastIndex()
		return err == nil && next.log.GetLog(index, &last) == nil && last.Type == raft.LogBarrier &&
			next.raft.State() == raft.Leader && last.Term == next.raft.CurrentTerm()
	})
	if next.Ready() == nil {
		t.Error("it serves, with payments in its log that it has not applied")
	}
	late.applying.Unlock()
	c.eventually("the new leader serves", func() bool { return next.Ready() == nil })
	c.check(t, next)
}
