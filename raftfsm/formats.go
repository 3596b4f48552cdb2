package raftfsm

import (
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"purser/internal/ledger"
)

// A node writes log entries, checkpoints and snapshots in the format that the cluster
// uses, and not in the newest that it knows: the others have to read them. Every node
// announces the newest that it reads, in its MemberRecord. When all of them have
// announced a newer one, the leader writes an entry from which on it is in use, for
// good: entries, checkpoints and snapshots after that one have it.

// format is the one in use.
func (m *membership) format() int { return max(m.Format, ledger.OldestFormat) }

// common is the newest format that every member reads. A server of raft's that the
// replicated state does not know reads the oldest.
func (m *membership) common(servers []raft.Server) int {
	var all []int
	for _, r := range present(m.Members) {
		all = append(all, r.Formats)
	}
	for _, s := range servers {
		if r, ok := m.find(string(s.ID)); !ok || r.Removed {
			all = append(all, ledger.OldestFormat)
		}
	}
	if len(all) == 0 {
		return ledger.OldestFormat
	}
	return max(slices.Min(all), ledger.OldestFormat)
}

// welcome refuses a node that does not read what the cluster writes.
func (m *membership) welcome(r MemberRecord) error {
	if r.Formats >= m.format() {
		return nil
	}
	return fmt.Errorf("%w: the cluster uses format %d, node %q reads formats up to %d: run the release that the other nodes run",
		ledger.ErrFormat, m.format(), r.ID, r.Formats)
}

// Format is the newest format that every node of the cluster reads: the one to write
// log entries in.
func (f *FSM) Format() int { return f.membership().format() }

// raiseFormat has the cluster use the newest format that this node, which leads, and
// all other members read.
func (n *Node) raiseFormat(now raft.Configuration) error {
	if _, ok := n.newerFormat(now); !ok {
		return nil
	}
	now, unlock, err := n.holdChanges()
	if err != nil {
		return err
	}
	defer unlock()
	format, ok := n.newerFormat(now)
	if !ok {
		return nil
	}
	n.cfg.Logger.Info("all members read a newer format: it is used from now on", "format", format)
	return n.proposeMembers(memberChange{Format: format})
}

// newerFormat returns the newest format that all members read, if it is not in use yet.
func (n *Node) newerFormat(now raft.Configuration) (format int, ok bool) {
	state := n.fsm.membership()
	format = min(n.cfg.newest, state.common(now.Servers))
	return format, format > state.format()
}
