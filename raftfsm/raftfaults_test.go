package raftfsm

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"purser/internal/ledger"
)

// The tests in this file show what becomes of raft's own faults behind our
// wrappers, by a raft of its own and a peer that the test plays, over TCP.

// lone is a raft on a Transport of ours that waits for what the test sends it:
// its timeouts are longer than any test.
type lone struct {
	*raft.Raft
	log  *raft.InmemStore
	addr raft.ServerAddress
	peer *Transport // of the node "peer", which does what the test says

	acks atomic.Bool // the peer takes entries
}

// newLone starts the node "lone" of a cluster with "peer". prepare may store
// votes, once the first entry of the log, of term 1, is there.
func newLone(t *testing.T, stable raft.StableStore, prepare func(peer raft.ServerAddress)) *lone {
	t.Helper()
	own := newLoopback(t)
	l := &lone{log: raft.NewInmemStore(), addr: own.LocalAddr(), peer: newLoopback(t)}
	cfg := raft.DefaultConfig()
	cfg.LocalID = "lone"
	cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = time.Hour, time.Hour, time.Hour
	cfg.Logger = hclog.NewNullLogger()
	snapshots := raft.NewInmemSnapshotStore()
	err := raft.BootstrapCluster(cfg, l.log, stable, snapshots, own, raft.Configuration{Servers: []raft.Server{
		{ID: "lone", Address: l.addr}, {ID: "peer", Address: l.peer.LocalAddr()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	prepare(l.peer.LocalAddr())
	l.Raft, err = raft.NewRaft(cfg, &raft.MockFSM{}, l.log, stable, snapshots, own)
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		l.follow(stop)
	}()
	t.Cleanup(func() {
		if err := l.Shutdown().Error(); err != nil {
			t.Error(err)
		}
		close(stop)
		<-stopped
	})
	return l
}

// header is that of the peer's messages.
func (l *lone) header() raft.RPCHeader {
	return raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax,
		ID:              []byte("peer"),
		Addr:            l.peer.EncodePeer("peer", l.peer.LocalAddr()),
	}
}

// follow has the peer grant votes and, while it is to, take entries.
func (l *lone) follow(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case rpc := <-l.peer.Consumer():
			switch request := rpc.Command.(type) {
			case *raft.RequestVoteRequest:
				rpc.Respond(&raft.RequestVoteResponse{RPCHeader: l.header(), Term: request.Term, Granted: true}, nil)
			case *raft.AppendEntriesRequest:
				if !l.acks.Load() {
					rpc.Respond(nil, errors.New("not now"))
					continue
				}
				last := request.PrevLogEntry + uint64(len(request.Entries))
				rpc.Respond(&raft.AppendEntriesResponse{RPCHeader: l.header(), Term: request.Term, LastLog: last, Success: true}, nil)
			}
		}
	}
}

// lead makes the node the leader, with an entry committed.
func (l *lone) lead(t *testing.T) {
	t.Helper()
	l.acks.Store(true)
	now := &raft.TimeoutNowRequest{RPCHeader: l.header()}
	if err := l.peer.TimeoutNow("lone", l.addr, now, new(raft.TimeoutNowResponse)); err != nil {
		t.Fatal(err)
	}
	if leads := <-l.LeaderCh(); !leads {
		t.Fatal("it does not lead")
	}
	if err := l.Apply([]byte("before"), 0).Error(); err != nil {
		t.Fatal(err)
	}
}

// depose tells the leader, by a heartbeat, that the peer leads the next term, and
// returns that.
func (l *lone) depose(t *testing.T) (term uint64) {
	t.Helper()
	term = l.CurrentTerm() + 1
	heartbeat := &raft.AppendEntriesRequest{RPCHeader: l.header(), Term: term}
	var answer raft.AppendEntriesResponse
	if err := l.peer.AppendEntries("lone", l.addr, heartbeat, &answer); err != nil || answer.Term != term {
		t.Fatalf("heartbeat of term %d: %+v, %v", term, answer, err)
	}
	return term
}

func (l *lone) last(t *testing.T) (last raft.Log) {
	t.Helper()
	index, err := l.log.LastIndex()
	if err == nil {
		err = l.log.GetLog(index, &last)
	}
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// TestDeposedLeaderWritesNothing: a leader hears of the next one by a heartbeat
// and is handed an entry. It must not write it under the term of the other, which
// may write one of its own there: the two would pass for the same
// (hashicorp/raft#695).
func TestDeposedLeaderWritesNothing(t *testing.T) {
	l := newLone(t, raft.NewInmemStore(), func(raft.ServerAddress) {})
	l.lead(t)
	next := l.depose(t)
	if err := l.Apply([]byte("after"), 0).Error(); err == nil {
		t.Error("the deposed leader applied an entry")
	}
	if last := l.last(t); last.Term >= next {
		t.Errorf("the leader of term %d wrote %q as an entry of term %d, which another one leads", next-1, last.Data, last.Term)
	}
}

// TestEntryOfALostLeaderIsInDoubt: an entry is in the log of a leader that is
// deposed before it hears of a majority. The next leader may commit it.
func TestEntryOfALostLeaderIsInDoubt(t *testing.T) {
	l := newLone(t, raft.NewInmemStore(), func(raft.ServerAddress) {})
	l.lead(t)
	l.acks.Store(false)
	p := Proposal{future: l.Apply([]byte("in doubt"), 0), awaited: new(atomic.Int64)}
	for string(l.last(t).Data) != "in doubt" {
		time.Sleep(time.Millisecond)
	}
	l.depose(t)
	if applied, err := p.Wait(); !errors.Is(err, ledger.ErrOutcomeUnknown) {
		t.Errorf("the outcome is %+v, %v; want %v", applied, err, ledger.ErrOutcomeUnknown)
	}
	// The control: what the deposed leader is given now goes nowhere.
	p = Proposal{future: l.Apply([]byte("late"), 0), awaited: new(atomic.Int64)}
	if applied, err := p.Wait(); !errors.Is(err, ledger.ErrNoLeader) {
		t.Errorf("at a follower the outcome is %+v, %v; want %v", applied, err, ledger.ErrNoLeader)
	}
}

// TestVoteCutShortIsNotGivenToAnother: a crash comes between the two values of a
// vote in term 8. In term 7 the vote was the peer's; when the peer asks for that
// of term 8, with a log that ends before this node's, raft must look at the log.
// It does not for what it takes for the repetition of a vote (hashicorp/raft#661).
func TestVoteCutShortIsNotGivenToAnother(t *testing.T) {
	dir := t.TempDir()
	s := openTestStable(t, dir)
	l := newLone(t, s, func(peer raft.ServerAddress) {
		vote(t, s, 7, string(peer), false)
		if err := s.SetUint64([]byte(keyCurrentTerm), 8); err != nil {
			t.Fatal(err)
		}
		vote(t, s, 8, "a third", true)
		closeStable(t, s)
		*s = *openTestStable(t, dir)
	})
	t.Cleanup(func() { closeStable(t, s) })
	request := &raft.RequestVoteRequest{RPCHeader: l.header(), Term: 8}
	var answer raft.RequestVoteResponse
	if err := l.peer.RequestVote("lone", l.addr, request, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Granted {
		t.Error("a node with an empty log got the vote of one that has an entry")
	}
}
