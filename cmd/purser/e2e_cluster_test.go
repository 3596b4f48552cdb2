package main

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestClusterLosesNothing has clients pay through all nodes while nodes are
// killed, leaders first, and the lead is handed over. What was acknowledged is
// there once, and all nodes have the same books.
func TestClusterLosesNothing(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	seed := seedOf(t)
	c := newTrio(t)
	k := c.setUp(rand.New(rand.NewPCG(seed, 0)))
	for round := range rounds {
		l := c.load(k, fmt.Sprintf("r%d", round), seed+uint64(100*round))
		l.await(50)
		victim := c.leader()
		if round%3 == 2 {
			victim = (victim + 1) % 3
		}
		c.kill(victim)
		l.await(100)
		c.start(victim)
		l.await(50)
		if leader := c.leader(); round%2 == 1 {
			var done struct{ Leader string }
			to := fmt.Sprintf("n%d", (leader+1)%3+1)
			client := adminClient{base: "http://" + c.admin[leader], printer: printer{output: "json"}}
			if _, err := client.send(t.Context(), "POST", "/admin/v1/leader-transfer", map[string]string{"to": to}, &done); err != nil {
				t.Logf("transfer to %s: %v", to, err) // it may be catching up
			}
			l.await(50)
		}
		l.end()
		k.requireSound()
	}
	c.requireSame(k)
	t.Logf("%d commands acknowledged", len(k.books.exchanges))
}
