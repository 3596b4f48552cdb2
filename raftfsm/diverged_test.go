package raftfsm

import (
	"context"
	"errors"
	"strings"
	"testing"

	"purser/internal/ledger"
)

func TestDivergedNodeServesNothing(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.pay(t, c.leader(), 5)
	c.settled()
	bad := c.follower()
	_ = bad.fsm.use(func(m *machine) error {
		m.applying.Lock()
		defer m.applying.Unlock()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.pos.Digest++
		return nil
	})
	c.eventually("the node says that it diverged", func() bool { return errors.Is(bad.Diverged(), ErrDiverged) })
	if _, _, err := bad.State().Account([]byte("a")); !errors.Is(err, ErrDiverged) {
		t.Errorf("it still answers: %v", err)
	}
	if id, self := bad.Leader(); id != "" || self {
		t.Errorf("it still forwards to %q", id)
	}
	if !errors.Is(bad.Ready(), ledger.ErrNoLeader) {
		t.Error("it is ready")
	}
	for _, n := range c.nodes {
		if n != bad && n.Diverged() != nil {
			t.Errorf("%s: %v", n.cfg.NodeID, n.Diverged())
		}
	}
	// It does not keep the lead either.
	leader := c.leader()
	if _, err := leader.TransferLeadership(context.Background(), bad.cfg.NodeID); err == nil {
		t.Error("a diverged node leads")
	}
	c.pay(t, c.leader(), 5)

	// What was wrong is gone with the process, but the directory is not trusted again.
	id := bad.cfg.NodeID
	c.stop(id)
	c.start(id)
	bad = c.nodes[id]
	if err := bad.Diverged(); !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "its digest is") {
		t.Errorf("after a restart: %v", err)
	}
	if _, _, err := bad.State().Account([]byte("a")); !errors.Is(err, ErrDiverged) {
		t.Errorf("it answers again after a restart: %v", err)
	}
	if _, _, err := bad.TakeSnapshot(); !errors.Is(err, ErrDiverged) {
		t.Errorf("it takes a snapshot: %v", err)
	}
	if _, _, err := bad.OpenSnapshot("any"); !errors.Is(err, ErrDiverged) {
		t.Errorf("it gives a snapshot out: %v", err)
	}
	if _, err := c.leader().TransferLeadership(context.Background(), id); err == nil {
		t.Error("a diverged node leads after a restart")
	}
	c.pay(t, c.leader(), 5)
}
