package raftfsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"purser/internal/peer"
	"purser/internal/planted"
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
	stable    *stableStore
	snapshots *SnapshotStore
	port      *peer.Port
	transport *Transport
	metrics   *nodeMetrics
	logger    *raftLogger

	notify chan bool     // leadership gained or lost, from raft, which blocks on it
	stop   chan struct{} // closed by Close
	done   sync.WaitGroup

	// serving is set while this node leads and has applied everything that was
	// committed before it did.
	serving atomic.Bool

	identity nodeIdentity
	book     book
	forming  atomic.Pointer[string] // why the node is in no cluster yet; nil when it is
	diverged atomic.Pointer[error]  // the state is not the leader's; nil when it is

	told leaderWord

	changing sync.Mutex // one change of the cluster at a time
	progress progressTable

	intake       intake
	snapshotting sync.Mutex // one requested snapshot at a time
	closeOnce    sync.Once
}

// Open starts a node on cfg.DataDir, or makes a cluster of one when there is
// none yet. The state is that of the last checkpoint until the log has been
// replayed; Ready tells.
func Open(cfg Config) (_ *Node, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	n := &Node{
		cfg:     cfg,
		metrics: newNodeMetrics(),
		logger:  &raftLogger{out: cfg.Logger},
		notify:  newNotify(),
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
	if err := n.recallDivergence(); err != nil {
		return nil, err
	}
	if err := n.startRaft(); err != nil {
		return nil, err
	}
	n.done.Go(n.followLeadership)
	n.done.Go(n.snapshotWhenOverdue)
	n.done.Go(n.watchCluster)
	return n, nil
}

// openStorage opens the stable store first: it locks the data directory.
func (n *Node) openStorage() error {
	dir := n.cfg.DataDir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("open data directory: %w", err)
	}
	used, err := usedBefore(dir)
	if err != nil {
		return err
	}
	n.stable, err = openStable(dir, n.cfg.Fatal)
	if err != nil {
		return err
	}
	if err := claim(n.stable, n.cfg, used); err != nil {
		return err
	}
	if err := n.identify(); err != nil {
		return err
	}
	if err := syncPath(vfs.Default, filepath.Dir(dir)); err != nil {
		return err
	}
	n.log, err = wal.Open(wal.Options{Dir: filepath.Join(dir, logName), SegmentBytes: n.cfg.SegmentBytes, Observe: n.metrics.append})
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	n.guard, err = newGuardedLog(n.log, guardConfig{Limit: n.cfg.AppendLimit, Fatal: n.cfg.Fatal, Needed: n.needed})
	if err != nil {
		return err
	}
	n.snapshots, err = OpenSnapshots(SnapshotConfig{
		Dir: filepath.Join(dir, snapshotsName), Fatal: n.cfg.Fatal, newest: n.cfg.newest,
	})
	return err
}

// openState opens the state machine. When the state is behind the newest
// snapshot, which only a lost or foreign state can be, it is restored from it:
// the log that would lead there may be gone.
func (n *Node) openState() error {
	dirs := stateDirs{fs: vfs.Default, root: filepath.Join(n.cfg.DataDir, statesName), newest: n.cfg.newest}
	dir, err := dirs.current()
	if err != nil {
		return err
	}
	cfg := machineConfig{
		fs:        vfs.Default,
		dir:       dir,
		shards:    n.cfg.Shards,
		retention: micros(n.cfg.Retention),
		newest:    n.cfg.newest,
		store: store.Options{
			Fatal: n.cfg.Fatal,
			DiskSlow: func(what string, took time.Duration) {
				n.cfg.Logger.Warn("slow disk", "operation", what, "took", took)
			},
			Logger: n.cfg.Logger,
		},
	}
	list, err := n.snapshots.List()
	if err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	var covered, term uint64
	if len(list) > 0 {
		covered, term = list[0].Index, list[0].Term
	}
	var meta checkpointMeta
	n.fsm, meta, err = newFSM(dirs, cfg, covered, n.cfg.SnapshotBytes, n.cfg.Fatal)
	if err != nil {
		return err
	}
	if meta.Snapshot < covered && !planted.Is(planted.SnapshotTrusted) {
		n.cfg.Logger.Warn("state is behind the newest snapshot: restoring", "state", meta.Snapshot, "snapshot", covered)
		_, stream, err := n.snapshots.Open(list[0].ID)
		if err != nil {
			return err
		}
		if _, err := n.fsm.restore(stream); err != nil {
			return fmt.Errorf("restore snapshot %s: %w", list[0].ID, err)
		}
	}
	if err := syncPath(vfs.Default, n.cfg.DataDir); err != nil {
		return err
	}
	return n.openReach(covered, term)
}

// openReach makes sure that the log leads on from the state and from the newest
// snapshot, which is at (covered, term), also when the process ended between the
// installation of that and what the log needs after it.
func (n *Node) openReach(covered, term uint64) error {
	if err := checkReach(n.log, n.fsm.machine.pos.Index, covered); err != nil {
		return err
	}
	n.fsm.installed = func(index, term uint64) error { return follow(n.guard, index, term) }
	err := n.fsm.installed(covered, term)
	if errors.Is(err, ErrLogDropped) { // raft has not read it yet
		n.cfg.Logger.Warn("entries of the log were never committed", "error", err)
		return nil
	}
	return err
}

// Close leaves the cluster's work to others, answers the proposals in flight,
// stops raft and closes every file. Drain the engine before. A second call does
// nothing.
func (n *Node) Close() error {
	var err error
	n.closeOnce.Do(func() {
		n.serving.Store(false)
		n.StepDown()
		n.intake.close(n.raft)
		close(n.stop)
		err = n.closeParts()
		n.done.Wait()
	})
	return err
}

// closeParts closes what is open, in the order in which parts use each other.
func (n *Node) closeParts() error {
	var faults []error
	if n.raft != nil {
		faults = append(faults, n.raft.Shutdown().Error())
	} else if n.transport != nil {
		faults = append(faults, n.transport.Close())
	}
	if n.port != nil {
		faults = append(faults, n.port.Close())
	}
	if n.guard != nil {
		n.guard.Close()
	}
	if n.fsm != nil {
		faults = append(faults, n.fsm.close())
	}
	if n.log != nil {
		faults = append(faults, n.log.Close())
	}
	if n.stable != nil {
		faults = append(faults, n.stable.Close())
	}
	return errors.Join(faults...)
}
