package raftfsm

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"purser/internal/ledger"
)

func TestSideBySide(t *testing.T) {
	for _, n := range []int{0, 1, 2, recallers, 1000} {
		calls := make([]atomic.Int32, n)
		if err := sideBySide(n, func(i int) error { calls[i].Add(1); return nil }); err != nil {
			t.Fatal(err)
		}
		for i := range calls {
			if got := calls[i].Load(); got != 1 {
				t.Fatalf("%d calls of %d in %d", got, i, n)
			}
		}
	}
	disk := errors.New("disk gone")
	for _, n := range []int{1, 2, 1000} { // each worker fails
		if err := sideBySide(n, func(int) error { return disk }); !errors.Is(err, disk) {
			t.Errorf("%d: %v", n, err)
		}
	}
	err := sideBySide(1000, func(i int) error {
		if i == 999 {
			return disk
		}
		return nil
	})
	if !errors.Is(err, disk) {
		t.Errorf("the last one's error: %v", err)
	}
}

// Commands of one entry on one earlier payment share it, however many of them
// have read it; retries among them, of this entry or before, change nothing.
func TestEntryRecallsAPaymentForAllItsCommands(t *testing.T) {
	n := openTestNode(t, vfs.NewMem(), 2)
	defer n.close()
	capture := func(key string, amount int64) ledger.Command {
		return ledger.Command{Kind: ledger.Capture, Key: []byte(key), Payment: 2, Amount: amount}
	}
	n.apply([]logEntry{
		{index: 1, stamp: 1000, cmds: []ledger.Command{
			{Kind: ledger.CreateAccount, Source: []byte("a"), Currency: usd, Limit: 1000},
			{
				Kind: ledger.Authorize, Key: []byte("hold"), Source: []byte("a"), Destination: []byte("world:USD"),
				Currency: usd, Amount: 100, ExpiresIn: 1,
			},
		}},
		{index: 2, stamp: 2000, cmds: []ledger.Command{capture("k1", 10)}},
	})
	missing := capture("nothing there", 1)
	missing.Payment = 1 // an account
	results := n.apply([]logEntry{{index: 3, stamp: 3000, cmds: []ledger.Command{
		capture("k2", 20), capture("k1", 10), capture("k3", 30), capture("k2", 20), capture("k3", 31),
		missing, missing, capture("k4", 41), capture("k5", 40),
	}}})[0].Results
	for i, want := range []struct {
		seq      uint64
		code     ledger.Code
		replayed bool
		conflict string
	}{
		{seq: 4}, {seq: 3, replayed: true}, {seq: 5}, {seq: 4, replayed: true}, {conflict: "amount"},
		{seq: 6, code: ledger.PaymentNotFound}, {seq: 6, code: ledger.PaymentNotFound, replayed: true},
		{seq: 7, code: ledger.AmountExceedsAuthorized}, {seq: 8},
	} {
		r := results[i]
		if r.Conflict != want.conflict || r.Replayed != want.replayed ||
			r.Record != nil && (r.Record.Seq != want.seq || r.Record.Code != want.code) {
			t.Errorf("command %d: %+v, want %+v", i, r, want)
		}
	}
	view, ok, err := n.fsm.Payment(2)
	if err != nil || !ok || view.Payment.State.Captured != 100 || view.Payment.State.Held != 0 {
		t.Errorf("payment %+v, %t, %v", view.Payment, ok, err)
	}
	n.balanced(true)
}

// TestReplayDoesNotSeeWhatIsToCome replays half a log on a store that has the rows
// of all of it: payments are captured, voided and refunded in them that the replay
// has yet to do that to.
func TestReplayDoesNotSeeWhatIsToCome(t *testing.T) {
	log := auditLog()
	fs := vfs.NewMem()
	n := openTestNode(t, fs, 2)
	n.apply(log[:2])
	if err := n.snapshot(); err != nil {
		t.Fatal(err)
	}
	first := n.apply(log[2:])
	want := n.outcome()
	if err := n.fsm.machine.store.SaveTo("copy"); err != nil { // flushes the rows
		t.Fatal(err)
	}
	n.close()

	n = openTestNode(t, fs, 2)
	defer n.close()
	m := n.fsm.machine
	if _, ok, err := m.store.Record(want.position.Seq); !ok || err != nil || m.pos.Index != 2 {
		t.Fatalf("the state is that of entry %d, the last row is there: %t, %v", m.pos.Index, ok, err)
	}
	for i := range first {
		again := n.apply(log[2+i : 3+i])[0]
		if got, want := transcript(again), transcript(first[i]); !slices.Equal(got, want) {
			t.Fatalf("entry %d:\n%q, the first time\n%q", log[2+i].index, got, want)
		}
	}
	if got := n.outcome(); got != want {
		t.Errorf("%+v, the first time %+v", got, want)
	}
}
