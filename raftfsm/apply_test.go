package raftfsm

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

// authorizations is an entry that holds 1 of world:USD n times, for a second.
func authorizations(index uint64, stamp ledger.Micros, n int) logEntry {
	e := logEntry{index: index, stamp: stamp}
	for i := range n {
		e.cmds = append(e.cmds, ledger.Command{
			Kind: ledger.Authorize, Key: fmt.Appendf(nil, "%d-%d", index, i), Source: []byte("a"),
			Destination: []byte("world:USD"), Currency: ledgertest.Currency("USD"), Amount: 1, ExpiresIn: 1,
		})
	}
	return e
}

func held(t *testing.T, n *testNode) int64 {
	t.Helper()
	view, ok, err := n.fsm.Account([]byte("a"))
	if err != nil || !ok {
		t.Fatalf("account: %t, %v", ok, err)
	}
	return view.Held
}

func TestSweepIsBoundedAndInOrder(t *testing.T) {
	fs := vfs.NewMem()
	n := openTestNode(t, fs, 2)
	usd := ledgertest.Currency("USD")
	n.apply([]logEntry{{index: 1, stamp: 1000, cmds: []ledger.Command{
		{Kind: ledger.CreateAccount, Source: []byte("a"), Currency: usd, Limit: 1 << 40},
	}}})
	const holds = 2*maxSweep + 10
	n.apply([]logEntry{authorizations(2, 2000, holds)})
	if got := held(t, n); got != holds {
		t.Fatalf("%d held", got)
	}
	due := n.fsm.machine.position().NextDue
	if due != 2000+ledger.Second {
		t.Fatalf("next due at %d", due)
	}
	before := n.fsm.machine.position().Seq
	pulse := func(index uint64, stamp ledger.Micros) {
		t.Helper()
		n.apply([]logEntry{{index: index, stamp: stamp}})
	}
	pulse(3, due-1)
	if got := held(t, n); got != holds {
		t.Fatalf("%d held before anything was due", got)
	}
	pulse(4, due)
	if got := held(t, n); got != holds-maxSweep {
		t.Fatalf("%d held after one sweep", got)
	}
	// What is left is due at once, also after a restart in between.
	if err := n.snapshot(); err != nil {
		t.Fatal(err)
	}
	n.close()
	n = openTestNode(t, fs, 1)
	defer n.close()
	if got := n.fsm.machine.position().NextDue; got != due {
		t.Fatalf("next due at %d after a restart, want %d", got, due)
	}
	pulse(5, due+1)
	pulse(6, due+2)
	if got := held(t, n); got != 0 {
		t.Fatalf("%d held in the end", got)
	}
	if got := n.fsm.machine.position().NextDue; got != 0 {
		t.Fatalf("next due at %d with nothing left", got)
	}
	// The row of the i-th expiry is about the i-th authorization.
	for i := range uint64(holds) {
		rec, ok, err := n.fsm.machine.store.Record(before + 1 + i)
		if err != nil || !ok || rec.Command.Kind != ledger.Expire || rec.Command.Payment != 2+i {
			t.Fatalf("row %d: %+v, %t, %v", before+1+i, rec, ok, err)
		}
	}
	n.balanced(true)
}

// TestSweepUnderAClockThatIsBehind has a new leader whose clock is an hour behind
// log time. What is overdue lapses, entry by entry, without waiting for that
// clock; what is not yet overdue lapses when log time gets there.
func TestSweepUnderAClockThatIsBehind(t *testing.T) {
	const hour = 3600 * ledger.Second
	const holds = 2*maxSweep + 10
	n := openTestNode(t, vfs.NewMem(), 1)
	defer n.close()
	node := &Node{fsm: n.fsm}
	n.apply([]logEntry{{index: 1, stamp: hour, cmds: []ledger.Command{
		{Kind: ledger.CreateAccount, Source: []byte("a"), Currency: usd, Limit: 1 << 40},
	}}, authorizations(2, hour+1, holds)})
	due := hour + 1 + ledger.Second
	n.apply([]logEntry{{index: 3, stamp: due}, authorizations(4, due+1, 1)})
	if got := held(t, n); got != holds-maxSweep-maxSweep+1 { // the second entry swept, too
		t.Fatalf("%d held", got)
	}

	behind := ledger.Micros(1000) // the new leader's clock
	index := uint64(5)
	for ; ; index++ {
		next, ok := node.NextDue()
		if !ok || next > behind {
			if want := due + 1 + ledger.Second; next != want {
				t.Errorf("the next hold is due at %d, want %d", next, want)
			}
			break
		}
		n.apply([]logEntry{{index: index, stamp: behind}}) // a pulse
		behind++
	}
	if got := held(t, n); got != 1 || index != 6 {
		t.Errorf("%d held after entry %d", got, index-1)
	}
	n.apply([]logEntry{{index: index, stamp: due + 1 + ledger.Second}})
	if got := held(t, n); got != 0 {
		t.Errorf("%d held after all are due", got)
	}
}

func TestLateCaptureIsRefusedBeforeTheSweep(t *testing.T) {
	n := openTestNode(t, vfs.NewMem(), 1)
	defer n.close()
	usd := ledgertest.Currency("USD")
	n.apply([]logEntry{{index: 1, stamp: 1000, cmds: []ledger.Command{
		{Kind: ledger.CreateAccount, Source: []byte("a"), Currency: usd, Limit: 1 << 40},
	}}, authorizations(2, 2000, maxSweep+1)})
	last := uint64(2 + maxSweep) // the one that the first sweep does not get to
	applied := n.apply([]logEntry{{index: 3, stamp: 2000 + ledger.Second, cmds: []ledger.Command{
		{Kind: ledger.Capture, Key: []byte("late"), Payment: last},
	}}})[0]
	if got := held(t, n); got != 1 {
		t.Fatalf("%d held after the sweep", got)
	}
	if r := applied.Results[0].Record; r.Code != ledger.PaymentNotOpen {
		t.Fatalf("late capture: %s", r.Code)
	}
}

// An account is ahead of the journal while an entry is being recorded. Readers of
// its history must not notice.
func TestHistoryIsReadableWhileEntriesAreApplied(t *testing.T) {
	n := openTestNode(t, vfs.NewMem(), 2)
	defer n.close()
	usd := ledgertest.Currency("USD")
	n.apply([]logEntry{{index: 1, stamp: 1000, cmds: []ledger.Command{
		{Kind: ledger.CreateAccount, Source: []byte("a"), Currency: usd},
	}}})
	var stop atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !stop.Load() {
				page, ok, err := n.fsm.Entries([]byte("a"), false, 0, 5)
				if err != nil || !ok {
					t.Errorf("entries: %t, %v", ok, err)
					return
				}
				for i := 1; i < len(page.Entries); i++ {
					if page.Entries[i].Balance.Posted != page.Entries[i-1].Balance.Posted-1 {
						t.Errorf("gap in %+v", page.Entries)
						return
					}
				}
			}
		})
	}
	for i := range uint64(300) {
		e := logEntry{index: 2 + i, stamp: 2000}
		for j := range 20 {
			e.cmds = append(e.cmds, ledger.Command{
				Kind: ledger.Pay, Key: fmt.Appendf(nil, "%d-%d", i, j), Source: []byte("world:USD"),
				Destination: []byte("a"), Currency: usd, Amount: 1,
			})
		}
		n.apply([]logEntry{e})
	}
	stop.Store(true)
	readers.Wait()
}
