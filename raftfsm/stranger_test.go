package raftfsm

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"purser/internal/nodetls"
	"purser/internal/peer"
)

// saysNoMember reports whether err refuses a call because of who makes it.
func saysNoMember(err error, id string) bool {
	remote, ok := errors.AsType[*peer.RemoteError](err)
	return ok && remote.Code == codeRefused && strings.Contains(remote.Message, `node "`+id+`" is not a member`)
}

// TestStrangersChangeNothing: a certificate of the cluster's authority is enough to
// ask to be let in, not to ask for anything else.
func TestStrangersChangeNothing(t *testing.T) {
	n := startNode(t, nodeConfig(t, t.TempDir()))
	defer stopNode(t, n)
	for *n.identity.cluster.Load() != n.fsm.membership().Cluster { // until its first look
		time.Sleep(time.Millisecond)
	}
	if err := n.proposeMembers(memberChange{Members: []MemberRecord{{ID: "n8", Removed: true}}}); err != nil {
		t.Fatal(err)
	}
	ask := func(id, method string) error {
		_, err := n.answer(t.Context(), peer.Caller{NodeID: id}, method, json.RawMessage(`{}`))
		return err
	}
	for _, method := range []string{callCompare, callAdd, callRemove, callTransfer} {
		n.book.add(configurationOf([]MemberRecord{{ID: "n8"}}).Servers[0]) // as until the next look
		for _, id := range []string{"n8", "n9"} {
			if err := ask(id, method); !saysNoMember(err, id) {
				t.Errorf("%s by %s: %v, want a refusal by name", method, id, err)
			}
		}
		for _, id := range []string{"n1", ""} { // the request says nothing, so most are refused for that
			if err := ask(id, method); saysNoMember(err, id) {
				t.Errorf("%s by %q: %v", method, id, err)
			}
		}
	}
	for _, method := range []string{callHello, callProgress} {
		if err := ask("n9", method); err != nil {
			t.Errorf("%s by n9: %v", method, err)
		}
	}
	if err := ask("n9", callJoin); saysNoMember(err, "n9") {
		t.Errorf("join by n9: %v", err)
	}
}

// secure gives the nodes of c certificates.
func (c *testCluster) secure() {
	c.t.Helper()
	authority, err := nodetls.CreateAuthority(c.t.TempDir())
	if err != nil {
		c.t.Fatal(err)
	}
	for id, cfg := range c.cfg {
		files, err := authority.Issue(nodetls.Request{NodeID: id})
		if err != nil {
			c.t.Fatal(err)
		}
		if cfg.TLS, err = nodetls.Load(files, id, nil); err != nil {
			c.t.Fatal(err)
		}
		c.cfg[id] = cfg
	}
}

// TestRemovedNodeIsCutOff: its certificate is as good as before, but it can ask for
// nothing, and its connections end.
func TestRemovedNodeIsCutOff(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	c.secure()
	c.start("n1", "n2", "n3")
	c.settled()
	leader, gone := c.leader(), c.follower()
	go func() { // the API takes what is forwarded, until the port ends
		for {
			if _, err := leader.Forwarded().Accept(); err != nil {
				return
			}
		}
	}()
	transfer := func() error {
		return gone.port.Call(t.Context(), leader.cfg.RaftListen, leader.cfg.NodeID, callTransfer, leader.cfg.NodeID, nil)
	}
	if err := transfer(); err != nil {
		t.Errorf("asked by a member: %v", err)
	}
	forwards, err := gone.DialLeader(leader.cfg.NodeID, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer forwards.Close()
	if err := leader.RemoveMember(t.Context(), gone.cfg.NodeID); err != nil {
		t.Fatal(err)
	}
	if err := transfer(); !saysNoMember(err, gone.cfg.NodeID) {
		t.Errorf("asked by a node that was removed: %v", err)
	}
	if err := forwards.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := forwards.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("its connection goes on: %v", err)
	}
}
