package raftfsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"purser/internal/crashfs"
)

// TestSnapshotCrashAnywhere crashes before every operation on the file system,
// with all, none and some of what was not synced lost. Whatever is left, every
// snapshot listed is whole, the newest is there once Close has returned, and
// the store goes on.
func TestSnapshotCrashAnywhere(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, seed))
	mem := crashfs.New()
	type clone struct {
		fs   *crashfs.FS
		what string
		done int // snapshots whose Close had returned
	}
	var clones []clone
	done := 0
	take := func(what string) {
		for _, percent := range []int{0, 50, 100} {
			fs := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			clones = append(clones, clone{fs, fmt.Sprintf("%s, %d%% of the unsynced kept", what, percent), done})
		}
	}
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpRemoveAll {
			// MemFS removes a directory at one blow; a file system may crash half
			// way, which must not show under the snapshot's id.
			names, _ := mem.CrashClone(vfs.CrashCloneCfg{}).List("data/snapshots")
			if id := strings.TrimSuffix(mem.PathBase(op.Path), tmpSuffix); slices.Contains(names, id) {
				t.Errorf("%s is removed before its retirement is durable", id)
			}
		}
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			take(fmt.Sprintf("before op %d on %s", op.Kind, op.Path))
		}
		return nil
	}))
	if err := mem.MkdirAll("data", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syncPath(mem, "/"); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, fs)
	snap(t, s, 10, testState())
	done = 1
	snap(t, s, 11, testState())
	done = 2
	dst := openStore(t, vfs.NewMem())
	snap(t, dst, 12, testState())
	_, b := stream(t, dst, listIDs(t, dst)[0])
	sink := begin(t, s, 12)
	if _, err := io.Copy(sink, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	done = 3
	take("at the end")

	for _, c := range clones {
		after, err := OpenSnapshots(SnapshotConfig{Dir: "data/snapshots", FS: c.fs})
		if err != nil {
			t.Fatalf("crash %s: %v (seed %d)", c.what, err, seed)
		}
		metas, err := after.List()
		if err != nil {
			t.Fatalf("crash %s: %v (seed %d)", c.what, err, seed)
		}
		for _, m := range metas {
			if _, err := Verify(t.Context(), c.fs, after.path(m.ID)); err != nil {
				t.Errorf("crash %s: %v (seed %d)", c.what, err, seed)
			}
		}
		if c.done > 0 && (len(metas) == 0 || metas[0].Index < uint64(9+c.done)) {
			t.Errorf("crash %s: lost a snapshot that was closed: %v (seed %d)", c.what, metas, seed)
		}
		if len(listDir(t, after)) != len(metas) {
			t.Errorf("crash %s: leftovers %v (seed %d)", c.what, listDir(t, after), seed)
		}
		snap(t, after, 20, testState())
	}
	if len(clones) < 100 {
		t.Errorf("only %d crashes: the test looks at nothing", len(clones))
	}
}

// TestSnapshotErrorAnywhere makes every write operation fail in turn. A Close
// that fails before the snapshot is durable leaves nothing of it.
func TestSnapshotErrorAnywhere(t *testing.T) {
	for i := int32(0); ; i++ {
		mem := vfs.NewMem()
		s := openStore(t, mem)
		snap(t, s, 8, testState())
		snap(t, s, 9, testState())
		boom := errors.New("boom")
		var n int32
		retired := false
		s.cfg.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
				return nil
			}
			if n++; n != i+1 {
				return nil
			}
			names, _ := mem.List("data/snapshots")
			retired = strings.Contains(op.Path, "2-8-") || !slices.Contains(names, "2-8-1700000000123")
			return boom
		}))
		sink, err := s.Create(raft.SnapshotVersionMax, 10, 2, testConfiguration, 5, nil)
		if err == nil {
			err = sink.(*snapshotSink).Commit(fill(s.cfg.FS, testState()))
			if err != nil {
				_ = sink.Cancel()
			} else {
				err = sink.Close()
			}
		}
		if n <= i {
			if err != nil {
				t.Fatal(err)
			}
			if i < 20 {
				t.Fatalf("only %d operations: the test looks at nothing", i)
			}
			return
		}
		if !errors.Is(err, boom) {
			t.Fatalf("op %d failed unnoticed: %v", i, err)
		}
		s.cfg.FS = mem
		ids := listIDs(t, s)
		if made := strings.HasPrefix(ids[0], "2-10-"); made && !retired {
			t.Errorf("op %d: a failed snapshot is listed: %v", i, ids)
		}
		snap(t, openStore(t, mem), 20, testState())
	}
}
