package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"purser/internal/planted"
)

// ErrForeignID says that the id of this node is that of another data directory of
// the cluster, or was removed from it. Such a node must join under a new id: under
// the old one it could vote twice in a term.
var ErrForeignID = errors.New("node id belongs to another data directory")

// formEvery is the pause between two attempts to find a cluster.
const formEvery = 250 * time.Millisecond

// enter opens the node for raft if it is in a cluster, known says that raft has a
// state, or makes it one on its own. A node that is to join others is left to
// form.
func (n *Node) enter(known bool) error {
	future := n.raft.GetConfiguration()
	if err := future.Error(); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	servers := future.Configuration().Servers
	if len(servers) == 0 { // let in, and stopped before it heard who is in the cluster
		servers = configurationOf(n.identity.hosts).Servers
	}
	n.book.set(servers)
	founders := n.identity.founders.Load()
	switch {
	case known: // if only a term, in which somebody asked for its vote
		n.port.OpenRaft()
		return n.pace(voters(future.Configuration()))
	case founders != nil && (*founders)[0].ID == n.cfg.NodeID: // stopped while it founded
		return n.found(*founders)
	case *n.identity.cluster.Load() != "":
		n.port.OpenRaft()
		return nil
	case len(n.cfg.Join) == 0:
		return n.found([]MemberRecord{n.self()})
	}
	n.waiting("looking for a cluster")
	return nil
}

func voters(c raft.Configuration) (count int) {
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter {
			count++
		}
	}
	return count
}

// found makes a cluster of the founders, of which this node is the first. The
// others are let in by what it says of itself.
func (n *Node) found(founders []MemberRecord) error {
	if err := n.belong(clusterOf(founders), founders, nil); err != nil {
		return err
	}
	servers := configurationOf(founders)
	n.book.set(servers.Servers)
	n.port.OpenRaft()
	if err := n.raft.BootstrapCluster(servers).Error(); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	n.forming.Store(nil)
	return n.pace(len(founders))
}

// waiting notes why the node is in no cluster yet, and logs what is new.
func (n *Node) waiting(why string) {
	if before := n.forming.Swap(&why); before == nil || *before != why {
		n.cfg.Logger.Info("not in a cluster yet", "reason", why)
	}
}

// form tries once to find a cluster for this node: it is let into one that it is a
// member of already, asks one that there is to be let in, or founds one when all
// those to found it are there and agree. Who founds is the one with the lowest
// id; as all have the same addresses, there is one such set.
func (n *Node) form(ctx context.Context) {
	answers, missing := n.greet(ctx)
	for _, a := range answers {
		if done, err := n.enterAsMember(a); err != nil {
			n.waiting(err.Error())
			return
		} else if done {
			return
		}
	}
	for _, a := range answers {
		if a.Cluster != "" {
			n.askIn(ctx, a)
			return
		}
	}
	founders, err := n.agree(answers, missing)
	switch {
	case err != nil:
		n.waiting(err.Error())
	case founders[0].ID != n.cfg.NodeID:
		n.waiting(fmt.Sprintf("node %q is about to found the cluster", founders[0].ID))
	default:
		n.cfg.Logger.Info("founding a cluster", "nodes", len(founders))
		if err := n.found(founders); err != nil {
			n.waiting(err.Error())
		}
	}
}

// lookUp asks who is in the cluster now, for a node that was let in and has not
// heard it from the leader: those that let it in may have left since, and it would
// refuse the others.
func (n *Node) lookUp(ctx context.Context) {
	answers, _ := n.greet(ctx) // those that do not answer may the next time
	for _, a := range answers {
		if hosts := present(a.Members); a.Cluster == *n.identity.cluster.Load() && len(hosts) > 0 {
			n.book.set(configurationOf(hosts).Servers)
			return
		}
	}
}

// greeting is an introduction and the address that gave it.
type greeting struct {
	introduction
	addr string
}

// greet asks every address that the node was told who is there, and returns the
// answers in the order of the addresses, with the faults of the others.
func (n *Node) greet(ctx context.Context) (answers []greeting, missing []error) {
	addrs := sorted(n.cfg.Join)
	all := make([]greeting, len(addrs))
	faults := make([]error, len(addrs))
	var wg sync.WaitGroup
	for i, addr := range addrs {
		wg.Go(func() {
			all[i].addr = addr
			faults[i] = n.call(ctx, addr, "", callHello, struct{}{}, &all[i].introduction)
		})
	}
	wg.Wait()
	for i, err := range faults {
		if err != nil {
			missing = append(missing, err)
		} else {
			answers = append(answers, all[i])
		}
	}
	return answers, missing
}

// enterAsMember lets raft in if the node that answered says that this one is a
// member of its cluster.
func (n *Node) enterAsMember(a greeting) (bool, error) {
	record, ok := a.member(n.cfg.NodeID)
	if !ok || a.Cluster == "" {
		return false, nil
	}
	if err := checkOwner(record, n.identity.incarnation); err != nil {
		return false, err
	}
	founders, hosts := a.Founders, present(a.Members)
	if _, ok := slices.BinarySearchFunc(founders, n.cfg.NodeID, compareMember); !ok {
		founders = nil
	}
	if len(hosts) == 0 {
		hosts = founders
	}
	if err := n.belong(a.Cluster, founders, hosts); err != nil {
		return false, err
	}
	n.book.set(configurationOf(hosts).Servers)
	n.port.OpenRaft()
	n.forming.Store(nil)
	n.cfg.Logger.Info("in a cluster", "cluster", a.Cluster, "by", a.Node)
	return true, nil
}

// checkOwner refuses an id that another data directory has, or had.
func checkOwner(record MemberRecord, incarnation string) error {
	switch {
	case record.Removed:
		return fmt.Errorf("%w: %q was removed from the cluster", ErrForeignID, record.ID)
	case record.Incarnation != incarnation && !planted.Is(planted.WipedNodeAdmitted):
		return fmt.Errorf("%w: %q has joined from another one", ErrForeignID, record.ID)
	}
	return nil
}

func present(members []MemberRecord) []MemberRecord {
	return slices.DeleteFunc(slices.Clone(members), func(m MemberRecord) bool { return m.Removed })
}

// askIn asks the leader of the cluster that a is in for membership. The next
// attempt finds out what came of it.
func (n *Node) askIn(ctx context.Context, a greeting) {
	leader := a.Leader
	if leader == "" {
		n.waiting(fmt.Sprintf("the cluster of node %q has no leader", a.Node))
		return
	}
	err := n.call(ctx, leader, "", callJoin, joinRequest{Member: n.self()}, nil)
	if err != nil {
		n.waiting(err.Error())
	}
}

// agree returns the founders of a new cluster, by id, or why there is none to be
// founded. All of them have to be there and to have been told the same: two sets
// that overlap could each found a cluster.
func (n *Node) agree(answers []greeting, missing []error) ([]MemberRecord, error) {
	switch {
	case n.cfg.Expect == 0:
		return nil, errors.New("there is no cluster to join, and this node is not to found one")
	case len(missing) > 0:
		return nil, fmt.Errorf("%d of %d nodes answer: %w", len(answers), n.cfg.Expect, missing[0])
	case len(answers) != n.cfg.Expect:
		return nil, fmt.Errorf("%d different addresses of nodes, to found a cluster of %d", len(answers), n.cfg.Expect)
	}
	var founders []MemberRecord
	join, own := sorted(n.cfg.Join), false
	for _, a := range answers {
		if a.Expect != n.cfg.Expect || !slices.Equal(a.Join, join) {
			return nil, fmt.Errorf("node %q is to found a cluster of %d of %q, this one of %d of %q",
				a.Node, a.Expect, a.Join, n.cfg.Expect, join)
		}
		if err := n.remembersAsLong(a.introduction); err != nil {
			return nil, err
		}
		i, taken := slices.BinarySearchFunc(founders, a.Node, compareMember)
		if taken {
			return nil, fmt.Errorf("%s and %s are both node %q", founders[i].RaftAddr, a.addr, a.Node)
		}
		own = own || a.Incarnation == n.identity.incarnation
		founders = slices.Insert(founders, i, MemberRecord{ID: a.Node, Incarnation: a.Incarnation, RaftAddr: a.addr, Formats: a.Formats})
	}
	if !own {
		return nil, fmt.Errorf("this node answers at none of %q", join)
	}
	return founders, nil
}
