package raftfsm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"purser/internal/ledger"
	"purser/internal/peer"
)

var (
	// ErrNotLeader is returned for what only the leader can do, by a node that knows
	// none.
	ErrNotLeader = errors.New("this node does not lead")

	// ErrUnknownMember names no node of the cluster.
	ErrUnknownMember = errors.New("no such member")

	// ErrCannotChange wraps why the cluster cannot be changed as asked.
	ErrCannotChange = errors.New("the cluster cannot be changed")
)

// proposeMembers has a change of the membership committed and applied here.
func (n *Node) proposeMembers(c memberChange) error {
	entry, err := encodeMemberChange(c, n.fsm.Format())
	if err != nil {
		return err
	}
	var future raft.ApplyFuture
	if !n.intake.hand(func() { future = n.raft.Apply(entry, n.cfg.AppendLimit) }) {
		return ledger.ErrNoLeader
	}
	return future.Error()
}

// admit makes the node that asks a member, or notes its new addresses. It is the
// leader's part of joining; asking twice changes nothing.
func (n *Node) admit(ctx context.Context, in joinRequest) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	if !n.serving.Load() {
		leader, _ := n.raft.LeaderWithID()
		return refusal(codeNotLeader, "%s", leader)
	}
	state := n.fsm.membership()
	if in.Cluster != "" && in.Cluster != state.Cluster {
		return refusal(codeRefused, "the node is in cluster %q, this is %q", in.Cluster, state.Cluster)
	}
	before, known := state.find(in.Member.ID)
	if known {
		if err := checkOwner(before, in.Member.Incarnation); err != nil {
			return refusal(codeRefused, "%v", err)
		}
		in.Member.Learner = before.Learner
	}
	if err := state.welcome(in.Member); err != nil {
		return refusal(codeRefused, "%v", err)
	}
	if err := n.isFree(in.Member); err != nil {
		return refusal(codeRefused, "%v", err)
	}
	if err := n.visit(ctx, in.Member); err != nil {
		return refusal(codeUnready, "%v", err)
	}
	return n.enlist(in.Member, before, known)
}

// visit makes sure that a node answers at the raft address that it gives.
func (n *Node) visit(ctx context.Context, m MemberRecord) error {
	if m.ID == n.cfg.NodeID {
		return nil
	}
	var in introduction
	if err := n.call(ctx, m.RaftAddr, m.ID, callHello, struct{}{}, &in); err != nil {
		return fmt.Errorf("node %q gives an address that cannot be used: %w", m.ID, err)
	}
	if in.Node != m.ID || in.Incarnation != m.Incarnation {
		return fmt.Errorf("at %s answers node %q, not %q, or from another data directory", m.RaftAddr, in.Node, m.ID)
	}
	return n.remembersAsLong(in)
}

// remembersAsLong refuses a node that forgets idempotency keys earlier or later than
// this one: a retry would be a payment on one and none on the other.
func (n *Node) remembersAsLong(in introduction) error {
	if in.Retention == n.cfg.Retention {
		return nil
	}
	return fmt.Errorf("%w: node %q keeps idempotency keys for %s, node %q for %s",
		ErrRetention, in.Node, in.Retention, n.cfg.NodeID, n.cfg.Retention)
}

// isFree refuses a raft address that another member has: raft sends what is for the
// one to the other.
func (n *Node) isFree(m MemberRecord) error {
	now, err := n.configuration()
	if err != nil {
		return err
	}
	for _, s := range now.Servers {
		if string(s.Address) == m.RaftAddr && string(s.ID) != m.ID {
			return fmt.Errorf("%s is the raft address of node %q: remove that one first, or use another address", m.RaftAddr, s.ID)
		}
	}
	return nil
}

// enlist writes the record of a member and gives raft its address. The caller
// holds changing.
func (n *Node) enlist(m, before MemberRecord, known bool) error {
	if !known || m != before {
		if err := n.proposeMembers(memberChange{Members: []MemberRecord{m}}); err != nil {
			return err
		}
	}
	now, err := n.configuration()
	if err != nil {
		return err
	}
	server := raft.Server{ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.RaftAddr), Suffrage: raft.Nonvoter}
	for _, s := range now.Servers {
		if s.ID != server.ID {
			continue
		}
		if s.Address == server.Address {
			return nil
		}
		server.Suffrage = s.Suffrage
	}
	n.book.add(server)
	if server.Suffrage == raft.Voter {
		return n.raft.AddVoter(server.ID, server.Address, 0, n.cfg.AppendLimit).Error()
	}
	return n.raft.AddNonvoter(server.ID, server.Address, 0, n.cfg.AppendLimit).Error()
}

func (n *Node) configuration() (raft.Configuration, error) {
	future := n.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return raft.Configuration{}, fmt.Errorf("read configuration: %w", err)
	}
	return future.Configuration(), nil
}

// AddMember makes the node that waits at m.RaftAddr a member: first a learner, and
// a voter once it has caught up, unless m.Learner says otherwise. For a member it
// changes that. Any node may be asked. Errors wrap ErrNotLeader or ErrCannotChange.
func (n *Node) AddMember(ctx context.Context, m MemberRecord) error {
	if !n.serving.Load() {
		return n.forward(ctx, callAdd, m, nil)
	}
	n.changing.Lock()
	defer n.changing.Unlock()
	if !n.serving.Load() { // any more
		return ErrNotLeader
	}
	var in introduction
	if err := n.call(ctx, m.RaftAddr, m.ID, callHello, struct{}{}, &in); err != nil {
		return fmt.Errorf("%w: no node answers at %s: %w", ErrCannotChange, m.RaftAddr, err)
	}
	state := n.fsm.membership()
	switch {
	case in.Node != m.ID:
		return fmt.Errorf("%w: at %s answers node %q, not %q", ErrCannotChange, m.RaftAddr, in.Node, m.ID)
	case in.Cluster != "" && in.Cluster != state.Cluster:
		return fmt.Errorf("%w: node %q is in another cluster", ErrCannotChange, m.ID)
	}
	m.Incarnation, m.Formats = in.Incarnation, in.Formats
	before, known := state.find(m.ID)
	if known {
		if err := checkOwner(before, m.Incarnation); err != nil {
			return fmt.Errorf("%w: %w", ErrCannotChange, err)
		}
	}
	if err := errors.Join(state.welcome(m), n.remembersAsLong(in), n.isFree(m)); err != nil {
		return fmt.Errorf("%w: %w", ErrCannotChange, err)
	}
	if err := n.enlist(m, before, known); err != nil {
		return fmt.Errorf("%w: %w", ErrCannotChange, err)
	}
	if m.Learner {
		return n.demote(m.ID)
	}
	return nil
}

// forwardTimeout bounds a change that the leader is asked for: a transfer takes
// the longest.
const forwardTimeout = transferWait + 5*time.Second

// forward asks the leader to make a change that was asked of this node.
func (n *Node) forward(ctx context.Context, method string, in, out any) error {
	addr, id := n.raft.LeaderWithID()
	if id == "" || string(id) == n.cfg.NodeID {
		return ErrNotLeader
	}
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	err := n.port.Call(ctx, string(addr), string(id), method, in, out)
	if remote, ok := errors.AsType[*peer.RemoteError](err); ok {
		if remote.Code == codeNotLeader {
			return ErrNotLeader
		}
		return fmt.Errorf("%w: %s", ErrCannotChange, strings.TrimPrefix(remote.Message, ErrCannotChange.Error()+": "))
	}
	if err != nil {
		return fmt.Errorf("%w, or it is not known: %w", ErrCannotChange, err)
	}
	return nil
}

// change makes a change that another node was asked for and forwarded.
func (n *Node) change(ctx context.Context, method string, body json.RawMessage) (out any, err error) {
	if !n.serving.Load() {
		return nil, refusal(codeNotLeader, "node %q does not lead", n.cfg.NodeID)
	}
	var member MemberRecord
	var id string
	into := any(&id)
	if method == callAdd {
		into = &member
	}
	if err := json.Unmarshal(body, into); err != nil {
		return nil, refusal(codeRefused, "%s: %v", method, err)
	}
	switch method {
	case callAdd:
		err = n.AddMember(ctx, member)
	case callRemove:
		err = n.RemoveMember(ctx, id)
	case callTransfer:
		out, err = n.TransferLeadership(ctx, id)
	}
	if err != nil {
		return nil, refusal(codeRefused, "%v", err)
	}
	return out, nil
}

// demote makes a voter a learner.
func (n *Node) demote(id string) error {
	now, err := n.configuration()
	if err != nil {
		return err
	}
	for _, s := range now.Servers {
		if string(s.ID) != id || s.Suffrage != raft.Voter {
			continue
		}
		if voters(now) == 1 || id == n.cfg.NodeID {
			return fmt.Errorf("%w: the leader has to vote", ErrCannotChange)
		}
		return n.raft.DemoteVoter(s.ID, 0, n.cfg.AppendLimit).Error()
	}
	return nil
}

// RemoveMember takes a node out of the cluster, for good: its id can never be used
// again. Any node may be asked. Errors wrap ErrNotLeader, ErrUnknownMember or
// ErrCannotChange.
func (n *Node) RemoveMember(ctx context.Context, id string) error {
	if !n.serving.Load() {
		return n.forward(ctx, callRemove, id, nil)
	}
	if id == n.cfg.NodeID {
		return fmt.Errorf("%w: node %q leads; transfer the lead first", ErrCannotChange, id)
	}
	n.changing.Lock()
	defer n.changing.Unlock()
	if !n.serving.Load() { // any more
		return ErrNotLeader
	}
	record, ok := n.fsm.membership().find(id)
	if !ok {
		return fmt.Errorf("%w: %q", ErrUnknownMember, id)
	}
	if !record.Removed {
		record.Removed = true
		if err := n.proposeMembers(memberChange{Members: []MemberRecord{record}}); err != nil {
			return fmt.Errorf("%w: %w", ErrCannotChange, err)
		}
	}
	if err := n.raft.RemoveServer(raft.ServerID(id), 0, n.cfg.AppendLimit).Error(); err != nil {
		return fmt.Errorf("%w: %w", ErrCannotChange, err)
	}
	return nil
}

// Transfer is a change of the lead that has happened.
type Transfer struct {
	Leader string `json:"leader"`
	Term   uint64 `json:"term"`
}

// TransferLeadership hands the lead to a voter, to any if to is "", and returns
// once that one says that it leads and serves. Any node may be asked. Errors wrap
// ErrNotLeader, ErrUnknownMember or ErrCannotChange.
func (n *Node) TransferLeadership(ctx context.Context, to string) (t Transfer, err error) {
	if !n.serving.Load() {
		err = n.forward(ctx, callTransfer, to, &t)
		return t, err
	}
	if to == n.cfg.NodeID {
		return Transfer{to, n.raft.CurrentTerm()}, nil
	}
	now, err := n.configuration()
	if err != nil {
		return t, err
	}
	target, err := n.successor(ctx, now, to)
	if err != nil {
		return t, err
	}
	if err := n.raft.LeadershipTransferToServer(target.ID, target.Address).Error(); err != nil {
		return t, fmt.Errorf("%w: %w", ErrCannotChange, err)
	}
	return n.awaitLeader(ctx, to)
}

// successor returns the voter that is to lead: the one named, or any.
func (n *Node) successor(ctx context.Context, now raft.Configuration, to string) (raft.Server, error) {
	if to != "" {
		return voter(now, to)
	}
	heirs := n.heirs(ctx, now)
	if len(heirs) == 0 {
		return raft.Server{}, fmt.Errorf("%w: no other voter answers", ErrCannotChange)
	}
	return heirs[0], nil
}

// heirs are the other voters that could lead, the furthest first. raft would pick
// one by what it sent, which may have ended since.
func (n *Node) heirs(ctx context.Context, now raft.Configuration) (list []raft.Server) {
	of := n.askAll(ctx, now)
	for _, s := range now.Servers {
		if p, ok := of[string(s.ID)]; ok && s.Suffrage == raft.Voter && !p.Diverged {
			list = append(list, s)
		}
	}
	slices.SortStableFunc(list, func(a, b raft.Server) int {
		return cmp.Compare(of[string(b.ID)].Applied, of[string(a.ID)].Applied)
	})
	return list
}

func voter(in raft.Configuration, id string) (raft.Server, error) {
	for _, s := range in.Servers {
		switch {
		case string(s.ID) != id:
		case s.Suffrage != raft.Voter:
			return s, fmt.Errorf("%w: node %q has no vote", ErrCannotChange, id)
		default:
			return s, nil
		}
	}
	return raft.Server{}, fmt.Errorf("%w: %q", ErrUnknownMember, id)
}

// transferWait is how long a transfer may take from raft's word for it to the new
// leader's.
const transferWait = 10 * time.Second

// awaitLeader waits until another node, the one asked for, leads by its own word:
// raft's only means that the target was told to start an election.
func (n *Node) awaitLeader(ctx context.Context, to string) (Transfer, error) {
	ctx, cancel := context.WithTimeout(ctx, transferWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		addr, id := n.raft.LeaderWithID()
		if leader := string(id); leader != "" && leader != n.cfg.NodeID {
			var p progress
			err := n.call(ctx, string(addr), leader, callProgress, struct{}{}, &p)
			switch {
			case err == nil && p.Diverged:
				return Transfer{}, fmt.Errorf("%w: node %q has diverged", ErrCannotChange, leader)
			case err != nil || !p.Leading:
			case to != "" && leader != to:
				return Transfer{}, fmt.Errorf("%w: node %q leads now", ErrCannotChange, leader)
			default:
				return Transfer{leader, n.raft.CurrentTerm()}, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return Transfer{}, fmt.Errorf("%w: node %q does not lead after %s", ErrCannotChange, to, transferWait)
		case <-n.stop:
			return Transfer{}, ErrNotLeader
		}
	}
}

// StepDown hands the lead to another voter, if this node has it and there is one,
// so that the others need not miss it first. It is for before the node ends.
func (n *Node) StepDown() {
	now, err := n.configuration()
	if err != nil || n.raft.State() != raft.Leader || voters(now) < 2 {
		return
	}
	for _, heir := range n.heirs(context.Background(), now) {
		if err := n.raft.LeadershipTransferToServer(heir.ID, heir.Address).Error(); err == nil {
			return
		} else {
			n.cfg.Logger.Warn("the lead was not handed over", "to", heir.ID, "error", err)
		}
	}
}
