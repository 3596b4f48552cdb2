package raftfsm

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// ErrNothingToSnapshot says that no entry was ever applied.
var ErrNothingToSnapshot = errors.New("there is nothing to take a snapshot of yet")

// raft takes no snapshot between the commit of a configuration and its turn to be
// applied, which is soon. It has no name for that error but its text.
const (
	tooSoon    = "cannot take snapshot now, wait until the configuration entry"
	tooSoonFor = 5 * time.Second
)

// TakeSnapshot takes a snapshot now and returns its description and how long it
// took. Payments go on meanwhile. A node that diverged takes none: ErrDiverged.
func (n *Node) TakeSnapshot() (Meta, time.Duration, error) {
	if err := n.Diverged(); err != nil {
		return Meta{}, 0, fmt.Errorf("take snapshot: %w", err)
	}
	return n.takeSnapshot()
}

func (n *Node) takeSnapshot() (Meta, time.Duration, error) {
	n.snapshotting.Lock()
	defer n.snapshotting.Unlock()
	if err := n.limitTrailing(); err != nil {
		return Meta{}, 0, err
	}
	began := time.Now()
	err := n.raft.Snapshot().Error()
	for err != nil && strings.HasPrefix(err.Error(), tooSoon) && time.Since(began) < tooSoonFor {
		time.Sleep(time.Millisecond)
		err = n.raft.Snapshot().Error()
	}
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return Meta{}, 0, ErrNothingToSnapshot
	}
	if err != nil {
		return Meta{}, 0, fmt.Errorf("take snapshot: %w", err)
	}
	took := time.Since(began)
	n.metrics.snapshotSeconds.Observe(took.Seconds())
	list, err := n.Snapshots()
	if err != nil {
		return Meta{}, 0, err
	}
	if len(list) == 0 {
		return Meta{}, 0, errors.New("take snapshot: it is gone")
	}
	return list[0], took, nil
}

// Snapshots lists the snapshots, newest first.
func (n *Node) Snapshots() ([]Meta, error) { return n.snapshots.Metas() }

// OpenSnapshot streams a snapshot as a tar archive of size bytes. The caller
// closes it. An unknown id is ErrSnapshotUnknown; a node that diverged gives none out:
// ErrDiverged.
func (n *Node) OpenSnapshot(id string) (stream io.ReadCloser, size int64, err error) {
	if err := n.Diverged(); err != nil {
		return nil, 0, fmt.Errorf("open snapshot: %w", err)
	}
	meta, stream, err := n.snapshots.Open(id)
	if err != nil {
		return nil, 0, err
	}
	return stream, meta.Size, nil
}

// retrySnapshot is the pause after a snapshot that failed: its cause, a full disk
// say, rarely goes away by itself.
const retrySnapshot = 10 * time.Second

// snapshotWhenOverdue takes a snapshot whenever enough was applied since the
// last one that succeeded. A node that diverged goes on with it: its log would grow.
func (n *Node) snapshotWhenOverdue() {
	n.fsm.whenOverdue(n.stop, func() {
		switch meta, took, err := n.takeSnapshot(); {
		case errors.Is(err, raft.ErrRaftShutdown):
		case err != nil:
			n.cfg.Logger.Error("snapshot failed", "error", err)
		default:
			n.cfg.Logger.Info("snapshot taken", "id", meta.ID, "took", took)
		}
	})
}

// whenOverdue calls take until stop is closed, whenever too much is not saved. If
// that is still so afterwards, it tries again after a pause, whether or not
// anything more is applied.
func (f *FSM) whenOverdue(stop <-chan struct{}, take func()) {
	for {
		select {
		case <-stop:
			return
		case <-f.overdue:
		}
		for f.isOverdue() { // not if told while the last one was being made
			take()
			if !f.isOverdue() {
				break
			}
			select {
			case <-stop:
				return
			case <-time.After(retrySnapshot):
			}
		}
	}
}
