package shard

import (
	"fmt"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

// Any log gives the records and the state of one thread, for every number of
// shards, both ways of executing, and any split into entries.
func TestSameResults(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		steps := ledgertest.Steps(t, 200)
		book, want := truth(t, steps)
		hashes := map[uint64]bool{}
		for _, m := range modes() {
			hashes[outcome(t, m, steps, book, want)] = true
		}
		if len(hashes) != 1 {
			t.Fatalf("the state hashes differ: %v", hashes)
		}
	})
}

// outcome executes steps in one mode, compares with the outcome of one thread, and
// returns the state hash.
func outcome(t *rapid.T, m mode, steps []ledgertest.Step, book *ledgertest.Book, want []*ledger.Record) uint64 {
	g := newGroup(t, m)
	defer g.Close()
	compareRecords(t, m.name, newMachine(g).run(t, steps), want)
	f := g.Freeze(View)
	defer f.Done(true)
	compareStates(t, m.name, stateOfFrozen(f), stateOfBook(book))
	return f.StateHash()
}

// Shards that meet all the time, with fewer and with more processors than
// shards: whoever comes first has to park now and then.
func TestRendezvousStress(t *testing.T) {
	for _, procs := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("%d processors", procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			g := newGroup(t, mode{shards: 4, policy: fanOutAlways})
			defer g.Close()
			ids := open(g, "a", 16)
			const entries, size = 200, 64
			for e := range entries {
				var slots []*Slot
				for i := range size {
					k := e*size + i
					slots = append(slots, slotsOf(uint64(100+k), ledger.Command{
						Kind: ledger.Pay, Source: ids[k*7%16], Destination: ids[(k*7+1+k%15)%16], Currency: usd, Amount: 1,
					})...)
				}
				g.Execute(slots)
				for _, s := range slots {
					if s.Record.Code != ledger.OK {
						t.Fatalf("payment %d was refused: %s", s.Record.Seq, s.Record.Code)
					}
				}
			}
			f := g.Freeze(View)
			defer f.Done(true)
			var postings uint64
			for v := range f.All() {
				postings += v.Postings
			}
			if total := f.Totals()[usd]; postings != 2*entries*size || !total.Posted.IsZero() {
				t.Errorf("%d postings with a sum of %s", postings, total.Posted)
			}
		})
	}
}

// A command on a payment of its own entry that made none, or on a command that
// is no payment, finds no payment, wherever its accounts would be.
func TestOriginWithoutPayment(t *testing.T) {
	for _, m := range modes() {
		g := newGroup(t, m)
		ids := open(g, "a", 8)
		slots := slotsOf(10,
			ledger.Command{Kind: ledger.UpdateAccount, Source: ids[0], Sets: ledger.SetsLimit},
			ledger.Command{Kind: ledger.Pay, Source: ids[0], Destination: ids[1], Currency: usd, Amount: 5},
			ledger.Command{Kind: ledger.Refund, Payment: 11},
			ledger.Command{Kind: ledger.Void, Payment: 10},
			ledger.Command{Kind: ledger.Capture, Payment: 99},
			ledger.Command{Kind: ledger.Expire, Payment: 12},
		)
		slots[2].Origin, slots[3].Origin, slots[5].Origin = slots[1], slots[0], slots[2]
		g.Execute(slots)
		want := []ledger.Code{ledger.OK, ledger.InsufficientFunds, ledger.PaymentNotFound, ledger.PaymentNotFound, ledger.PaymentNotFound, ledger.PaymentNotFound}
		for i, s := range slots {
			if s.Record.Code != want[i] || s.Record.Payment != nil {
				t.Errorf("%s: command %d came to %s, want %s", m.name, i, s.Record.Code, want[i])
			}
		}
		g.Close()
	}
}

// All commands on a payment of their own entry share one payment, and slots can
// be used again for the next entry.
func TestFollowersShareOnePayment(t *testing.T) {
	for _, m := range modes() {
		g := newGroup(t, m)
		ids := open(g, "a", 8)
		commands := []ledger.Command{
			{Kind: ledger.Authorize, Source: ids[2], Destination: ids[5], Currency: usd, Amount: 9, ExpiresIn: 5},
			{Kind: ledger.Capture, Amount: 4},
			{Kind: ledger.Refund, Amount: 1},
			{Kind: ledger.Void},
		}
		slots := slotsOf(10, commands...)
		for round := range uint64(2) {
			seq := 10 + 4*round
			for i, s := range slots {
				s.Record = ledger.Record{Seq: seq + uint64(i), Time: 1, Command: commands[i]}
				if i > 0 {
					s.Record.Command.Payment, s.Origin = seq, slots[0]
				}
			}
			g.Execute(slots)
			p := slots[1].Record.Payment
			if p == nil || p.Seq != seq || p != slots[2].Record.Payment || p != slots[3].Record.Payment {
				t.Fatalf("%s: the followers act on %v, %v and %v", m.name, p, slots[2].Record.Payment, slots[3].Record.Payment)
			}
			want := ledger.PaymentState{Captured: 4, Refunded: 1, Status: ledger.Captured}
			if p.State != want || slots[3].Record.State != want {
				t.Errorf("%s: the payment is %+v, its last record says %+v", m.name, p.State, slots[3].Record.State)
			}
			if string(slots[3].Source) != "a2" || string(slots[3].Destination) != "a5" {
				t.Errorf("%s: routed by %s and %s", m.name, slots[3].Source, slots[3].Destination)
			}
		}
		g.Close()
	}
}

func TestEmptyEntry(t *testing.T) {
	g := newGroup(t, mode{shards: 2, policy: measured})
	defer g.Close()
	g.Execute(nil)
	slots := slotsOf(1, ledger.Command{Kind: ledger.Void, Payment: 5})
	g.Execute(slots)
	if got := slots[0].Record.Code; got != ledger.PaymentNotFound {
		t.Errorf("a void of nothing came to %s", got)
	}
	world := slotsOf(2, ledger.Command{
		Kind: ledger.Pay, Source: []byte("world:USD"), Destination: []byte("world:USD"), Currency: usd, Amount: 1,
	})
	g.Execute(world)
	if got := world[0].Record.Code; got != ledger.SameAccount {
		t.Errorf("a payment of the world to itself came to %s", got)
	}
}

// A view holds its own copies: neither the entry's buffer nor the account is
// behind it.
func TestAccountViewIsDetached(t *testing.T) {
	g := newGroup(t, mode{shards: 2, policy: measured})
	defer g.Close()
	id := []byte("alice")
	metadata := ledger.AppendMetadata(nil, []ledger.Pair{{Key: []byte("k"), Value: []byte("v")}})
	slots := slotsOf(1, ledger.Command{Kind: ledger.CreateAccount, Source: id, Currency: usd, Metadata: metadata})
	g.Execute(slots)
	made := slots[0].Record.Account
	clear(id)
	clear(metadata)
	read, ok := g.Read([]byte("alice"))
	if !ok {
		t.Fatal("alice is gone")
	}
	for what, v := range map[string]*ledger.AccountView{"record": made, "read": &read} {
		if string(v.ID) != "alice" || string(v.Metadata) != "\x01k\x01v" || v.Currency != usd {
			t.Errorf("the view of the %s is %q with %q", what, v.ID, v.Metadata)
		}
	}
	copy(read.ID, "ZZZZZ")
	copy(read.Metadata, "ZZZZ")
	again, _ := g.Read([]byte("alice"))
	if string(again.ID) != "alice" || string(again.Metadata) != "\x01k\x01v" {
		t.Errorf("a reader changed it to %q with %q", again.ID, again.Metadata)
	}
}

// A payment in steady state allocates nothing, and a cross-shard one neither.
func TestPayAllocatesNothing(t *testing.T) {
	for _, m := range modes() {
		if m.shards > 3 {
			continue
		}
		g := newGroup(t, m)
		ids := open(g, "a", 64)
		commands := make([]ledger.Command, 256)
		for i := range commands {
			commands[i] = ledger.Command{Kind: ledger.Pay, Source: ids[i%64], Destination: ids[(i+7)%64], Currency: usd, Amount: 1}
			if i%3 == 0 {
				commands[i].Destination = []byte("world:USD")
			}
		}
		slots := slotsOf(100, commands...)
		allocs := testing.AllocsPerRun(200, func() {
			for i, s := range slots {
				s.Record = ledger.Record{Seq: s.Record.Seq + 256, Time: 1, Command: commands[i]}
			}
			g.Execute(slots)
		})
		if allocs > 0 {
			t.Errorf("%s: %v allocations in an entry", m.name, allocs)
		}
		g.Close()
	}
}

// TestNothingOfAnEntryStays: one slot that is still pointed at keeps the memory of all
// slots that were allocated with it.
func TestNothingOfAnEntryStays(t *testing.T) {
	for _, m := range modes() {
		g := newGroup(t, m)
		ids := open(g, "a", 64)
		for _, size := range []int{500, 200, 90} {
			commands := make([]ledger.Command, size)
			for i := range commands {
				commands[i] = ledger.Command{Kind: ledger.Pay, Source: ids[i%64], Destination: []byte("world:USD"), Currency: usd, Amount: 1}
			}
			g.Execute(slotsOf(100, commands...))
			for i := range g.plan {
				for _, slot := range g.plan[i].slots[:cap(g.plan[i].slots)] {
					if slot != nil {
						t.Fatalf("%s: the plan of shard %d still has a slot of an entry of %d", m.name, i, size)
					}
				}
			}
		}
		g.Close()
	}
}
