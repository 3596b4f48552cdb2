package wal

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
)

// atRemove calls do whenever a segment is about to be unlinked.
func atRemove(fs vfs.FS, do func() error) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpRemove && strings.HasSuffix(op.Path, segmentSuffix) {
			return do()
		}
		return nil
	}))
}

// TestAppendsGoOnWhileSegmentsAreRemoved appends, and rotates, at the moment when
// each segment is unlinked, and crashes there: what was acknowledged is kept, and
// what was removed stays removed.
func TestAppendsGoOnWhileSegmentsAreRemoved(t *testing.T) {
	const seed = 5
	rng := rand.New(rand.NewPCG(seed, seed))
	mem := vfs.NewCrashableMem()
	var l *Log
	var m model
	removed := 0
	l = mustOpen(t, atRemove(mem, func() error {
		removed++
		if !l.writeMu.TryLock() {
			t.Error("appends wait for the removal of a segment")
			return nil
		}
		l.writeMu.Unlock()
		logs := entries(m[len(m)-1].Index+1, 2, 700, 700) // more than a segment
		if err := l.StoreLogs(logs); err != nil {
			t.Error(err)
		}
		m = m.with(logs)
		for _, percent := range []int{0, 50, 100} {
			fs := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			again := mustOpen(t, fs, 1024)
			if d := m.differs(again); d != "" {
				t.Errorf("crash at removal %d, %d%% of the unsynced kept (seed %d): %s", removed, percent, seed, d)
			}
			mustClose(t, again)
		}
		return nil
	}), 1024)
	for i := range uint64(5) {
		logs := entries(i+1, 1, 900)
		if err := l.StoreLogs(logs); err != nil {
			t.Fatal(err)
		}
		m = m.with(logs)
	}
	m = m.without(1, 4)
	if err := l.DeleteRange(1, 4); err != nil {
		t.Fatal(err)
	}
	if removed < 3 {
		t.Errorf("%d segments removed", removed)
	}
	if d := m.differs(l); d != "" {
		t.Error(d)
	}
	mustClose(t, l)
}

// A removal and an append beside it that both fail leave one error: the first.
func TestRemovalFailsBesideAnAppend(t *testing.T) {
	disk := errors.New("disk gone")
	mem := vfs.NewMem()
	var l *Log
	var first error
	l = mustOpen(t, atRemove(mem, func() error {
		l.writeMu.Lock()
		first = l.fail(errors.New("of an append"))
		l.writeMu.Unlock()
		return disk
	}), 1024)
	for i := range uint64(3) {
		if err := l.StoreLogs(entries(i+1, 1, 900)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.DeleteRange(1, 2); first == nil || !errors.Is(err, ErrPoisoned) || err.Error() != first.Error() {
		t.Errorf("the removal returned %v after %v", err, first)
	}
	if err := l.StoreLog(&raft.Log{Index: 4}); err == nil || err.Error() != first.Error() {
		t.Errorf("the next append returned %v after %v", err, first)
	}
	mustClose(t, l)
}

// TestRemovalsDoNotOvertakeEachOther has a second removal wait for the first: a
// hole among the segments would be damage.
func TestRemovalsDoNotOvertakeEachOther(t *testing.T) {
	mem := vfs.NewMem()
	var l *Log
	var order []string
	started, second := make(chan struct{}), make(chan error, 1)
	l = mustOpen(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind != errorfs.OpRemove || !strings.HasSuffix(op.Path, segmentSuffix) {
			return nil
		}
		order = append(order, op.Path) // racy, were there two at a time
		if len(order) == 1 {
			close(started)
			if l.removing.TryLock() {
				t.Error("another removal could begin")
				l.removing.Unlock()
			}
		}
		return nil
	})), 1024)
	for i := range uint64(6) {
		if err := l.StoreLogs(entries(i+1, 1, 900)); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		<-started
		second <- l.DeleteRange(1, 5)
	}()
	if err := l.DeleteRange(1, 3); err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	if len(order) < 5 || !slices.IsSorted(order) {
		t.Errorf("removed %q", order)
	}
	mustClose(t, l)
}
