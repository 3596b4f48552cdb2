package raftfsm

import (
	"slices"
	"testing"
)

// TestNodeHearsALeaderThatItDoesNotKnow: a node that is away while another one
// joins, and comes back when that one leads, is told so by those that it knows: its
// port would refuse the leader as a stranger, and its log ends before the change.
func TestNodeHearsALeaderThatItDoesNotKnow(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3", "n4")
	c.secure()
	for id, cfg := range c.cfg { // n4 is to join, not to found
		cfg.Join, cfg.Expect = c.cfg["n1"].Join[:3], 3
		c.cfg[id] = cfg
	}
	c.start("n1", "n2", "n3")
	c.settled()
	away := c.follower().cfg.NodeID
	c.stop(away)
	c.start("n4")
	c.eventually("n4 votes", func() bool {
		return slices.ContainsFunc(c.leader().Status().Members, func(m Member) bool { return m.ID == "n4" && m.Voter })
	})
	c.eventually("all know n4", func() bool {
		for _, n := range c.nodes {
			if !n.book.has("n4") {
				return false
			}
		}
		return true
	})
	if _, err := c.leader().TransferLeadership(t.Context(), "n4"); err != nil {
		t.Fatal(err)
	}
	c.pay(t, c.leader(), 5)
	c.start(away)
	c.settled()
}
