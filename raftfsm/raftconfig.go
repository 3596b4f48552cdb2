package raftfsm

import (
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/raft"
)

// aloneTimeout is raft's heartbeat and election timeout in a cluster of one,
// which has nobody to hear from. It may not be below raft's leader lease.
const aloneTimeout = leaseTimeout

// leaseTimeout is how long a leader leads on without hearing from a majority.
const leaseTimeout = 500 * time.Millisecond

// startRaft starts the transport and raft, with a cluster of this node alone if
// there is none yet.
func (n *Node) startRaft() error {
	var err error
	n.transport, err = NewTransport(TransportConfig{
		BindAddr: n.cfg.RaftListen,
		Logger:   n.logger.named("raft-net"),
	})
	if err != nil {
		return err
	}
	cfg := n.raftConfig()
	known, err := raft.HasExistingState(n.guard, n.stable, n.snapshots)
	if err != nil {
		return fmt.Errorf("read raft state: %w", err)
	}
	if !known {
		members := raft.Configuration{Servers: []raft.Server{{
			ID: cfg.LocalID, Address: n.transport.LocalAddr(),
		}}}
		if err := raft.BootstrapCluster(cfg, n.guard, n.stable, n.snapshots, n.transport, members); err != nil {
			return fmt.Errorf("bootstrap: %w", err)
		}
	}
	n.raft, err = raft.NewRaft(cfg, n.fsm, n.guard, n.stable, n.snapshots, n.transport)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	return n.hasten()
}

func (n *Node) raftConfig() *raft.Config {
	cfg := raft.DefaultConfig() // PreVote is on; timeouts of 1 s are for a cluster
	cfg.LocalID = raft.ServerID(n.cfg.NodeID)
	cfg.Logger = n.logger.named("raft")
	cfg.NotifyCh = n.notify
	cfg.NoLegacyTelemetry = true
	cfg.LeaderLeaseTimeout = leaseTimeout
	// The entries that wait while one append is being synced go into the next one,
	// together. The engine keeps fewer than raft's 64 in flight, and a follower
	// that catches up gets up to 64 in a message.
	cfg.BatchApplyCh = true
	// A node that was removed goes on as a follower that nobody hears of, so that
	// what it has can still be read.
	cfg.ShutdownOnRemove = false
	// The state is durable on its own, with the index it reflects.
	cfg.NoSnapshotRestoreOnStart = true
	// Snapshots are requested by the Node, see FSM.overdue; raft itself never finds
	// one due.
	cfg.SnapshotThreshold = math.MaxUint64
	cfg.SnapshotInterval = 24 * time.Hour
	cfg.TrailingLogs = n.cfg.TrailingLogs
	return cfg
}

// hasten has a cluster of one elect itself at once instead of after the timeout
// that a cluster needs.
func (n *Node) hasten() error {
	future := n.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	voters := 0
	for _, s := range future.Configuration().Servers {
		if s.Suffrage == raft.Voter {
			voters++
		}
	}
	if voters != 1 {
		return nil
	}
	n.logger.alone.Store(true)
	cfg := n.raft.ReloadableConfig()
	cfg.HeartbeatTimeout, cfg.ElectionTimeout = aloneTimeout, aloneTimeout
	if err := n.raft.ReloadConfig(cfg); err != nil {
		return fmt.Errorf("hasten election: %w", err)
	}
	return nil
}

// minTrailing is how many entries stay in the log behind a snapshot, however
// large they are.
const minTrailing = 64

// trailingLogs is how many entries to keep behind a snapshot: limit, or fewer if
// so many as large as the last ones, entries of them with bytes in all, would
// take more than budget bytes.
func trailingLogs(limit uint64, budget, bytes, entries int64) uint64 {
	if entries == 0 || bytes == 0 {
		return limit
	}
	each := max(bytes/entries, 1)
	return min(limit, max(uint64(budget/each), minTrailing))
}

// limitTrailing fits the entries to be kept behind the next snapshot into the
// disk space that a snapshot's worth of log takes.
func (n *Node) limitTrailing() error {
	f := n.fsm
	cfg := n.raft.ReloadableConfig()
	cfg.TrailingLogs = trailingLogs(n.cfg.TrailingLogs, n.cfg.SnapshotBytes,
		f.unsaved.bytes.Load(), f.unsaved.entries.Load())
	if err := n.raft.ReloadConfig(cfg); err != nil {
		return fmt.Errorf("limit trailing logs: %w", err)
	}
	return nil
}
