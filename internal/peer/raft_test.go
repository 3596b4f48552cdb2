package peer

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"purser/internal/nodetls"
)

func dialRaft(t *testing.T, from, to *Port) net.Conn {
	t.Helper()
	c, err := from.Raft().Dial(raft.ServerAddress(to.Addr().String()), hung)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// network starts raft's own transport on p.
func network(t *testing.T, p *Port) *raft.NetworkTransport {
	t.Helper()
	p.OpenRaft()
	tr := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: p.Raft(), MaxPool: 2, MaxRPCsInFlight: 2, Timeout: hung,
		Logger: hclog.NewNullLogger(), MsgpackUseNewTimeFormat: true,
	})
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
		tr.CloseStreams()
	})
	return tr
}

// follow answers what a leader asks, until the test ends. installed gets the
// bytes of each snapshot.
func follow(t *testing.T, tr *raft.NetworkTransport) (installed chan []byte) {
	installed = make(chan []byte, 1)
	stop, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		<-done
	})
	go func() {
		defer close(done)
		for {
			select {
			case rpc := <-tr.Consumer():
				switch command := rpc.Command.(type) {
				case *raft.AppendEntriesRequest:
					rpc.Respond(&raft.AppendEntriesResponse{Term: command.Term, LastLog: command.PrevLogEntry + uint64(len(command.Entries)), Success: true}, nil)
				case *raft.RequestVoteRequest:
					rpc.Respond(&raft.RequestVoteResponse{Term: command.Term, Granted: true}, nil)
				case *raft.InstallSnapshotRequest:
					data, err := io.ReadAll(io.LimitReader(rpc.Reader, command.Size))
					installed <- data
					rpc.Respond(&raft.InstallSnapshotResponse{Term: command.Term, Success: err == nil}, err)
				}
			case <-stop:
				return
			}
		}
	}()
	return installed
}

// TestRaftTransportsTalk: raft's transport in both directions, with pipelined
// appends, a snapshot, and control calls on the same port meanwhile.
func TestRaftTransportsTalk(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		ports := [2]*Port{s.port(t, "n1", nil), s.port(t, "n2", nil)}
		var nets [2]*raft.NetworkTransport
		var installed [2]chan []byte
		for i, p := range ports {
			p.Handle(answerer)
			nets[i] = network(t, p)
			installed[i] = follow(t, nets[i])
		}
		for i, id := range []raft.ServerID{"n2", "n1"} {
			from, to := nets[i], nets[1-i].LocalAddr()
			var vote raft.RequestVoteResponse
			if err := from.RequestVote(id, to, &raft.RequestVoteRequest{Term: 7}, &vote); err != nil || vote.Term != 7 || !vote.Granted {
				t.Fatalf("vote: %+v, %v", vote, err)
			}
			pipeline(t, from, id, to)
			if err := ports[i].Call(t.Context(), string(to), string(id), "echo", 1, nil); err != nil {
				t.Errorf("control call: %v", err)
			}
			state := bytes.Repeat([]byte("purser"), 200_000)
			var installation raft.InstallSnapshotResponse
			err := from.InstallSnapshot(id, to, &raft.InstallSnapshotRequest{Term: 7, Size: int64(len(state))}, &installation, bytes.NewReader(state))
			if err != nil || !installation.Success {
				t.Fatalf("snapshot: %+v, %v", installation, err)
			}
			if !bytes.Equal(<-installed[1-i], state) {
				t.Error("the snapshot arrived changed")
			}
		}
	})
}

// pipeline appends 200 entries, two in flight.
func pipeline(t *testing.T, from *raft.NetworkTransport, id raft.ServerID, to raft.ServerAddress) {
	t.Helper()
	p, err := from.AppendEntriesPipeline(id, to)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const appends = 200
	failed := make(chan error, 1)
	go func() {
		for i := range uint64(appends) {
			entry := &raft.Log{Index: i + 1, Term: 7, Data: bytes.Repeat([]byte{byte(i)}, 1000)}
			if _, err := p.AppendEntries(&raft.AppendEntriesRequest{Term: 7, PrevLogEntry: i, Entries: []*raft.Log{entry}}, new(raft.AppendEntriesResponse)); err != nil {
				failed <- err
				return
			}
		}
	}()
	for i := range uint64(appends) {
		select {
		case future := <-p.Consumer():
			if err := future.Error(); err != nil || future.Response().LastLog != i+1 {
				t.Fatalf("append %d: %+v, %v", i, future.Response(), err)
			}
		case err := <-failed:
			t.Fatalf("append: %v", err)
		}
	}
}

func TestRaftIsRefusedUntilItIsOpened(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		server, client := s.port(t, "n1", nil), s.port(t, "n2", nil)
		wantClosed(t, dialRaft(t, client, server))
		wantRefused(t, server, reasonRaftClosed, 1)
		server.OpenRaft()
		c := dialRaft(t, client, server)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		taken, err := server.Raft().Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		b := make([]byte, 1)
		if _, err := io.ReadFull(taken, b); err != nil || b[0] != 'x' {
			t.Errorf("raft got %q, %v", b, err)
		}
		wantRefused(t, server, reasonRaftClosed, 1)
	})
}

func TestRaftRefusesWhoIsNoMember(t *testing.T) {
	s := newSite(t, true)
	server := s.port(t, "n1", func(c *Config) { c.Member = func(id string) bool { return id == "n2" } })
	server.Handle(answerer)
	server.OpenRaft()
	member, stranger := s.port(t, "n2", nil), s.port(t, "n3", nil)
	wantClosed(t, dialRaft(t, stranger, server))
	wantRefused(t, server, reasonMember, 1)
	if err := stranger.Call(t.Context(), server.Addr().String(), "n1", "echo", 1, nil); err != nil {
		t.Errorf("a node that wants to join must be heard: %v", err)
	}
	dialRaft(t, member, server)
	if _, err := server.Raft().Accept(); err != nil {
		t.Error(err)
	}
	wantRefused(t, server, reasonMember, 1)
}

// TestEvict: the connections of some nodes end, and no others.
func TestEvict(t *testing.T) {
	s := newSite(t, true)
	server, stays, goes := s.port(t, "n1", nil), s.port(t, "n2", nil), s.port(t, "n3", nil)
	server.OpenRaft()
	for _, client := range []*Port{stays, goes} {
		c := dialRaft(t, client, server)
		taken, err := server.Raft().Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		dialled, accepted := dialForward(t, client, server)
		defer accepted.Close()
		server.Evict([]string{"n3", "n4"})
		if client == goes {
			wantClosed(t, c)
			wantClosed(t, dialled)
			continue
		}
		wantForward(t, dialled, accepted)
		wantForward(t, c, taken)
	}
}

func TestRaftDialPinsTheNode(t *testing.T) {
	s := newSite(t, true)
	server, client := s.port(t, "n1", nil), s.port(t, "n2", nil)
	server.OpenRaft()
	addr := server.Addr().String()
	s.know(addr, "n3")
	if _, err := client.Raft().Dial(raft.ServerAddress(addr), hung); !errors.Is(err, nodetls.ErrWrongNode) {
		t.Errorf("%v, want ErrWrongNode", err)
	}
	s.know(addr, "")
	if _, err := client.Raft().Dial(raft.ServerAddress(addr), hung); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("%v, want ErrUnknownNode", err)
	}
	s.know(addr, "n1")
	dialRaft(t, client, server)
}

// TestUntakenRaftConnectionsAreBounded: as long as raft takes none, one above the
// bound is closed, and control calls are answered.
func TestUntakenRaftConnectionsAreBounded(t *testing.T) {
	s := newSite(t, false)
	server, client := s.port(t, "n1", nil), s.port(t, "n2", nil)
	server.Handle(answerer)
	server.OpenRaft()
	closed := make(chan struct{}, maxRaft+1)
	for range maxRaft + 1 { // which of them is one too many depends on who arrives first
		c := dialRaft(t, client, server)
		go func() {
			_, _ = c.Read(make([]byte, 1))
			closed <- struct{}{}
		}()
	}
	<-closed
	wantRefused(t, server, reasonTooMany, 1)
	if err := client.Call(t.Context(), server.Addr().String(), "", "echo", 1, nil); err != nil {
		t.Errorf("control call: %v", err)
	}
	for range maxRaft {
		c, err := server.Raft().Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil { // which makes room
			t.Error(err)
		}
	}
	dialRaft(t, client, server)
	if _, err := server.Raft().Accept(); err != nil {
		t.Error(err)
	}
}

// TestRaftEndsAlone: with raft's stream closed, its connections end and control
// calls go on.
func TestRaftEndsAlone(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		server, client := s.port(t, "n1", nil), s.port(t, "n2", nil)
		server.Handle(answerer)
		server.OpenRaft()
		open := dialRaft(t, client, server)
		if _, err := server.Raft().Accept(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := server.Raft().Close(); err != nil {
				t.Error(err)
			}
		}
		wantClosed(t, open)
		if _, err := server.Raft().Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v, want net.ErrClosed", err)
		}
		wantClosed(t, dialRaft(t, client, server))
		wantRefused(t, server, reasonRaftClosed, 1)
		if err := client.Call(t.Context(), server.Addr().String(), "n1", "echo", 1, nil); err != nil {
			t.Errorf("control call: %v", err)
		}
	})
}
