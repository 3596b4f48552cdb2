package raftfsm

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"purser/internal/ledger"
	"purser/shard"
)

// TestVerifyHoldsSumsTogether changes the accounts, the world account and the
// journal's totals one without the other.
func TestVerifyHoldsSumsTogether(t *testing.T) {
	// unwritten executes a payment of 7 from account a to the world, without a row.
	unwritten := func(m *machine) {
		m.group.Execute([]*shard.Slot{{Record: ledger.Record{Seq: 5000, Time: 1, Command: ledger.Command{
			Kind: ledger.Pay, Source: []byte("a"), Destination: []byte("world:USD"), Currency: usd, Amount: 7,
		}}}})
	}
	outside := func(m *machine) {
		w := m.worlds[usd]
		w.Posted = w.Posted.Add(7)
		m.worlds[usd] = w
	}
	inside := func(m *machine) {
		w := m.worlds[usd]
		w.Inside = w.Inside.Add(-7)
		m.worlds[usd] = w
	}
	for name, changes := range map[string][]func(*machine){
		"nothing":                        {},
		"accounts":                       {unwritten},
		"world":                          {outside},
		"journal":                        {inside},
		"accounts and world: sums are 0": {unwritten, outside},
		"accounts and journal":           {unwritten, inside},
		"world and journal":              {outside, inside},
	} {
		t.Run(name, func(t *testing.T) {
			n := openTestNode(t, vfs.NewMem(), 2)
			defer n.close()
			n.apply(auditLog())
			for _, change := range changes {
				change(n.fsm.machine)
			}
			for _, deep := range []bool{false, true} {
				report, err := n.fsm.Verify(context.Background(), deep)
				if err != nil {
					t.Fatal(err)
				}
				if want := len(changes) == 0; report.OK != want || report.Currencies[0].OK != want {
					t.Errorf("deep %t: the books are found to be ok: %t", deep, report.OK)
				}
			}
		})
	}
}
