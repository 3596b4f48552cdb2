package raftfsm

import (
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/raft"

	"purser/internal/peer"
)

// aloneTimeout is raft's heartbeat and election timeout in a cluster of one,
// which has nobody to hear from. It may not be below raft's leader lease.
const aloneTimeout = leaseTimeout

// clusterTimeout is raft's heartbeat and election timeout in a cluster of several.
//
// raft looks for a leader that is gone at random times, one to two timeouts apart,
// and no follower votes before it has missed the leader itself. So of two followers
// the slower one decides, and a candidate that is refused waits once more: half of
// the time another leads after 2.3 timeouts, 99 times of 100 after 4. With raft's
// own second that would be too long for clients that wait. It is several times a
// slow fsync, which a heartbeat waits for.
const clusterTimeout = 600 * time.Millisecond

// leaseTimeout is how long a leader leads on without hearing from a majority.
const leaseTimeout = 500 * time.Millisecond

// startRaft starts raft on the port. A node without state waits there, without a
// configuration, until it has found a cluster.
func (n *Node) startRaft() (err error) {
	n.port, err = peer.Listen(peer.Config{
		Bind:          n.cfg.RaftListen,
		Advertise:     n.cfg.RaftAdvertise,
		TLS:           n.cfg.TLS,
		AllowInsecure: n.cfg.AllowInsecure,
		Resolve:       n.book.idAt,
		Member:        n.book.has,
		Logger:        n.cfg.Logger,
	})
	if err != nil {
		return err
	}
	n.transport, err = NewTransport(TransportConfig{Stream: n.port.Raft(), Logger: n.logger.named("raft-net")})
	if err != nil {
		return err
	}
	known, err := raft.HasExistingState(n.guard, n.stable, n.snapshots)
	if err != nil {
		return fmt.Errorf("read raft state: %w", err)
	}
	n.raft, err = raft.NewRaft(n.raftConfig(), n.fsm, n.guard, guardedStable{n.stable, n.guard}, n.snapshots, n.transport)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	if err := n.enter(known); err != nil {
		return err
	}
	n.port.Handle(n.answer)
	return nil
}

func (n *Node) raftConfig() *raft.Config {
	cfg := raft.DefaultConfig() // PreVote is on
	cfg.LocalID = raft.ServerID(n.cfg.NodeID)
	cfg.Logger = n.logger.named("raft")
	cfg.NotifyCh = n.notify
	cfg.NoLegacyTelemetry = true
	cfg.HeartbeatTimeout, cfg.ElectionTimeout = clusterTimeout, clusterTimeout
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

// pace fits raft's timeouts to the number of voters: a cluster of one elects
// itself at once instead of after the timeout that others need.
func (n *Node) pace(voters int) error {
	alone := voters == 1
	if n.logger.alone.Swap(alone) == alone {
		return nil
	}
	cfg := n.raft.ReloadableConfig()
	cfg.HeartbeatTimeout, cfg.ElectionTimeout = clusterTimeout, clusterTimeout
	if alone {
		cfg.HeartbeatTimeout, cfg.ElectionTimeout = aloneTimeout, aloneTimeout
	}
	if err := n.raft.ReloadConfig(cfg); err != nil {
		return fmt.Errorf("pace elections: %w", err)
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
