package raftfsm

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"purser/internal/ledger"
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
	release := sync.OnceFunc(late.applying.Unlock)
	defer release()
	c.pay(t, before, 3)
	c.eventually("the follower that is behind is elected", func() bool {
		for _, n := range c.nodes {
			if n != next && n.raft.State() == raft.Leader {
				// The next look says what came of it.
				_ = n.raft.LeadershipTransferToServer(raft.ServerID(next.cfg.NodeID), raft.ServerAddress(next.cfg.RaftListen)).Error()
			}
		}
		return next.raft.State() == raft.Leader
	})
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
	release()
	c.eventually("the new leader serves", func() bool { return next.Ready() == nil })
	c.check(t, next)
}

// TestRaftNeverWaitsToTellWhoLeads: a node is made leader and deposed more often
// than there is room for notifications, while the barrier of the first time is still
// under way. raft must not wait for that.
func TestRaftNeverWaitsToTellWhoLeads(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.pay(t, c.leader(), 1)
	c.settled()
	busy, other := c.nodes["n1"], c.nodes["n2"]
	var late *machine
	_ = busy.fsm.use(func(m *machine) error {
		late = m
		return nil
	})
	lead := func(next *Node) {
		t.Helper()
		c.eventually("another node leads", func() bool {
			if next.raft.State() == raft.Leader {
				return true
			}
			for _, n := range c.nodes {
				if n.raft.State() == raft.Leader { // not waited for: raft may never answer
					n.raft.LeadershipTransferToServer(raft.ServerID(next.cfg.NodeID), raft.ServerAddress(next.cfg.RaftListen))
				}
			}
			return false
		})
	}
	lead(other)
	c.eventually("the other node serves", func() bool { return other.Ready() == nil })
	late.applying.Lock()
	goOn := sync.OnceFunc(late.applying.Unlock)
	t.Cleanup(goOn)
	c.pay(t, other, 1)
	for range cap(busy.notify)/2 + 2 {
		lead(busy)
		if busy.Ready() == nil {
			t.Error("it serves before its barrier has passed")
		}
		lead(other)
	}
	goOn()
	lead(busy)
	c.eventually("the node serves", func() bool { return busy.Ready() == nil })
	c.pay(t, busy, 1)
	c.settled()
}

// answered is the future of an entry that raft has answered.
type answered struct {
	raft.ApplyFuture
	err      error
	response any
}

func (a answered) Error() error  { return a.err }
func (a answered) Response() any { return a.response }

// TestOnlyWhatWasNeverWrittenIsRefused: of raft's errors three mean that the entry
// is in no log. All others leave it open (hashicorp/raft#561).
func TestOnlyWhatWasNeverWrittenIsRefused(t *testing.T) {
	applied := &ledger.Applied{Index: 7}
	for _, test := range []struct {
		future answered
		want   error
	}{
		{answered{response: applied}, nil},
		{answered{err: raft.ErrNotLeader}, ledger.ErrNoLeader},
		{answered{err: raft.ErrLeadershipTransferInProgress}, ledger.ErrNoLeader},
		{answered{err: raft.ErrEnqueueTimeout}, ledger.ErrOverloaded},
		{answered{err: raft.ErrLeadershipLost}, ledger.ErrOutcomeUnknown},
		{answered{err: raft.ErrRaftShutdown}, ledger.ErrOutcomeUnknown},
		{answered{err: raft.ErrAbortedByRestore}, ledger.ErrOutcomeUnknown},
		{answered{err: errDisk}, ledger.ErrOutcomeUnknown},
		{answered{err: ErrLogFailed}, ledger.ErrOutcomeUnknown},
		{answered{}, ledger.ErrOutcomeUnknown}, // skipped: the state had it already
	} {
		p := Proposal{future: test.future, awaited: new(atomic.Int64)}
		got, err := p.Wait()
		if err != test.want || (err == nil) != (got == applied) {
			t.Errorf("%+v: %v, %v; want %v", test.future, got, err, test.want)
		}
	}
}
