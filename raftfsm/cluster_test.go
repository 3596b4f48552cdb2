package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// testCluster is three nodes, each with a directory and a port of its own.
type testCluster struct {
	t     *testing.T
	cfg   map[string]Config
	nodes map[string]*Node
	proposer

	supervise func() // starts nodes again whose process has ended
}

// freeAddrs returns loopback addresses that nothing listens on.
func freeAddrs(t *testing.T, count int) (addrs []string) {
	t.Helper()
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

func newTestCluster(t *testing.T, ids ...string) *testCluster {
	t.Helper()
	t.Parallel() // most of the time goes into waiting for elections
	c := &testCluster{t: t, cfg: map[string]Config{}, nodes: map[string]*Node{}, supervise: func() {}}
	addrs := freeAddrs(t, len(ids))
	for i, id := range ids {
		cfg := nodeConfig(t, t.TempDir())
		cfg.NodeID, cfg.RaftListen, cfg.APIAddr = id, addrs[i], "api-of-"+id
		cfg.Join, cfg.Expect = addrs, len(ids)
		c.cfg[id] = cfg
	}
	t.Cleanup(func() {
		for id := range c.nodes {
			c.stop(id)
		}
	})
	return c
}

func (c *testCluster) start(ids ...string) {
	c.t.Helper()
	for _, id := range ids {
		n, err := Open(c.cfg[id])
		if err != nil {
			c.t.Fatalf("%s: %v", id, err)
		}
		c.nodes[id] = n
	}
}

func (c *testCluster) stop(id string) {
	c.t.Helper()
	n := c.nodes[id]
	delete(c.nodes, id)
	if err := n.Close(); err != nil {
		c.t.Errorf("close %s: %v", id, err)
	}
}

// startSupervised starts a node that may end its process, once, and starts it again
// when it does. It returns what the node said then.
func (c *testCluster) startSupervised(id string) (fatal func() error) {
	c.t.Helper()
	cfg := c.cfg[id]
	told := make(chan error, 1)
	cfg.Fatal = func(err error) {
		select {
		case told <- err:
		default: // the process would have ended before
		}
	}
	n, err := Open(cfg)
	if err != nil {
		c.t.Fatalf("%s: %v", id, err)
	}
	c.nodes[id] = n
	var said error
	c.supervise = func() {
		select {
		case said = <-told:
			c.stop(id)
			c.start(id)
		default:
		}
	}
	return func() error { return said }
}

// eventually waits for what is bound to happen.
func (c *testCluster) eventually(what string, holds func() bool) {
	c.t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		c.supervise()
		if time.Now().After(end) {
			for id, n := range c.nodes {
				c.t.Logf("%s: %+v", id, n.Status())
			}
			c.t.Fatalf("never happened: %s", what)
		}
	}
}

// leader waits for one and returns it.
func (c *testCluster) leader() (leader *Node) {
	c.t.Helper()
	c.eventually("a node leads", func() bool {
		for _, n := range c.nodes {
			if n.Ready() == nil {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// settled waits until every node has applied what the leader has, and all have
// the same digest and know each other.
func (c *testCluster) settled() {
	c.t.Helper()
	c.eventually("all nodes are at the same point", func() bool {
		want := c.leader().Status()
		for _, n := range c.nodes {
			s := n.Status()
			if s.AppliedIndex != want.AppliedIndex || s.Digest != want.Digest || s.Diverged != nil {
				return false
			}
			for _, m := range s.Members {
				if m.APIAddress != "api-of-"+m.ID {
					return false
				}
			}
		}
		return true
	})
}

// missed waits until leader no longer counts on a node that was stopped, for which it
// would keep its log.
func (c *testCluster) missed(leader *Node, id string) {
	c.t.Helper()
	c.eventually("the leader misses "+id, func() bool {
		_, there := leader.progress.get()[id]
		return !there
	})
}

func (c *testCluster) follower() *Node {
	c.t.Helper()
	leader := c.leader()
	for _, n := range c.nodes {
		if n != leader {
			return n
		}
	}
	c.t.Fatal("there is no follower")
	return nil
}

func TestClusterForms(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	c.start("n3", "n1")
	if n := c.nodes["n1"]; n.Ready() == nil {
		t.Fatal("two of three found a cluster")
	}
	c.eventually("n1 says whom it misses", func() bool { return strings.Contains(c.nodes["n1"].Forming(), "2 of 3") })
	c.start("n2")
	c.pay(t, c.leader(), 30)
	c.settled()
	status := c.leader().Status()
	if len(status.Members) != 3 || status.Cluster == "" || status.Forming != "" {
		t.Fatalf("%+v", status)
	}
	for _, n := range c.nodes {
		c.check(t, n)
		if id, self := n.Leader(); id != status.Node || self != (n.cfg.NodeID == status.Node) {
			t.Errorf("%s says that %s leads (self %t)", n.cfg.NodeID, id, self)
		}
	}

	// The same commands again.
	for _, id := range []string{"n1", "n2", "n3"} {
		c.stop(id)
		c.start(id)
	}
	c.settled()
	if got := c.leader().Status().Cluster; got != status.Cluster {
		t.Errorf("cluster %q after the restart, %q before", got, status.Cluster)
	}
	c.pay(t, c.leader(), 5)
	c.settled()
}

func TestClusterSurvivesALeader(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	for range 3 {
		leader := c.leader()
		c.pay(t, leader, 10)
		id := leader.cfg.NodeID
		c.stop(id)
		c.pay(t, c.leader(), 10)
		c.start(id)
		c.settled()
	}
	for _, n := range c.nodes {
		c.check(t, n)
	}
}

func TestClusterTransfersTheLead(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	ctx := context.Background()
	for _, to := range []string{"n1", "n2", "n3", "n1"} {
		c.pay(t, c.leader(), 5)
		c.settled()
		by := c.leader()
		if to == "n2" {
			by = c.follower()
		}
		done, err := by.TransferLeadership(ctx, to)
		if err != nil || done.Leader != to {
			t.Fatalf("transfer to %s: %+v, %v", to, done, err)
		}
		if c.nodes[to].Ready() != nil {
			t.Fatalf("%s does not serve", to)
		}
	}
	leader := c.leader()
	if _, err := leader.TransferLeadership(ctx, "n9"); !errors.Is(err, ErrUnknownMember) {
		t.Errorf("transfer to nobody: %v", err)
	}
	if _, err := c.follower().TransferLeadership(ctx, "n9"); !errors.Is(err, ErrCannotChange) {
		t.Errorf("transfer to nobody, by a follower: %v", err)
	}
	if done, err := leader.TransferLeadership(ctx, ""); err != nil || done.Leader == leader.cfg.NodeID {
		t.Errorf("transfer to any: %+v, %v", done, err)
	}
}

// The lead goes to a node that is there, whichever is not.
func TestLeadGoesToANodeThatAnswers(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.settled()
	leader := c.leader()
	for _, gone := range []string{"n1", "n2", "n3"} {
		if gone == leader.cfg.NodeID {
			continue
		}
		c.stop(gone)
		heir := c.follower()
		leader.StepDown()
		c.eventually("the other node leads", func() bool { return heir.Ready() == nil })
		done, err := heir.TransferLeadership(context.Background(), "")
		if err != nil || done.Leader != leader.cfg.NodeID {
			t.Errorf("transfer to any, without %s: %+v, %v", gone, done, err)
		}
		c.start(gone)
		c.settled()
	}
}

func TestClusterTakesInAndRemovesNodes(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3", "n4")
	for id, cfg := range c.cfg { // n4 is to join, not to found
		cfg.Join, cfg.Expect = c.cfg["n1"].Join[:3], 3
		c.cfg[id] = cfg
	}
	c.start("n1", "n2", "n3")
	c.pay(t, c.leader(), 20)
	if _, _, err := c.leader().TakeSnapshot(); err != nil {
		t.Fatal(err)
	}
	c.start("n4")
	c.eventually("n4 votes", func() bool {
		return slices.ContainsFunc(c.leader().Status().Members, func(m Member) bool { return m.ID == "n4" && m.Voter })
	})
	c.settled()
	c.check(t, c.nodes["n4"])

	if c.leader().cfg.NodeID == "n4" {
		if _, err := c.leader().TransferLeadership(context.Background(), "n1"); err != nil {
			t.Fatal(err)
		}
	}
	by := c.leader()
	if c.nodes["n2"] != by {
		by = c.nodes["n2"]
	}
	if err := by.RemoveMember(context.Background(), "n4"); err != nil { // also by a follower
		t.Fatal(err)
	}
	c.stop("n4")
	c.settled()
	if got := c.leader().Status().Members; len(got) != 3 {
		t.Fatalf("%+v", got)
	}

	// Empty, and under its old id.
	cfg := c.cfg["n4"]
	cfg.DataDir = t.TempDir()
	c.cfg["n4"] = cfg
	c.start("n4")
	c.eventually("n4 is refused", func() bool { return strings.Contains(c.nodes["n4"].Forming(), "was removed") })
}

func TestWipedNodeIsRefused(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.settled()
	id := c.follower().cfg.NodeID
	c.stop(id)
	cfg := c.cfg[id]
	cfg.DataDir = t.TempDir()
	c.cfg[id] = cfg
	c.start(id)
	wiped := c.nodes[id]
	c.eventually("the wiped node is refused", func() bool {
		if wiped.Forming() == "" {
			t.Fatal("the wiped node was let in")
		}
		return strings.Contains(wiped.Forming(), ErrForeignID.Error())
	})
	c.pay(t, c.leader(), 20)
	if got := wiped.raft.LastIndex(); got != 0 {
		t.Errorf("it took entries up to %d", got)
	}
	if votes := wiped.raft.CurrentTerm(); votes != 0 {
		t.Errorf("it takes part in term %d", votes)
	}

	// It does not count as one that catches up.
	c.missed(c.leader(), id)

	// Under a new id it is welcome, but not at the address of the old one while that
	// is a member: what raft sends to the one would reach the other.
	c.stop(id)
	cfg.NodeID, cfg.DataDir, cfg.APIAddr = "n9", t.TempDir(), "api-of-n9"
	c.cfg["n9"] = cfg
	c.start("n9")
	c.eventually("the address is refused", func() bool {
		return strings.Contains(c.nodes["n9"].Forming(), fmt.Sprintf("is the raft address of node %q", id))
	})
	if _, known := c.leader().fsm.membership().find("n9"); known {
		t.Error("it is a member")
	}
	c.stop("n9")
	cfg.RaftListen = freeAddrs(t, 1)[0]
	c.cfg["n9"] = cfg
	c.start("n9")
	c.eventually("n9 votes", func() bool {
		return slices.ContainsFunc(c.leader().Status().Members, func(m Member) bool { return m.ID == "n9" && m.Voter })
	})
	if err := c.leader().RemoveMember(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	c.settled()
}

// TestNodesMustRememberAsLong: a node that forgets keys earlier than the others would
// pay again where they replay. It neither founds a cluster with them nor joins theirs.
func TestNodesMustRememberAsLong(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3", "n4")
	for id, cfg := range c.cfg {
		cfg.Join, cfg.Expect = c.cfg["n1"].Join[:3], 3
		c.cfg[id] = cfg
	}
	forgetful := func(id string) {
		cfg := c.cfg[id]
		cfg.Retention = time.Hour
		c.cfg[id] = cfg
	}
	refused := func(id string) {
		c.eventually(id+" is refused", func() bool {
			return strings.Contains(c.nodes[id].Forming(), ErrRetention.Error())
		})
	}
	sound := c.cfg["n3"]
	forgetful("n3")
	c.start("n1", "n2", "n3")
	refused("n1")
	refused("n3")
	c.stop("n3")
	sound.DataDir = t.TempDir() // the retention of a directory is fixed
	c.cfg["n3"] = sound
	c.start("n3")
	c.settled()
	forgetful("n4")
	c.start("n4")
	refused("n4")
	if err := c.leader().AddMember(context.Background(), c.nodes["n4"].self()); !errors.Is(err, ErrRetention) {
		t.Errorf("it is added by hand: %v", err)
	}
}

func TestNodesThatWereToldDifferentlyFoundNothing(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	cfg := c.cfg["n2"]
	cfg.Join = []string{cfg.Join[0], cfg.Join[1], "127.0.0.1:1"}
	c.cfg["n2"] = cfg
	c.start("n1", "n2", "n3")
	c.eventually("n1 says who disagrees", func() bool { return strings.Contains(c.nodes["n1"].Forming(), `node "n2" is to found`) })
}

func TestNodeMovesToAnotherAddress(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.settled()
	id := c.follower().cfg.NodeID
	c.stop(id)
	cfg := c.cfg[id]
	cfg.RaftListen = freeAddrs(t, 1)[0]
	c.cfg[id] = cfg
	c.start(id)
	c.eventually("the leader knows the address", func() bool {
		return slices.ContainsFunc(c.leader().Status().Members, func(m Member) bool {
			return m.ID == id && m.RaftAddress == cfg.RaftListen && m.Voter
		})
	})
	c.pay(t, c.leader(), 5)
	c.settled()
}

func TestMembershipSurvivesSnapshots(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.pay(t, c.leader(), 5)
	c.settled()
	want := fmt.Sprint(c.leader().State().Members())
	for id, n := range c.nodes {
		if _, _, err := n.TakeSnapshot(); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	for _, id := range []string{"n1", "n2", "n3"} {
		c.stop(id)
		c.start(id)
		if got := fmt.Sprint(c.nodes[id].State().Members()); got != want {
			t.Errorf("%s knows %s, want %s", id, got, want)
		}
	}
	c.settled()
}
