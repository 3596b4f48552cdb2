package raftfsm

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"purser/internal/crashfs"
	"purser/wal"
)

// TestRestoreCrashAnywhere crashes before every operation on the file system, with
// all, none and some of what was not synced lost. What is left is a directory
// with nothing in it, one that a node refuses by name, or a whole one; the second
// is restored by running it again.
func TestRestoreCrashAnywhere(t *testing.T) {
	const seed = 11
	rng := rand.New(rand.NewPCG(seed, seed))
	mem := crashfs.New()
	was := busyBackup(t, mem, "backup.tar", true)
	if err := syncPath(mem, "/"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // Pebble and the log write on goroutines of theirs, too
	seen := map[string]int{}
	clones := 0
	look := func(what string, done bool) {
		mu.Lock()
		defer mu.Unlock()
		for _, percent := range []int{0, 50, 100} {
			clones++
			fs := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			kind := leftBehind(t, fs, was, clones)
			seen[kind]++
			if done && kind != "whole" {
				t.Errorf("crash %s: %s", what, kind)
			}
			if t.Failed() {
				t.Logf("crash %s, %d%% of the unsynced kept (seed %d)", what, percent, seed)
				return
			}
		}
	}
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && !t.Failed() {
			look(fmt.Sprintf("before op %d on %s", op.Kind, op.Path), false)
		}
		return nil
	}))
	if _, err := memRestorer(t, fs).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("at the end", true)
	t.Logf("%v", seen)
	if seen["empty"] == 0 || seen["refused"] < 100 || seen["whole"] == 0 {
		t.Errorf("crashes left %v: the test looks at too little", seen)
	}
}

// leftBehind says what a crash left of a restore, and goes on from there.
func leftBehind(t *testing.T, fs vfs.FS, was outcome, turn int) string {
	t.Helper()
	names, err := fs.List("data")
	if errors.Is(err, os.ErrNotExist) || err == nil && len(slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == lockName })) == 0 {
		return "empty"
	}
	if err != nil {
		t.Error(err)
		return ""
	}
	if slices.Contains(names, restoringName) {
		if turn%17 == 0 { // each takes some 20 ms
			if _, err := memRestorer(t, fs).run(t.Context()); err != nil {
				t.Errorf("run again over %q: %v", names, err)
			}
			requireWhole(t, fs, was)
		}
		return "refused"
	}
	requireWhole(t, fs, was)
	return "whole"
}

// requireWhole opens every part of a restored directory.
func requireWhole(t *testing.T, fs vfs.FS, was outcome) {
	t.Helper()
	values, err := decodeStable(readFile(t, fs, "data/"+stableName))
	if err != nil || string(values[keyNodeID]) != "r1" || values[keyCurrentTerm][7] != 7 {
		t.Errorf("stable store: %q, %v", values, err)
	}
	snapshots, err := OpenSnapshots(SnapshotConfig{Dir: "data/" + snapshotsName, FS: fs})
	if err != nil {
		t.Error(err)
		return
	}
	metas, err := snapshots.Metas()
	if err != nil || len(metas) != 1 {
		t.Errorf("%d snapshots, %v", len(metas), err)
		return
	}
	if _, err := Verify(t.Context(), fs, snapshots.path(metas[0].ID)); err != nil {
		t.Error(err)
	}
	n := testNodeOn(t, fs)
	defer n.close()
	if got := n.outcome(); got != was || n.meta.Snapshot != metas[0].Index {
		t.Errorf("state %+v of snapshot %d, want %+v", got, n.meta.Snapshot, was)
	}
	n.balanced(true)
	log, err := wal.Open(wal.Options{FS: fs, Dir: "data/" + logName, SegmentBytes: 4096})
	if err != nil {
		t.Error(err)
		return
	}
	if err := checkReach(log, n.fsm.machine.pos.Index, n.meta.Snapshot); err != nil {
		t.Error(err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

// TestRestoreErrorAnywhere makes every write operation fail in turn. Nothing is
// left but, if that is what failed, what could not be removed, and then a mark.
func TestRestoreErrorAnywhere(t *testing.T) {
	source := vfs.NewMem()
	busyBackup(t, source, "backup.tar", false)
	backup := readFile(t, source, "backup.tar")
	boom := errors.New("boom")
	for i := 0; ; i++ {
		mem := vfs.NewMem()
		if err := writeSynced(mem, "backup.tar", bytes.Clone(backup)); err != nil {
			t.Fatal(err)
		}
		n, failed, what := 0, false, ""
		var mu sync.Mutex // the log makes a segment on a goroutine of its own
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
				return nil
			}
			if _, err := mem.Stat("data/state/state-1/LOCK"); err == nil && strings.Contains(op.Path, "/"+stateName) {
				return nil // what Pebble cannot write ends the process
			}
			if n++; n != i+1 {
				return nil
			}
			failed, what = true, fmt.Sprintf("op %d on %s", op.Kind, op.Path)
			return boom
		}))
		_, err := memRestorer(t, fs).run(t.Context())
		if !failed {
			if err != nil || i < 30 {
				t.Fatalf("%d operations, %v", i, err)
			}
			return
		}
		names, _ := mem.List("data")
		if err == nil {
			requireWhole(t, mem, outcomeOf(t, mem))
			continue // of what another goroutine did in advance
		}
		if !errors.Is(err, boom) {
			t.Errorf("%s: %v", what, err)
		}
		if len(names) > 0 && !slices.Contains(names, restoringName) && !slices.Contains(names, logName) {
			t.Errorf("%s: left %q (%v)", what, names, err)
		}
	}
}

func outcomeOf(t *testing.T, fs vfs.FS) outcome {
	t.Helper()
	n := testNodeOn(t, fs)
	defer n.close()
	return n.outcome()
}
