package raftfsm

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

// payers pay into account a, each payment an entry of its own, until they are told
// to stop. They propose to whoever leads, and again under the same key what is not
// known to be done.
type payers struct {
	c    *testCluster
	stop atomic.Bool
	wg   sync.WaitGroup
	paid atomic.Int64
}

func (c *testCluster) payers(count int) *payers {
	p := &payers{c: c}
	nodes := make([]*Node, 0, len(c.nodes))
	for _, n := range c.nodes {
		nodes = append(nodes, n)
	}
	usd := ledgertest.Currency("USD")
	for who := range count {
		p.wg.Go(func() {
			for i := 0; !p.stop.Load(); i++ {
				e := logEntry{stamp: 1, cmds: []ledger.Command{{
					Kind: ledger.Pay, Key: fmt.Appendf(nil, "payer %d: %d", who, i), Source: []byte("world:USD"),
					Destination: []byte("a"), Currency: usd, Amount: 1, Reference: make([]byte, 200),
				}}}
				for {
					applied, err := firstReady(nodes).Propose(e.encode()).Wait()
					if err == nil && applied.Results[0].Record.Code != ledger.OK {
						err = fmt.Errorf("refused: %v", applied.Results[0].Record.Code)
						c.t.Error(err)
					}
					if err == nil || c.t.Failed() {
						break
					}
					time.Sleep(time.Millisecond)
				}
				p.paid.Add(1)
			}
		})
	}
	return p
}

// firstReady returns a node that may propose, or any.
func firstReady(nodes []*Node) *Node {
	if i := slices.IndexFunc(nodes, func(n *Node) bool { return n.Ready() == nil }); i >= 0 {
		return nodes[i]
	}
	return nodes[0]
}

// await waits until count more are paid.
func (p *payers) await(count int64) {
	p.c.t.Helper()
	from := p.paid.Load()
	p.c.eventually("payments go on", func() bool { return p.paid.Load() >= from+count })
}

// end stops the payers and adds what they paid to the books of the cluster.
func (p *payers) end() {
	p.stop.Store(true)
	p.wg.Wait()
	p.c.count += int(p.paid.Load())
}

// TestNodesCatchUpUnderLoad: a follower that was away for longer than the log goes
// back, and a new node, get a snapshot and what follows it, while payments go on. It
// takes them so long to install it that two more are taken meanwhile; the log behind
// the one that they got must still be there. All nodes come to the same, and their
// logs are short again.
func TestNodesCatchUpUnderLoad(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3", "n4")
	installs := map[string]*countingLog{}
	var leader *Node
	var load *payers
	slow := func() {
		for range 2 {
			behind := leader.raft.LastIndex() + 50
			for leader.raft.LastIndex() < behind && !load.stop.Load() {
				time.Sleep(time.Millisecond)
			}
			if _, _, err := leader.TakeSnapshot(); err != nil {
				t.Log(err) // a change of the cluster is under way
			}
		}
	}
	for id, cfg := range c.cfg {
		cfg.Join, cfg.Expect = c.cfg["n1"].Join[:3], 3
		cfg.TrailingLogs, cfg.SnapshotBytes, cfg.SegmentBytes = 20, 256<<10, 16<<10
		installs[id] = &countingLog{Handler: slog.DiscardHandler, text: "copied to local snapshot", then: slow}
		cfg.Logger = slog.New(installs[id])
		c.cfg[id] = cfg
	}
	c.start("n1", "n2", "n3")
	c.pay(t, c.leader(), 1)
	c.settled()
	leader = c.leader()
	away := c.follower().cfg.NodeID
	c.stop(away)
	last := leader.raft.LastIndex()
	load = c.payers(4)
	defer func() {
		if !load.stop.Load() {
			load.end()
		}
	}()
	c.eventually("the log no longer goes back to where the follower was", func() bool {
		first, err := leader.log.FirstIndex()
		return err == nil && first > last+1
	})
	caughtUp := func(id string) {
		t.Helper()
		target := leader.raft.LastIndex()
		c.eventually(id+" has caught up", func() bool { return c.nodes[id].raft.AppliedIndex() >= target })
		if installs[id].count.Load() == 0 {
			t.Errorf("%s has got no snapshot", id)
		}
		load.await(50)
	}
	c.start(away)
	caughtUp(away)
	c.start("n4")
	caughtUp("n4")
	c.eventually("n4 votes", func() bool {
		return slices.ContainsFunc(c.leader().Status().Members, func(m Member) bool { return m.ID == "n4" && m.Voter })
	})
	load.end()
	c.settled()
	t.Logf("%d payments, %d and %d snapshots installed", load.paid.Load(), installs[away].count.Load(), installs["n4"].count.Load())
	for id, n := range c.nodes {
		c.check(t, n)
		// 20 entries of about 350 bytes are in one segment or two; one is made ahead.
		c.eventually(id+"'s log is short again", func() bool {
			if _, _, err := n.TakeSnapshot(); err != nil {
				t.Fatal(err)
			}
			first, err := n.log.FirstIndex()
			return err == nil && n.raft.LastIndex()-first <= 20+1 && n.log.Stats().Segments <= 4
		})
	}
}
