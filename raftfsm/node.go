package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	bolt "go.etcd.io/bbolt"

	"purser/internal/store"
	"purser/wal"
)

// Node is one server of the cluster: raft, its log, its stable store, its
// snapshots and the state machine. Its methods are safe for concurrent use.
type Node struct {
	cfg Config

	raft      *raft.Raft
	fsm       *FSM
	log       *wal.Log
	guard     *guardedLog
	stable    *raftboltdb.BoltStore
	snapshots *SnapshotStore
	transport *Transport
	metrics   *nodeMetrics

	notify chan bool     // leadership gained or lost, from raft, which blocks on it
	stop   chan struct{} // closed by Close
	done   sync.WaitGroup

	// serving is set while this node leads and has applied everything that was
	// committed before it did.
	serving atomic.Bool

	snapshotting sync.Mutex // one requested snapshot at a time
}

// Open starts a node on cfg.DataDir, or makes a cluster of one when there is
// none yet. The state is that of the last checkpoint until the log has been
// replayed; Ready tells.
func Open(cfg Config) (_ *Node, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg:     cfg.withDefaults(),
		metrics: newNodeMetrics(),
		notify:  make(chan bool, 16),
		stop:    make(chan struct{}),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.closeParts())
		}
	}()
	if err := n.openStorage(); err != nil {
		return nil, err
	}
	if err := n.openState(); err != nil {
		return nil, err
	}
	if err := n.startRaft(); err != nil {
		return nil, err
	}
	n.done.Add(2)
	go n.followLeadership()
	go n.snapshotWhenOverdue()
	return n, nil
}

// openStorage opens the stable store first: it locks the data directory.
func (n *Node) openStorage() error {
	dir := n.cfg.DataDir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("open data directory: %w", err)
	}
	var err error
	n.stable, err = raftboltdb.New(raftboltdb.Options{
		Path: filepath.Join(dir, "raft.db"),
		BoltOptions: &bolt.Options{
			Timeout:        time.Second,
			NoFreelistSync: true,
			FreelistType:   bolt.FreelistMapType,
		},
		// Part of the file's format; every release must keep it as it is.
		MsgpackUseNewTimeFormat: true,
	})
	if err != nil {
		return fmt.Errorf("open %s (is another process using it?): %w", filepath.Join(dir, "raft.db"), err)
	}
	if err := claimIdentity(n.stable, n.cfg.NodeID); err != nil {
		return err
	}
	n.log, err = wal.Open(wal.Options{Dir: filepath.Join(dir, "wal"), Observe: n.metrics.append})
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	n.guard, err = newGuardedLog(n.log, guardConfig{Limit: n.cfg.AppendLimit, Fatal: n.cfg.Fatal})
	if err != nil {
		return err
	}
	n.snapshots, err = OpenSnapshots(SnapshotConfig{Dir: filepath.Join(dir, "snapshots")})
	return err
}

// openState opens the state machine. When the state is behind the newest
// snapshot, which only a lost or foreign state can be, it is restored from it:
// the log that would lead there may be gone.
func (n *Node) openState() error {
	dirs := stateDirs{fs: vfs.Default, root: filepath.Join(n.cfg.DataDir, "state")}
	dir, err := dirs.current()
	if err != nil {
		return err
	}
	cfg := machineConfig{
		fs:        vfs.Default,
		dir:       dir,
		shards:    n.cfg.Shards,
		retention: micros(n.cfg.Retention),
		store: store.Options{
			Fatal:    n.cfg.Fatal,
			DiskSlow: n.metrics.diskSlow,
			Logger:   n.cfg.Logger,
		},
	}
	list, err := n.snapshots.List()
	if err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	m, meta, err := openMachine(cfg)
	if err != nil {
		return err
	}
	n.fsm = &FSM{
		dirs: dirs, cfg: cfg, fatal: n.cfg.Fatal, machine: m,
		threshold: n.cfg.SnapshotBytes, overdue: make(chan struct{}, 1),
	}
	if len(list) == 0 || meta.Snapshot >= list[0].Index {
		return nil
	}
	n.cfg.Logger.Warn("state is behind the newest snapshot: restoring",
		"state", meta.Snapshot, "snapshot", list[0].Index)
	_, stream, err := n.snapshots.Open(list[0].ID)
	if err != nil {
		return err
	}
	return n.fsm.restore(stream)
}

func (n *Node) startRaft() error {
	votes, err := newVoteStore(n.stable)
	if err != nil {
		return err
	}
	n.transport, err = NewTransport(TransportConfig{
		BindAddr: n.cfg.RaftListen,
		Logger:   n.hclog("raft-net"),
	})
	if err != nil {
		return err
	}
	cfg := n.raftConfig()
	known, err := raft.HasExistingState(n.guard, votes, n.snapshots)
	if err != nil {
		return fmt.Errorf("read raft state: %w", err)
	}
	if !known {
		members := raft.Configuration{Servers: []raft.Server{{
			ID: cfg.LocalID, Address: n.transport.LocalAddr(),
		}}}
		if err := raft.BootstrapCluster(cfg, n.guard, votes, n.snapshots, n.transport, members); err != nil {
			return fmt.Errorf("bootstrap: %w", err)
		}
	}
	n.raft, err = raft.NewRaft(cfg, n.fsm, n.guard, votes, n.snapshots, n.transport)
	if err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	return nil
}

func (n *Node) raftConfig() *raft.Config {
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(n.cfg.NodeID)
	cfg.Logger = n.hclog("raft")
	cfg.NotifyCh = n.notify
	cfg.BatchApplyCh = true
	// A cluster of one has nobody to hear from: it need not wait long before it
	// elects itself.
	cfg.HeartbeatTimeout = 200 * time.Millisecond
	cfg.ElectionTimeout = 200 * time.Millisecond
	cfg.LeaderLeaseTimeout = 200 * time.Millisecond
	// The state is durable on its own, with the index it reflects.
	cfg.NoSnapshotRestoreOnStart = true
	// Snapshots are due by bytes, see Config.SnapshotBytes; this is the bound for
	// logs of many small entries.
	cfg.SnapshotThreshold = 200_000
	cfg.SnapshotInterval = time.Minute
	cfg.TrailingLogs = n.cfg.TrailingLogs
	return cfg
}

func (n *Node) hclog(name string) hclog.Logger {
	level := hclog.Warn
	if n.cfg.Logger.Enabled(context.Background(), slog.LevelDebug) {
		level = hclog.Debug
	}
	return hclog.New(&hclog.LoggerOptions{Name: name, Level: level, Output: os.Stderr})
}

// Close leaves the cluster's work to others, stops raft and closes every file.
// Proposals in flight are answered first. Drain the engine before.
func (n *Node) Close() error {
	n.serving.Store(false)
	close(n.stop)
	err := n.closeParts()
	n.done.Wait()
	return err
}

func (n *Node) closeParts() error {
	var faults []error
	if n.raft != nil {
		faults = append(faults, n.raft.Shutdown().Error())
	} else if n.transport != nil {
		faults = append(faults, n.transport.Close())
	}
	if n.guard != nil {
		n.guard.Close()
	}
	if n.fsm != nil {
		faults = append(faults, n.fsm.machine.close())
	}
	if n.log != nil {
		faults = append(faults, n.log.Close())
	}
	if n.stable != nil {
		faults = append(faults, n.stable.Close())
	}
	return errors.Join(faults...)
}
