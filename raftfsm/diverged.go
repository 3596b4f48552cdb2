package raftfsm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrDiverged says that the results of the same log are not those of the leader.
// The node serves nothing any more: one of the two is wrong.
var ErrDiverged = errors.New("the state of this node is not that of the leader")

// divergedName is the file that says so to the next process. Nothing removes it: the
// state is not to be served again, and the node comes back empty, under a new id.
const divergedName = "DIVERGED"

// Diverged returns why this node serves nothing any more, nil if it does.
func (n *Node) Diverged() error {
	if err := n.diverged.Load(); err != nil {
		return *err
	}
	return nil
}

// diverge ends the service for good; found says how the state differs. If that cannot
// be written the node goes on serving nothing: a new process would find it out anew.
func (n *Node) diverge(found string) {
	n.serveNothing(fmt.Errorf("%w: %s", ErrDiverged, found))
	path := filepath.Join(n.cfg.DataDir, divergedName)
	err := writeSynced(vfs.Default, path, []byte(found+"\n"))
	if err == nil {
		err = syncPath(vfs.Default, n.cfg.DataDir)
	}
	if err != nil {
		n.cfg.Logger.Error("the next start will not know that the node has diverged", "error", err)
	}
}

// recallDivergence ends the service before it begins, if the state has diverged
// already. The file proves it, whatever a crash left in it.
func (n *Node) recallDivergence() error {
	path := filepath.Join(n.cfg.DataDir, divergedName)
	found, err := os.ReadFile(path)
	switch {
	case err == nil:
		n.serveNothing(fmt.Errorf("%w (%s): %s", ErrDiverged, path, strings.TrimSpace(string(found))))
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("open data directory: %w", err)
	}
	return nil
}

func (n *Node) serveNothing(err error) {
	n.fsm.withhold(err)
	n.diverged.Store(&err)
	n.cfg.Logger.Error("the node serves nothing any more", "error", err)
}
