package raftfsm

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"purser/internal/peer"
)

// newPort opens a port on loopback to raft, and closes it after what the test
// puts on it.
func newPort(t *testing.T) *peer.Port {
	t.Helper()
	port, err := peer.Listen(peer.Config{Bind: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	port.OpenRaft()
	return port
}

func newLoopback(t *testing.T) *Transport {
	t.Helper()
	tr, err := NewTransport(TransportConfig{Stream: newPort(t).Raft()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// heartbeat has the shape by which raft's transport tells a heartbeat.
func heartbeat(from raft.Transport) *raft.AppendEntriesRequest {
	return &raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{
			ProtocolVersion: raft.ProtocolVersionMax,
			ID:              []byte("leader"),
			Addr:            from.EncodePeer("leader", from.LocalAddr()),
		},
		Term: 3,
	}
}

// route sends a heartbeat to tr and says by which way it arrived.
func route(t *testing.T, to raft.Transport) string {
	t.Helper()
	from := newLoopback(t)
	arrived := make(chan string, 2)
	answer := func(way string, rpc raft.RPC) {
		arrived <- way
		rpc.Respond(&raft.AppendEntriesResponse{Term: 3, Success: true}, nil)
	}
	to.SetHeartbeatHandler(func(rpc raft.RPC) { answer("fast path", rpc) })
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case rpc := <-to.Consumer():
			answer("consumer", rpc)
		case <-stop:
		}
	}()
	var resp raft.AppendEntriesResponse
	err := from.AppendEntries("follower", to.LocalAddr(), heartbeat(from), &resp)
	close(stop)
	<-done
	if err != nil || !resp.Success {
		t.Fatalf("heartbeat: %+v, %v", resp, err)
	}
	return <-arrived
}

func TestHeartbeatsTakeTheMainLoop(t *testing.T) {
	if way := route(t, newLoopback(t)); way != "consumer" {
		t.Errorf("heartbeat arrived by the %s, want the consumer", way)
	}

	// The control: raft's own transport, on the same wire, takes the fast path.
	plain := raft.NewNetworkTransport(newPort(t).Raft(), 1, time.Second, nil)
	t.Cleanup(func() {
		_ = plain.Close()
		plain.CloseStreams()
	})
	if way := route(t, plain); way != "fast path" {
		t.Errorf("raft's transport no longer has a fast path (%s): drop the wrapper", way)
	}
}

func TestTransportKeepsWhatRaftAsksFor(t *testing.T) {
	a, b := newLoopback(t), newLoopback(t)
	var tr raft.Transport = a
	pre, ok := tr.(raft.WithPreVote)
	if !ok {
		t.Fatal("no pre-vote: raft would turn it off")
	}
	go func() {
		rpc := <-b.Consumer()
		rpc.Respond(&raft.RequestPreVoteResponse{Term: 5, Granted: true}, nil)
	}()
	var resp raft.RequestPreVoteResponse
	if err := pre.RequestPreVote("b", b.LocalAddr(), &raft.RequestPreVoteRequest{Term: 5}, &resp); err != nil || !resp.Granted {
		t.Errorf("pre-vote: %+v, %v", resp, err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestTransportConfigJoinsItsFaults(t *testing.T) {
	err := TransportConfig{MaxPool: -1, Timeout: -3}.Validate()
	for _, want := range []string{"a stream", "-1 connections", "-3ns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}
