package raftfsm

import (
	"errors"
	"testing"
)

// TestNodeJustLetInKnowsItsHosts: it is killed after it has heard of a term and
// before it has got any entry, so that raft has a state and no configuration. It
// must go on talking to those that let it in.
func TestNodeJustLetInKnowsItsHosts(t *testing.T) {
	cfg := nodeConfig(t, t.TempDir())
	addrs := freeAddrs(t, 3)
	cfg.NodeID, cfg.RaftListen, cfg.Join, cfg.Expect = "n4", addrs[2], addrs, 3
	n, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	hosts := []MemberRecord{{ID: "n1", RaftAddr: addrs[0]}, {ID: "n3", RaftAddr: addrs[1]}, {ID: "n4", RaftAddr: addrs[2]}}
	before := &Node{}
	if before.stable, err = openStable(cfg.DataDir, cfg.Fatal); err != nil {
		t.Fatal(err)
	}
	err = errors.Join(before.belong("cluster", nil, hosts), before.stable.SetUint64([]byte("CurrentTerm"), 7), before.stable.Close())
	if err != nil {
		t.Fatal(err)
	}

	if n, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, h := range hosts {
		if !n.book.has(h.ID) || n.book.idAt(h.RaftAddr) != h.ID {
			t.Errorf("%s is not known as a member: %v", h.ID, n.book.all())
		}
	}
}
