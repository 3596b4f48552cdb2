package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"purser/internal/ledger"
	"purser/raftfsm"
	"purser/transport"
)

// operator shows a running server to the admin listener.
type operator struct{ *server }

var (
	_ transport.Node       = operator{}
	_ transport.Health     = operator{}
	_ transport.Snapshots  = operator{}
	_ transport.Membership = operator{}
	_ transport.Verifier   = operator{}
)

func (o operator) Status() transport.Status {
	in := o.stack.node.Status()
	out := transport.Status{
		Node:         in.Node,
		Role:         in.Role,
		Leader:       in.Leader,
		Term:         in.Term,
		CommitIndex:  in.CommitIndex,
		AppliedIndex: in.AppliedIndex,
		Digest:       in.Digest,
		Shards:       in.Shards,
		Version:      buildVersion(),
		Cluster:      in.Cluster,
		Format:       in.Format,
		Formats:      in.Formats,
		Forming:      in.Forming,
	}
	if in.Diverged != nil {
		out.Diverged = in.Diverged.Error()
	}
	for _, m := range in.Members {
		out.Members = append(out.Members, transport.Member{
			ID: m.ID, RaftAddr: m.RaftAddress, APIAddr: m.APIAddress, Voter: m.Voter, Formats: m.Formats, Lag: m.Lag, Reachable: m.Reachable,
		})
	}
	if list, err := o.List(); err != nil {
		o.log.Error("cannot list snapshots", "error", err)
	} else if len(list) > 0 {
		out.Snapshot = &list[0]
	}
	return out
}

func (o operator) Applied() uint64 { return o.stack.node.State().Applied() }

// Checks are the conditions of readiness. A disk that is nearly full is none:
// reads go on, and writes are refused one by one.
func (o operator) Checks() []transport.Check {
	leader, caughtUp := o.leadership()
	var draining, storage error
	if o.draining.Load() {
		draining = ledger.ErrDraining
	}
	if o.diskFull.Load() {
		storage = fmt.Errorf("%w: writes are refused, reads go on", ledger.ErrStorageFull)
	}
	return []transport.Check{
		{Name: "leader", Err: leader},
		{Name: "caught-up", Err: caughtUp},
		{Name: "digest", Err: o.stack.node.Diverged()},
		{Name: "draining", Err: draining},
		{Name: "storage", Err: storage, Minor: true},
	}
}

// mayLag is how many entries that the leader has committed a node that is ready may
// have left to apply: a fraction of a second's worth at full speed.
const mayLag = 1024

// leadership tells apart why a node is not ready: it knows no leader, or it has
// not yet applied what was committed.
func (o operator) leadership() (leader, caughtUp error) {
	if o.stack.node.Ready() == nil {
		return nil, nil
	}
	s := o.stack.node.Status()
	switch {
	case s.Forming != "":
		leader = errors.New("not in a cluster yet: " + s.Forming)
	case s.Leader == "":
		leader = ledger.ErrNoLeader
	default:
		return nil, nearLeader(&s)
	}
	return leader, errors.New("without a leader it is not known what is committed")
}

// nearLeader returns why a node that knows its leader is not ready. One that leads is
// not before it says that it serves.
func nearLeader(s *raftfsm.Status) error {
	if s.Leader == s.Node || s.Behind > mayLag {
		return fmt.Errorf("the log is being replayed: %d committed entries are left", s.Behind)
	}
	return s.Unheard
}

// Live returns nil: a process that can be asked has no fault that it knows of;
// with one, it would have ended.
func (o operator) Live() error { return nil }

func (o operator) Take(context.Context) (transport.SnapshotInfo, error) {
	meta, took, err := o.stack.node.TakeSnapshot()
	if err != nil {
		return transport.SnapshotInfo{}, err
	}
	info := snapshotInfo(meta)
	info.TookMS = took.Milliseconds()
	return info, nil
}

func (o operator) List() ([]transport.SnapshotInfo, error) {
	metas, err := o.stack.node.Snapshots()
	infos := make([]transport.SnapshotInfo, 0, len(metas))
	for _, meta := range metas {
		infos = append(infos, snapshotInfo(meta))
	}
	return infos, err
}

func (o operator) Open(id string) (io.ReadCloser, error) {
	stream, _, err := o.stack.node.OpenSnapshot(id)
	if errors.Is(err, raftfsm.ErrSnapshotUnknown) {
		return nil, transport.ErrSnapshotNotFound
	}
	return stream, err
}

func snapshotInfo(m raftfsm.Meta) transport.SnapshotInfo {
	info := transport.SnapshotInfo{ID: m.ID, Index: m.Index, Term: m.Term, CreatedAt: transport.Time{Time: m.CreatedAt}}
	for _, f := range m.Files {
		info.Bytes += f.Size
	}
	return info
}

func (o operator) Verify(ctx context.Context, deep bool) (transport.VerifyReport, error) {
	report, err := o.stack.node.State().Verify(ctx, deep)
	if err != nil {
		return transport.VerifyReport{}, err
	}
	return verifyReport(report), nil
}

// verifyReport names every currency that does not balance, and then what a deep
// verification found.
func verifyReport(in raftfsm.Report) transport.VerifyReport {
	out := transport.VerifyReport{
		OK: in.OK, Index: in.Index, Deep: in.Deep, Rows: in.Rows,
		Currencies: make(map[string]transport.CurrencyTotal),
	}
	for _, c := range in.Currencies {
		out.Currencies[c.Currency.String()] = transport.CurrencyTotal{Accounts: uint64(c.Accounts), Sum: c.Sum.String()}
		if !c.OK {
			out.Faults = append(out.Faults, fmt.Sprintf("%s: the accounts have %s, the journal says %s; the outside has %s",
				c.Currency, c.Posted, c.Journal, c.World))
		}
	}
	out.FaultCount = len(out.Faults) + in.FaultCount
	out.Faults = append(out.Faults, in.Faults...)
	return out
}

// TransferLeadership, AddMember and RemoveMember may be asked of any node, which
// asks the leader.

func (o operator) TransferLeadership(ctx context.Context, to string) (transport.Transfer, error) {
	began := time.Now()
	done, err := o.stack.node.TransferLeadership(ctx, to)
	if err != nil {
		return transport.Transfer{}, o.explain(err)
	}
	return transport.Transfer{Leader: done.Leader, Term: done.Term, TookMS: time.Since(began).Milliseconds()}, nil
}

func (o operator) AddMember(ctx context.Context, m transport.Member) error {
	return o.explain(o.stack.node.AddMember(ctx, raftfsm.MemberRecord{
		ID: m.ID, RaftAddr: m.RaftAddr, APIAddr: m.APIAddr, Learner: !m.Voter,
	}))
}

func (o operator) RemoveMember(ctx context.Context, id string) error {
	return o.explain(o.stack.node.RemoveMember(ctx, id))
}

func (o operator) explain(err error) error {
	if errors.Is(err, raftfsm.ErrNotLeader) {
		return &transport.NotLeaderError{}
	}
	return err
}
