package raftfsm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"purser/internal/peer"
)

// The control calls that nodes make to each other, on the port of raft.
const (
	callHello    = "hello"    // who are you: introduction
	callJoin     = "join"     // make me a member, or note my new addresses; leader only
	callProgress = "progress" // how far are you: progress
	callCompare  = "compare"  // what was your digest, and how far are you: comparison
	callAdd      = "add"      // what an operator asks of the cluster; leader only
	callRemove   = "remove"
	callTransfer = "transfer"
)

// Codes of refusals, besides those of package peer.
const (
	codeNotLeader = "not_leader"
	codeRefused   = "refused" // asking again is no use
	codeUnready   = "unready" // asking again may be
)

// introduction is the answer to hello.
type introduction struct {
	Node        string         `json:"node"`
	Incarnation string         `json:"incarnation"`
	Cluster     string         `json:"cluster"`  // "" for a node that is in none
	Join        []string       `json:"join"`     // as it was told, in order
	Expect      int            `json:"expect"`   // as it was told
	Founders    []MemberRecord `json:"founders"` // of Cluster, if it is one of them
	Members     []MemberRecord `json:"members"`  // of Cluster, as far as it knows
	Leader      string         `json:"leader"`   // raft address, "" if unknown
	Formats     int            `json:"formats"`  // newest that it reads
	Retention   time.Duration  `json:"retention"`
}

// joinRequest asks the leader for membership.
type joinRequest struct {
	Cluster string       `json:"cluster"` // that the node is in already, or ""
	Member  MemberRecord `json:"member"`
}

// progress is how far a node has come.
type progress struct {
	Node        string `json:"node"`
	Incarnation string `json:"incarnation"`
	Leading     bool   `json:"leading"` // and serving
	Applied     uint64 `json:"applied"` // index of raft's last entry applied
	Diverged    bool   `json:"diverged"`
}

// comparison asks for, or tells, the digest after an entry; 0 for none.
type comparison struct {
	Index     uint64 `json:"index"`
	Digest    string `json:"digest"`    // "" if the node does not have it any more, or yet
	Committed uint64 `json:"committed"` // commit index of a node that leads and serves, 0 of others
}

// membersOnly are the calls of nodes that belong to the cluster. The others are for
// those that look for one, too.
var membersOnly = map[string]bool{callCompare: true, callAdd: true, callRemove: true, callTransfer: true}

// answer serves the control calls of other nodes.
func (n *Node) answer(ctx context.Context, caller peer.Caller, method string, body json.RawMessage) (any, error) {
	if membersOnly[method] && !n.belongs(caller) {
		return nil, refusal(codeRefused, "%s: node %q is not a member of the cluster", method, caller.NodeID)
	}
	switch method {
	case callHello:
		return n.introduce(), nil
	case callJoin:
		var in joinRequest
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, refusal(codeRefused, "join: %v", err)
		}
		if caller.NodeID != "" && caller.NodeID != in.Member.ID {
			return nil, refusal(codeRefused, "the certificate is that of %q, not of %q", caller.NodeID, in.Member.ID)
		}
		return struct{}{}, n.admit(ctx, in)
	case callProgress:
		return n.ownProgress(), nil
	case callCompare:
		var in comparison
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, refusal(codeRefused, "compare: %v", err)
		}
		return n.compareWith(in, caller), nil
	case callAdd, callRemove, callTransfer:
		return n.change(ctx, method, body)
	}
	return nil, peer.UnknownMethod(method)
}

// belongs reports whether a caller is a member. Without TLS nobody knows.
func (n *Node) belongs(caller peer.Caller) bool {
	return caller.NodeID == "" || n.book.has(caller.NodeID) && !slices.Contains(n.removed(), caller.NodeID)
}

// removed returns the ids that were taken out of the cluster, as far as this node
// knows. None of them comes back.
func (n *Node) removed() (ids []string) {
	state := n.fsm.membership()
	if state.Cluster != *n.identity.cluster.Load() {
		return nil // of a cluster before this one
	}
	for _, m := range state.Members {
		if m.Removed {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// introduce says who this node is.
func (n *Node) introduce() introduction {
	state := n.fsm.membership()
	in := introduction{
		Node:        n.cfg.NodeID,
		Incarnation: n.identity.incarnation,
		Cluster:     *n.identity.cluster.Load(),
		Join:        sorted(n.cfg.Join),
		Expect:      n.cfg.Expect,
		Formats:     n.cfg.newest,
		Retention:   n.cfg.Retention,
		Members:     state.Members,
	}
	if state.Cluster != in.Cluster {
		in.Members = nil // of a cluster before this one
	}
	if founders := n.identity.founders.Load(); founders != nil {
		in.Founders = *founders
	}
	leader, _ := n.raft.LeaderWithID()
	in.Leader = string(leader)
	return in
}

// member returns what the introduction says of a node: its record, or at first
// that of its founding.
func (in *introduction) member(id string) (MemberRecord, bool) {
	for _, list := range [][]MemberRecord{in.Members, in.Founders} {
		i := slices.IndexFunc(list, func(m MemberRecord) bool { return m.ID == id })
		if i >= 0 {
			return list[i], true
		}
	}
	return MemberRecord{}, false
}

func (n *Node) ownProgress() progress {
	return progress{
		Node:        n.cfg.NodeID,
		Incarnation: n.identity.incarnation,
		Leading:     n.serving.Load(),
		Applied:     n.raft.AppliedIndex(),
		Diverged:    n.diverged.Load() != nil,
	}
}

// callTimeout bounds the calls of the cluster's routine.
const callTimeout = 2 * time.Second

// call makes a control call of the cluster's routine.
func (n *Node) call(ctx context.Context, addr, id, method string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return n.port.Call(ctx, addr, id, method, in, out)
}

func refusal(code, format string, args ...any) error {
	return &peer.RemoteError{Code: code, Message: fmt.Sprintf(format, args...)}
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}
