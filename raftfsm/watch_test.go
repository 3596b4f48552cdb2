package raftfsm

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestAnotherDigestEndsTheService: the leader's digest decides, if it has one.
func TestAnotherDigestEndsTheService(t *testing.T) {
	state := openTestNode(t, vfs.NewMem(), 1)
	defer state.close()
	n := &Node{cfg: Config{DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}, fsm: state.fsm}
	own := comparison{Index: 5, Digest: "aa"}
	for _, theirs := range []comparison{{Index: 5, Digest: "aa"}, {Index: 5}} {
		n.judge(own, theirs, "n2")
		if _, _, err := n.State().Account([]byte("a")); err != nil || n.Diverged() != nil {
			t.Fatalf("after %+v: %v, diverged: %v", theirs, err, n.Diverged())
		}
	}
	n.judge(own, comparison{Index: 5, Digest: "ab"}, "n2")
	if !errors.Is(n.Diverged(), ErrDiverged) {
		t.Errorf("another digest: diverged: %v", n.Diverged())
	}
	if _, _, err := n.State().Account([]byte("a")); !errors.Is(err, ErrDiverged) {
		t.Errorf("a read after another digest: %v, want %v", err, ErrDiverged)
	}
}
