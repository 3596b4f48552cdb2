package raftfsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
)

// A data directory:
//
//	<dir>/LOCK         held by the process that uses the directory
//	<dir>/raft.db      the term, the vote and whose directory this is
//	<dir>/wal/         the log
//	<dir>/snapshots/   raft's snapshots
//	<dir>/state/       the state machine's states
//	<dir>/RESTORING    there while a restore makes the rest
//	<dir>/DIVERGED     there once the state was found not to be the leader's
const (
	stableName    = "raft.db"
	logName       = "wal"
	snapshotsName = "snapshots"
	statesName    = "state"
)

var (
	// ErrForeignData says that the data directory belongs to another node.
	ErrForeignData = errors.New("data directory of another node")

	// ErrDataMissing says that a part of the data directory is gone which the rest
	// cannot do without. Whoever deleted it has to bring it back, or the node has to
	// join anew, empty and under a new id.
	ErrDataMissing = errors.New("data directory is incomplete")
)

// segmentSuffix is how the names of the log's files end; see package wal.
const segmentSuffix = ".wal"

// Keys of what the stable store says about the data directory.
const (
	keyNodeID    = "purser.node-id"
	keyRetention = "purser.retention"
)

// usedBefore reports whether a node has ever started in dir: it creates the log,
// and then the rest, after it has put its name into the stable store. A log
// without files beside a state is ErrDataMissing: what was acknowledged since the
// last snapshot was only there. A directory that is still being restored is
// ErrRestoreUnfinished.
func usedBefore(dir string) (bool, error) {
	if _, err := os.Lstat(filepath.Join(dir, restoringName)); err == nil {
		return false, fmt.Errorf("%w: run it again into %s, or empty that directory", ErrRestoreUnfinished, dir)
	}
	var used [3]bool
	for i, name := range []string{logName, snapshotsName, statesName} {
		entries, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, fmt.Errorf("open data directory: %w", err)
		}
		used[i] = err == nil
		if name == logName { // its directory has a lock file, too, which proves nothing
			used[i] = slices.ContainsFunc(entries, func(e os.DirEntry) bool {
				return strings.HasSuffix(e.Name(), segmentSuffix)
			})
		}
	}
	if !used[0] && (used[1] || used[2]) {
		return false, fmt.Errorf("%w: no log in %s", ErrDataMissing, filepath.Join(dir, logName))
	}
	return used[0], nil
}

// claim binds a new data directory to the node's id and the retention of keys,
// or refuses those of another: a vote belongs to the node that gave it, and a
// replay comes to the same state only under the same retention.
func claim(stable *stableStore, cfg Config, used bool) error {
	owner, known := stable.values[keyNodeID]
	retention := stable.values[keyRetention]
	switch {
	case !known && used:
		return fmt.Errorf("%w: %s does not know its node, so the votes that it gave are forgotten", ErrDataMissing, stableName)
	case !known:
		return stable.put(map[string][]byte{keyNodeID: []byte(cfg.NodeID), keyRetention: []byte(cfg.Retention.String())})
	case !used && startedRaft(stable):
		return fmt.Errorf("%w: %s has a term, but there is no log", ErrDataMissing, stableName)
	case string(owner) != cfg.NodeID:
		return fmt.Errorf("%w: it belongs to %q, not to %q", ErrForeignData, owner, cfg.NodeID)
	case string(retention) != cfg.Retention.String():
		return fmt.Errorf("%w: the data directory was made with %s, not %s", ErrRetention, retention, cfg.Retention)
	}
	return nil
}

// startedRaft reports whether raft has ever run on stable. It has a term from its
// bootstrap on, and the log was made before that.
func startedRaft(stable *stableStore) bool {
	term, err := stable.GetUint64([]byte(keyCurrentTerm))
	return err == nil && term > 0
}

// checkReach refuses a log that does not lead on from the state. at is the last
// entry that the state reflects, covered the index of the newest snapshot, from
// which on raft replays.
//
// An entry is in the log before it is applied. So a log that ends before at has
// lost entries: raft would fill their places with others, which the state machine
// would take for applied.
func checkReach(log raft.LogStore, at, covered uint64) error {
	first, err := log.FirstIndex()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	last, err := log.LastIndex()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if end := max(last, covered); end < at {
		return fmt.Errorf("%w: the state is that of log entry %d, but the log ends at %d", ErrDataMissing, at, end)
	}
	if first > covered+1 {
		return fmt.Errorf("%w: the log starts at entry %d, the newest snapshot is of entry %d", ErrDataMissing, first, covered)
	}
	return nil
}
