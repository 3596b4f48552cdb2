package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"purser/internal/peer"
	"purser/internal/planted"
)

// watchEvery is the pause between two looks at the cluster.
const watchEvery = 500 * time.Millisecond

// closeEnough is how many entries a learner may be behind to be made a voter.
const closeEnough = 1024

// progressTable is how far the leader has found the others to be.
type progressTable struct {
	mu sync.Mutex
	of map[string]progress
}

func (t *progressTable) set(of map[string]progress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of = of
}

func (t *progressTable) get() map[string]progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.of)
}

// catchUpLogs is how many snapshots' worth of log is kept at most for nodes that are
// catching up.
const catchUpLogs = 8

// needed is the last entry that was applied by the node which is furthest behind, of
// those that answer the leader: what follows is sent to it, and raft looks for that
// one's term. Without it, a node that takes longer to install a snapshot than the next
// one is in coming would find the log gone again, and never catch up under load.
func (n *Node) needed() (from uint64) {
	from = math.MaxUint64
	if n.log.Stats().Bytes < catchUpLogs*n.cfg.SnapshotBytes {
		for _, p := range n.progress.get() {
			from = min(from, p.Applied)
		}
	}
	return from
}

// watchCluster finds the node a cluster, and then looks after its part in it.
func (n *Node) watchCluster() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n.done.Go(func() {
		<-n.stop
		cancel()
	})
	pause := time.NewTimer(0)
	var trouble string
	for {
		select {
		case <-n.stop:
			return
		case <-pause.C:
		}
		if n.forming.Load() != nil {
			n.form(ctx)
			pause.Reset(formEvery)
			continue
		}
		switch err := n.look(ctx); {
		case ctx.Err() != nil:
		case err == nil:
			trouble = ""
		case err.Error() != trouble: // said once, not every time
			trouble = err.Error()
			n.cfg.Logger.Warn("looking after the cluster", "error", err)
		}
		pause.Reset(watchEvery)
	}
}

// look is one round of the routine: whose address is which, is every node where
// it should be, is this node known as what it is, and is its state the leader's.
func (n *Node) look(ctx context.Context) error {
	now, err := n.configuration()
	if err != nil {
		return err
	}
	if len(now.Servers) == 0 {
		n.lookUp(ctx)
	} else {
		n.book.follow(now.Servers)
		if err := n.pace(voters(now)); err != nil {
			return err
		}
	}
	// Not those of all that are missing in the configuration: that of a node which is
	// behind may be without its leader.
	n.port.Evict(n.removed())
	if n.Diverged() != nil {
		n.StepDown() // nobody may have taken the lead when it was handed over
	}
	if n.serving.Load() {
		return n.lookAsLeader(ctx, now)
	}
	n.progress.set(nil)
	addr, id := n.raft.LeaderWithID()
	switch {
	case string(id) == n.cfg.NodeID:
		return nil
	case id == "":
		return n.seekLeader(ctx, now)
	}
	return errors.Join(n.announce(ctx, string(addr), string(id)), n.compare(ctx, string(addr), string(id)))
}

// announce has the leader note what is new about this node.
func (n *Node) announce(ctx context.Context, addr, id string) error {
	record, known := n.fsm.membership().find(n.cfg.NodeID)
	want := n.self()
	want.Learner = record.Learner
	if known && (record == want || record.Removed) {
		return nil
	}
	return n.call(ctx, addr, id, callJoin, joinRequest{Cluster: *n.identity.cluster.Load(), Member: want}, nil)
}

// seekLeader asks the others who leads, for a node that hears of no leader: if it
// has moved, the leader cannot know where to; and if it was away, the leader or who
// wants its vote may be a member that it does not know yet, and would refuse.
func (n *Node) seekLeader(ctx context.Context, now raft.Configuration) error {
	for _, s := range now.Servers {
		if string(s.ID) == n.cfg.NodeID {
			continue
		}
		var in introduction
		if err := n.call(ctx, string(s.Address), string(s.ID), callHello, struct{}{}, &in); err != nil {
			continue // it is not there either
		}
		if in.Cluster != *n.identity.cluster.Load() {
			continue
		}
		for _, m := range configurationOf(present(in.Members)).Servers {
			if !n.book.has(string(m.ID)) {
				n.book.add(m)
			}
		}
		if in.Leader != "" {
			return n.announce(ctx, in.Leader, "")
		}
	}
	return nil
}

// lookAsLeader is the leader's part of a round.
func (n *Node) lookAsLeader(ctx context.Context, now raft.Configuration) error {
	if err := n.foundState(); err != nil {
		return err
	}
	faults := []error{n.completeChanges(now)}
	own := n.self()
	if record, ok := n.fsm.membership().find(own.ID); !ok || record != own {
		faults = append(faults, n.admit(ctx, joinRequest{Member: own}))
	}
	faults = append(faults, n.raiseFormat(now))
	of := n.askAll(ctx, now)
	n.progress.set(of)
	for _, s := range now.Servers {
		p, ok := of[string(s.ID)]
		if ok && s.Suffrage == raft.Nonvoter && p.Applied+closeEnough >= n.raft.LastIndex() {
			faults = append(faults, n.promote(s))
		}
	}
	return errors.Join(faults...)
}

// foundState makes the replicated state that of this cluster, when it is new or
// came from a backup of another.
func (n *Node) foundState() error {
	cluster, founders := *n.identity.cluster.Load(), n.identity.founders.Load()
	if cluster == n.fsm.membership().Cluster || founders == nil {
		return nil
	}
	n.changing.Lock()
	defer n.changing.Unlock()
	return n.proposeMembers(memberChange{Found: cluster, Members: *founders})
}

// askAll asks the other members how far they are. Those that do not answer in time
// are missing from the result.
func (n *Node) askAll(ctx context.Context, now raft.Configuration) map[string]progress {
	var mu sync.Mutex
	of := make(map[string]progress)
	state := n.fsm.membership()
	var wg sync.WaitGroup
	for _, s := range now.Servers {
		if string(s.ID) == n.cfg.NodeID {
			continue
		}
		wg.Go(func() {
			var p progress
			if n.call(ctx, string(s.Address), string(s.ID), callProgress, struct{}{}, &p) != nil || p.Node != string(s.ID) {
				return
			}
			if record, _ := state.find(p.Node); checkOwner(record, p.Incarnation) != nil {
				return // a wiped node, that raft is not open on
			}
			mu.Lock()
			defer mu.Unlock()
			of[p.Node] = p
		})
	}
	wg.Wait()
	return of
}

// promote makes a learner that has caught up a voter, if it is meant to be one.
func (n *Node) promote(s raft.Server) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	record, ok := n.fsm.membership().find(string(s.ID))
	if !ok || record.Learner || record.Removed || record.RaftAddr != string(s.Address) {
		return nil
	}
	if err := n.raft.AddVoter(s.ID, s.Address, 0, n.cfg.AppendLimit).Error(); err != nil {
		return fmt.Errorf("promote node %q: %w", s.ID, err)
	}
	n.cfg.Logger.Info("a node votes now", "node", s.ID)
	return nil
}

// compare asks the leader how far it is, and for its digest after the entry that this
// node applied last, and stops serving when that is not the same.
func (n *Node) compare(ctx context.Context, addr, id string) error {
	var own, theirs comparison
	if at := n.fsm.position(); at.Index > 0 && n.Diverged() == nil {
		own = comparison{Index: at.Index, Digest: formatDigest(at.Digest)}
	}
	err := n.call(ctx, addr, id, callCompare, own, &theirs)
	n.told.note(id, theirs.Committed, err)
	if err != nil {
		return err
	}
	n.judge(own, theirs, id)
	return nil
}

// judge takes the leader's digest.
func (n *Node) judge(own, theirs comparison, leader string) {
	if theirs.Digest == "" || theirs.Digest == own.Digest || planted.Is(planted.DivergenceIgnored) {
		return
	}
	n.diverge(fmt.Sprintf("after log entry %d its digest is %s, that of node %q is %s", own.Index, own.Digest, leader, theirs.Digest))
}

// compareWith answers a comparison with this node's own digest.
func (n *Node) compareWith(in comparison, caller peer.Caller) comparison {
	out := comparison{Index: in.Index}
	if n.Ready() == nil {
		out.Committed = n.raft.CommitIndex()
	}
	if digest, ok := n.fsm.digestAt(in.Index); ok {
		out.Digest = formatDigest(digest)
		if out.Digest != in.Digest {
			n.cfg.Logger.Error("a node has other results of the same log", "node", caller.NodeID, "from", caller.RemoteAddr,
				"index", in.Index, "its_digest", in.Digest, "digest", out.Digest)
		}
	}
	return out
}

// Forming says why the node is in no cluster yet; "" if it is in one.
func (n *Node) Forming() string {
	if why := n.forming.Load(); why != nil {
		return *why
	}
	return ""
}
