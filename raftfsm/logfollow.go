package raftfsm

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"purser/internal/planted"
)

var (
	// ErrLogDropped says that the log was not that of a snapshot which the leader
	// sent, and is gone: its entries were never committed, or are in the snapshot.
	// raft still believes in them, so the process has to end; the next one goes on
	// from the snapshot.
	ErrLogDropped = errors.New("the log contradicted the snapshot of the leader and was dropped: the process has to start anew")

	// ErrSnapshotBehind says that the leader sent a snapshot from before the log of
	// this node. Nothing is lost by refusing it; the next leader will know better.
	ErrSnapshotBehind = errors.New("the snapshot of the leader ends before the log begins")
)

// follow makes log one that leads on from the snapshot at (index, term), as rule 6
// and 7 of InstallSnapshot in the Raft paper have it and raft does not
// (hashicorp/raft#697): what follows an entry at index with that term stays, since
// this node has acknowledged it; a log that ends before index goes, or the next
// append would leave a gap; and so does one with another entry at index, which
// every leader would refuse for ever. Of this last one raft has to be told by a
// new start: ErrLogDropped.
func follow(log raft.LogStore, index, term uint64) error {
	first, err := log.FirstIndex()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	last, err := log.LastIndex()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	switch {
	case last == 0 || first == index+1:
		return nil
	case first > index:
		return fmt.Errorf("%w: entry %d, and the log is from %d to %d", ErrSnapshotBehind, index, first, last)
	case last < index:
		return log.DeleteRange(first, last)
	}
	var entry raft.Log
	if err := log.GetLog(index, &entry); err != nil {
		return fmt.Errorf("read log entry %d: %w", index, err)
	}
	if entry.Term == term || planted.Is(planted.TermUnchecked) {
		return nil
	}
	if err := log.DeleteRange(first, last); err != nil {
		return err
	}
	return fmt.Errorf("%w: entry %d is of term %d there, of term %d here", ErrLogDropped, index, term, entry.Term)
}
