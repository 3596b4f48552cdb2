package shard

import (
	"sync"
	"testing"

	"purser/internal/ledger"
)

// Reads run beside execution and see only states between two entries: here every
// entry moves one unit from a to b and back, so all of them see nothing posted.
func TestReadsBetweenEntries(t *testing.T) {
	for _, m := range modes() {
		g := newGroup(t, m)
		ids := open(g, "a", 4)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					views, found := g.ReadMany([][]byte{ids[0], ids[1], []byte("nobody"), ids[2]})
					if !found[0] || !found[1] || found[2] || !found[3] {
						t.Errorf("%s: found %v", m.name, found)
						return
					}
					for i, v := range views {
						if v.Posted != 0 || found[i] && string(v.ID) == "" {
							t.Errorf("%s: view %d of %q has %d posted", m.name, i, v.ID, v.Posted)
							return
						}
					}
					if v, ok := g.Read(ids[3]); !ok || string(v.ID) != "a3" {
						t.Errorf("%s: read %q, %t", m.name, v.ID, ok)
						return
					}
				}
			})
		}
		for i := range 300 {
			g.Execute(slotsOf(uint64(10+2*i),
				ledger.Command{Kind: ledger.Pay, Source: ids[0], Destination: ids[1], Currency: usd, Amount: 1},
				ledger.Command{Kind: ledger.Pay, Source: ids[1], Destination: ids[0], Currency: usd, Amount: 1},
			))
		}
		close(stop)
		wg.Wait()
		g.Close()
	}
}

// Close answers the reads that wait and those that come later.
func TestReadAfterClose(t *testing.T) {
	g := newGroup(t, mode{shards: 2, policy: measured})
	ids := open(g, "a", 100)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				for _, id := range ids[:10] {
					if v, ok := g.Read(id); !ok || string(v.ID) != string(id) {
						t.Errorf("read %q, %t", v.ID, ok)
					}
				}
			}
		})
	}
	g.Close()
	wg.Wait()
	if _, ok := g.Read([]byte("nobody")); ok {
		t.Error("there is an account of nobody")
	}
	if _, found := g.ReadMany(ids); len(found) != 100 || !found[99] {
		t.Errorf("found %v", found)
	}
}
