package main

import (
	"math/rand/v2"
	"testing"
)

// TestRollingRestart stops one node after another as an operator would, the leader
// first, and starts it again, while clients pay through all of them: what is
// acknowledged is there once, and every request has an outcome by its key.
func TestRollingRestart(t *testing.T) {
	seed := seedOf(t)
	c := newTrio(t)
	k := c.setUp(rand.New(rand.NewPCG(seed, 0)))
	l := c.load(k, "rolling", seed)
	l.await(50)
	first := c.leader() // it has to hand the lead over
	for j := range c.nodes {
		i := (first + j) % len(c.nodes)
		c.stop(i)
		l.await(50)
		c.start(i)
		c.nodes[i].awaitReady()
		l.await(50)
	}
	l.end()
	k.requireSound()
	c.requireSame(k)
	for i := range c.nodes {
		s, err := c.status(i)
		if err != nil || s.Cluster == "" || s.Format != 1 || s.Formats != 1 || s.Forming != "" || s.Diverged != "" {
			t.Errorf("node %d: %+v, %v", i+1, s, err)
		}
	}
	answers, gap := l.sum()
	t.Logf("%d answers; the longest time without one was %s", answers, gap)
}
