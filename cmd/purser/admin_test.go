package main

import (
	"errors"
	"testing"

	"purser/internal/ledger"
)

// TestChecks: every condition of readiness is listed whatever its outcome, and
// fails for its own reason.
func TestChecks(t *testing.T) {
	o := operator{&server{stack: openTestStack(t, t.TempDir(), 1)}}
	failing := func() map[string]error {
		t.Helper()
		failed := map[string]error{}
		checks := o.Checks()
		for i, name := range []string{"leader", "caught-up", "draining", "storage"} {
			if len(checks) != 4 || checks[i].Name != name || checks[i].Minor != (name == "storage") {
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
