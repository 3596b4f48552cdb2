package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"purser/internal/ledger"
	"purser/wal"
)

// logFrom returns the entries of a running node's log from index on.
func logFrom(t *testing.T, n *Node, index uint64) (logs []*raft.Log) {
	t.Helper()
	for last := n.raft.LastIndex(); index <= last; index++ {
		l := new(raft.Log)
		if err := n.log.GetLog(index, l); err != nil {
			t.Fatal(err)
		}
		logs = append(logs, l)
	}
	return logs
}

// editLog lets edit change the log of a node that does not run.
func editLog(t *testing.T, cfg Config, edit func(log *wal.Log) error) {
	t.Helper()
	log, err := wal.Open(wal.Options{Dir: filepath.Join(cfg.DataDir, logName)})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(edit(log), log.Close()); err != nil {
		t.Fatal(err)
	}
}

// uncommitted are entries that a leader of term sent and never got committed. Each
// pays 1 to account a, should it be applied.
func uncommitted(from, to, term uint64) (logs []*raft.Log) {
	for i := from; i <= to; i++ {
		e := logEntry{stamp: 1, cmds: []ledger.Command{{
			Kind: ledger.Pay, Key: fmt.Appendf(nil, "uncommitted %d", i), Source: []byte("world:USD"),
			Destination: []byte("a"), Currency: usd, Amount: 1,
		}}}
		logs = append(logs, &raft.Log{Index: i, Term: term, Type: raft.LogCommand, Data: e.encode()})
	}
	return logs
}

// TestSnapshotIsInstalledOverAnyLog sends a snapshot to a follower that has been
// away, with logs that raft alone cannot deal with: it would panic, ask for the
// same snapshot for ever, or lose what the follower has acknowledged.
func TestSnapshotIsInstalledOverAnyLog(t *testing.T) {
	for _, test := range []struct {
		name   string
		ends   int // how far behind the snapshot the follower's log ends
		agrees bool
		told   error // to Fatal
	}{
		{name: "other entries to before the snapshot", ends: -1},
		{name: "other entries to the snapshot", ends: 0, told: ErrLogDropped},
		{name: "other entries to behind the snapshot", ends: 3, told: ErrLogDropped},
		{name: "the same entries to before the snapshot", ends: -1, agrees: true},
		{name: "the same entries to the snapshot", ends: 0, agrees: true},
		{name: "the same entries to behind the snapshot", ends: 3, agrees: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newTestCluster(t, "n1", "n2", "n3")
			for id, cfg := range c.cfg {
				cfg.TrailingLogs = 1
				c.cfg[id] = cfg
			}
			c.start("n1", "n2", "n3")
			c.pay(t, c.leader(), 5)
			c.settled()
			away := c.follower().cfg.NodeID
			term, last := c.nodes[away].raft.CurrentTerm(), c.nodes[away].raft.LastIndex()
			c.stop(away)
			if _, err := c.leader().TransferLeadership(context.Background(), c.follower().cfg.NodeID); err != nil {
				t.Fatal(err)
			}
			c.pay(t, c.leader(), 20) // in a newer term
			c.settled()
			leader := c.leader()
			c.missed(leader, away)
			logs := logFrom(t, leader, last+1)
			meta, _, err := leader.TakeSnapshot()
			if err != nil {
				t.Fatal(err)
			}
			c.pay(t, leader, 10)
			logs = append(logs, logFrom(t, leader, last+1+uint64(len(logs)))...)

			end := uint64(int(meta.Index) + test.ends)
			if test.agrees {
				logs = logs[:end-last]
			} else {
				logs = uncommitted(last+1, end, term)
			}
			editLog(t, c.cfg[away], func(log *wal.Log) error { return log.StoreLogs(logs) })
			fatal := c.startSupervised(away)
			c.settled()
			if got := fatal(); !errors.Is(got, test.told) || (got == nil) != (test.told == nil) {
				t.Errorf("fatal was told %v, want %v", got, test.told)
			}
			if first, err := c.nodes[away].log.FirstIndex(); err != nil || test.agrees && test.ends > 0 && first > meta.Index {
				t.Errorf("the log starts at %d, %v; the snapshot is of entry %d, and all behind it were acknowledged", first, err, meta.Index)
			}
			c.pay(t, c.leader(), 5)
			c.settled()
			c.check(t, c.nodes[away])
		})
	}
}

// TestLogBehindTheSnapshotIsDropped opens a node whose process ended between the
// snapshot's arrival and what its log needs after it.
func TestLogBehindTheSnapshotIsDropped(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(log *wal.Log, covered, last uint64) error
	}{
		{name: "as it was", edit: func(*wal.Log, uint64, uint64) error { return nil }},
		{name: "ends before the snapshot", edit: func(log *wal.Log, covered, last uint64) error {
			return log.DeleteRange(covered, last)
		}},
		{name: "has another entry there", edit: func(log *wal.Log, covered, last uint64) error {
			return errors.Join(log.DeleteRange(covered, last), log.StoreLogs(uncommitted(covered, last+2, 1)))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := nodeConfig(t, t.TempDir())
			stopNode(t, startNode(t, cfg)) // term 1
			n := startNode(t, cfg)
			var p proposer
			p.pay(t, n, 10)
			meta, _, err := n.TakeSnapshot()
			if err != nil {
				t.Fatal(err)
			}
			if meta.Term < 2 {
				t.Fatalf("snapshot of term %d", meta.Term)
			}
			stopNode(t, n)
			editLog(t, cfg, func(log *wal.Log) error {
				last, err := log.LastIndex()
				return errors.Join(err, test.edit(log, meta.Index, last))
			})
			n = startNode(t, cfg)
			p.check(t, n)
			p.pay(t, n, 5)
			p.check(t, n)
			stopNode(t, n)
		})
	}
}

func TestFollowRefusesASnapshotFromBeforeTheLog(t *testing.T) {
	log := raft.NewInmemStore()
	if err := log.StoreLogs(uncommitted(10, 20, 3)); err != nil {
		t.Fatal(err)
	}
	if err := follow(log, 9, 3); err != nil {
		t.Error(err)
	}
	if err := follow(log, 8, 3); !errors.Is(err, ErrSnapshotBehind) {
		t.Errorf("entry 8, and a log from 10 on: %v", err)
	}
	if first, _ := log.FirstIndex(); first != 10 {
		t.Errorf("the log starts at %d", first)
	}
}
