package main

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"purser/internal/ledger"
	"purser/raftfsm"
	"purser/transport"
)

// TestChecks: every condition of readiness is listed whatever its outcome, and
// fails for its own reason.
func TestChecks(t *testing.T) {
	o := operator{&server{stack: openTestStack(t, t.TempDir(), 1)}}
	failing := func() map[string]error {
		t.Helper()
		failed := map[string]error{}
		checks := o.Checks()
		for i, name := range []string{"leader", "caught-up", "digest", "draining", "storage"} {
			if len(checks) != 5 || checks[i].Name != name || checks[i].Minor != (name == "storage") {
				t.Fatalf("checks %+v", checks)
			}
			if checks[i].Err != nil {
				failed[name] = checks[i].Err
			}
		}
		return failed
	}
	if got := failing(); len(got) > 0 {
		t.Errorf("a node that serves: %v", got)
	}
	o.diskFull.Store(true)
	if got := failing(); len(got) != 1 || !errors.Is(got["storage"], ledger.ErrStorageFull) {
		t.Errorf("a full disk: %v", got)
	}
	o.diskFull.Store(false)
	o.draining.Store(true)
	if got := failing(); len(got) != 1 || !errors.Is(got["draining"], ledger.ErrDraining) {
		t.Errorf("while draining: %v", got)
	}
	if err := o.stack.close(); err != nil {
		t.Fatal(err)
	}
	if got := failing(); !errors.Is(got["leader"], ledger.ErrNoLeader) || got["caught-up"] == nil {
		t.Errorf("without raft: %v", got)
	}
}

// TestNearLeader: a follower is ready when it knows that it is near its leader.
func TestNearLeader(t *testing.T) {
	unheard := errors.New("not been asked")
	for _, tt := range []struct {
		when  string
		s     raftfsm.Status
		ready bool
	}{
		{"near", raftfsm.Status{Node: "n1", Leader: "n2", Behind: mayLag}, true},
		{"far", raftfsm.Status{Node: "n1", Leader: "n2", Behind: mayLag + 1}, false},
		{"nothing heard", raftfsm.Status{Node: "n1", Leader: "n2", Unheard: unheard}, false},
		{"it is to lead", raftfsm.Status{Node: "n1", Leader: "n1"}, false},
	} {
		if err := nearLeader(&tt.s); (err == nil) != tt.ready {
			t.Errorf("%s: %v", tt.when, err)
		}
	}
}

// TestVerifyReport: whatever is wrong is named.
func TestVerifyReport(t *testing.T) {
	usd, _ := ledger.ParseCurrency([]byte("USD"))
	eur, _ := ledger.ParseCurrency([]byte("EUR"))
	seven := ledger.Int128{}.Add(7)
	in := raftfsm.Report{OK: true, Index: 9, Deep: true, Rows: 5, Currencies: []raftfsm.CurrencyReport{
		{Currency: usd, Accounts: 2, OK: true}, {Currency: eur, Accounts: 1, OK: true},
	}}
	want := transport.VerifyReport{OK: true, Index: 9, Deep: true, Rows: 5, Currencies: map[string]transport.CurrencyTotal{
		"USD": {Accounts: 2, Sum: "0"}, "EUR": {Accounts: 1, Sum: "0"},
	}}
	if diff := cmp.Diff(want, verifyReport(in)); diff != "" {
		t.Error(diff)
	}
	in.OK, in.Currencies[1] = false, raftfsm.CurrencyReport{Currency: eur, Accounts: 1, Posted: seven, Sum: seven}
	in.Faults, in.FaultCount = []string{"row 3 is missing"}, 4
	want.OK, want.Currencies["EUR"] = false, transport.CurrencyTotal{Accounts: 1, Sum: "7"}
	want.Faults = []string{"EUR: the accounts have 7, the journal says 0; the outside has 0", "row 3 is missing"}
	want.FaultCount = 5
	if diff := cmp.Diff(want, verifyReport(in)); diff != "" {
		t.Error(diff)
	}
}
