package raftfsm

import (
	"slices"
	"testing"
)

// requireMembers waits until these nodes vote, and no others.
func (c *testCluster) requireMembers(ids ...string) {
	c.t.Helper()
	c.eventually("the members are as they should be", func() bool {
		var voters []string
		for _, m := range c.leader().Status().Members {
			if m.Voter {
				voters = append(voters, m.ID)
			}
		}
		slices.Sort(voters)
		return slices.Equal(voters, ids)
	})
}

// half makes the first step of a change, as a leader does that loses the lead, or
// hands it over, before the second.
func (c *testCluster) half(m MemberRecord) {
	c.t.Helper()
	c.eventually("the change is written", func() bool {
		return c.leader().proposeMembers(memberChange{Members: []MemberRecord{m}}) == nil
	})
}

// TestJoinIsCompleted: a node that is noted as a member takes itself for one, and asks
// nobody any more.
func TestJoinIsCompleted(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3", "n4")
	all := c.cfg["n1"].Join
	for id, cfg := range c.cfg {
		cfg.Join, cfg.Expect = all[:3], 3
		c.cfg[id] = cfg
	}
	lonely := c.cfg["n4"]
	lonely.Join, lonely.Expect = all[3:], 0 // finds nobody
	joining := c.cfg["n4"]
	c.cfg["n4"] = lonely
	c.start("n1", "n2", "n3", "n4")
	c.half(c.nodes["n4"].self())

	c.stop("n4")
	c.cfg["n4"] = joining
	c.start("n4")
	c.requireMembers("n1", "n2", "n3", "n4")
	c.settled()
}

// TestRemovalIsCompleted: also that of the node that leads by then.
func TestRemovalIsCompleted(t *testing.T) {
	for name, leads := range map[string]bool{"follower": false, "leader": true} {
		t.Run(name, func(t *testing.T) { requireRemoval(t, leads) })
	}
}

func requireRemoval(t *testing.T, leads bool) {
	c := newTestCluster(t, "n1", "n2", "n3", "n4")
	c.start("n1", "n2", "n3", "n4")
	c.settled()
	node := c.follower()
	if leads {
		node = c.leader()
	}
	record := node.self()
	record.Removed = true
	c.half(record)
	left := slices.DeleteFunc([]string{"n1", "n2", "n3", "n4"}, func(id string) bool { return id == record.ID })
	c.requireMembers(left...)
}
