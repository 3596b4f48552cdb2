package raftfsm

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"
)

// TestRaftSettings: what the rest of this package, and safety, rely on.
func TestRaftSettings(t *testing.T) {
	n := &Node{cfg: nodeConfig(t, "data").withDefaults(), logger: &raftLogger{}, notify: newNotify()}
	cfg := n.raftConfig()
	if err := raft.ValidateConfig(cfg); err != nil {
		t.Fatal(err)
	}
	for what, ok := range map[string]bool{
		"a node that was cut off raises no term":          !cfg.PreVoteDisabled,
		"entries that wait are appended together":         cfg.BatchApplyCh,
		"messages are of 64 to 512 entries":               cfg.MaxAppendEntries >= 64 && cfg.MaxAppendEntries <= 512,
		"followers that lag a little need no snapshot":    cfg.TrailingLogs >= 10_000,
		"the state is opened, not restored, at the start": cfg.NoSnapshotRestoreOnStart,
		"a removed node can still be read":                !cfg.ShutdownOnRemove,
		"raft waits for nobody to hear who leads":         cfg.NotifyCh == n.notify && cap(n.notify) > 0,
	} {
		if !ok {
			t.Errorf("not so: %s", what)
		}
	}
}

// TestNoPipelines: raft asks for one at the start of every replication, and goes on
// without.
func TestNoPipelines(t *testing.T) {
	tr, err := NewTransport(TransportConfig{Stream: newPort(t).Raft()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	to := newLoopback(t).LocalAddr()
	if _, err := tr.AppendEntriesPipeline("to", to); !errors.Is(err, raft.ErrPipelineReplicationNotSupported) {
		t.Errorf("there is a pipeline: %v", err)
	}
}

// countingLog counts the messages that end in text.
type countingLog struct {
	slog.Handler
	text  string
	then  func() // called at each, on the goroutine that says it; may be nil
	count atomic.Int32
}

func (c *countingLog) Enabled(context.Context, slog.Level) bool { return true }

func (c *countingLog) Handle(_ context.Context, r slog.Record) error {
	if strings.HasSuffix(r.Message, c.text) {
		c.count.Add(1)
		if c.then != nil {
			c.then()
		}
	}
	return nil
}

// TestNodeAloneRaisesNoTerm: a node that has lost the others asks for votes again
// and again. When they are back, the leader that they have must not fall over the
// term that it has come to.
func TestNodeAloneRaisesNoTerm(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	campaigns := &countingLog{Handler: slog.DiscardHandler, text: "entering candidate state"}
	cfg := c.cfg["n3"]
	cfg.Logger = slog.New(campaigns)
	c.cfg["n3"] = cfg
	c.start("n1", "n2", "n3")
	c.settled()
	c.stop("n1")
	c.stop("n2")
	alone := c.nodes["n3"]
	term := alone.raft.CurrentTerm()
	before := campaigns.count.Load()
	c.eventually("n3 asks for votes", func() bool { return campaigns.count.Load() >= before+3 })
	if got := alone.raft.CurrentTerm(); got != term {
		t.Errorf("term %d, from %d", got, term)
	}
	c.start("n1", "n2")
	c.pay(t, c.leader(), 1)
	c.settled()
}
