package raftfsm

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// TestLeaderWord: only the word of the present leader counts, and not for ever.
func TestLeaderWord(t *testing.T) {
	var w leaderWord
	want := func(when, leader string, committed uint64, why string) {
		t.Helper()
		got, err := w.of(leader)
		if got != committed || (err == nil) != (why == "") || err != nil && !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %d, %v; want %d, %q", when, got, err, committed, why)
		}
	}
	broken := errors.New("broken connection")
	want("at first", "n1", 0, "not been asked")
	w.note("n1", 0, broken)
	want("no answer yet", "n1", 0, "not said")
	w.note("n1", 0, nil)
	want("it did not serve yet", "n1", 0, "not said")
	w.note("n1", 7, nil)
	want("an answer", "n1", 7, "")
	want("another leader", "n2", 0, "not been asked")
	for range mayFail {
		w.note("n1", 0, broken)
	}
	want("a few failures", "n1", 7, "")
	w.note("n1", 0, broken)
	want("one more", "n1", 7, "did not answer, 4 times")
	w.note("n1", 9, nil)
	want("an answer again", "n1", 9, "")
	w.note("n2", 0, broken)
	want("another one that does not answer", "n2", 0, "not said")
}

// TestFollowerKnowsWhatItMisses stops a follower until the log no longer goes back to
// where it was, and holds its raft while it gets a snapshot. It has none of the entries
// that it is behind then, and no commit index of theirs.
func TestFollowerKnowsWhatItMisses(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	for id, cfg := range c.cfg {
		cfg.TrailingLogs, cfg.SegmentBytes = 20, 16<<10
		c.cfg[id] = cfg
	}
	c.start("n1", "n2", "n3")
	c.pay(t, c.leader(), 5)
	c.settled()
	id := c.follower().cfg.NodeID
	c.stop(id)
	leader := c.leader()
	c.missed(leader, id)
	last := leader.raft.LastIndex()
	for first := uint64(0); first <= last+1; {
		c.pay(t, leader, 50)
		if _, _, err := leader.TakeSnapshot(); err != nil {
			t.Fatal(err)
		}
		var err error
		if first, err = leader.log.FirstIndex(); err != nil {
			t.Fatal(err)
		}
	}
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	cfg := c.cfg[id]
	cfg.Logger = slog.New(&countingLog{Handler: slog.DiscardHandler, text: "copied to local snapshot", then: func() { <-held }})
	c.cfg[id] = cfg
	c.start(id)
	n := c.nodes[id]
	if s := n.Status(); s.Leader != "" && s.Unheard == nil && s.Behind == 0 {
		t.Errorf("right after the start: %+v", s)
	}
	missing := leader.raft.CommitIndex() - last
	c.eventually("the follower knows what it misses", func() bool {
		s := n.Status()
		return s.Unheard == nil && s.Behind >= missing
	})
	if s := n.Status(); s.CommitIndex > last {
		t.Errorf("it is not held: %+v", s)
	}
	release()
	c.eventually("the follower has caught up", func() bool {
		s := n.Status()
		return s.AppliedIndex >= last+missing && s.Unheard == nil && s.Behind == 0
	})
	c.settled()
}

// TestOnlyTheLeaderKnowsTheOthers: a follower says nothing of members that it does not
// ask.
func TestOnlyTheLeaderKnowsTheOthers(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	c.start("n1", "n2", "n3")
	c.settled()
	for _, m := range c.follower().Status().Members {
		if m.Lag != nil || m.Reachable != nil {
			t.Errorf("a follower says of %s: lag %d, reachable %t", m.ID, *m.Lag, *m.Reachable)
		}
	}
	c.eventually("the leader has asked the others", func() bool {
		for _, m := range c.leader().Status().Members {
			if m.Lag == nil || *m.Lag > 0 || !*m.Reachable {
				return false
			}
		}
		return true
	})
}
