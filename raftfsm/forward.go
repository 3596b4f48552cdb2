package raftfsm

import (
	"fmt"
	"net"
	"time"

	"purser/internal/ledger"
)

// Leader returns the id of the node that leads, "" when none is known, and whether
// that is this node and it may propose. A node that diverged knows none. It never
// blocks.
func (n *Node) Leader() (id string, self bool) {
	if n.Ready() == nil {
		return n.cfg.NodeID, true
	}
	_, leader := n.raft.LeaderWithID()
	if string(leader) == n.cfg.NodeID || n.diverged.Load() != nil {
		return "", false
	}
	return string(leader), false
}

// Forwarded returns the connections of other members on which they forward
// requests to this node, for the server of its API.
func (n *Node) Forwarded() net.Listener { return n.port.Forwarded() }

// DialLeader connects to the API of node id, which has to be the leader still;
// timeout bounds the attempt. An error says that there is no connection that
// anything could be sent on.
func (n *Node) DialLeader(id string, timeout time.Duration) (net.Conn, error) {
	addr, leader := n.raft.LeaderWithID()
	if string(leader) != id {
		return nil, fmt.Errorf("%w: node %q does not lead any more", ledger.ErrNoLeader, id)
	}
	return n.port.DialForward(string(addr), id, timeout)
}
