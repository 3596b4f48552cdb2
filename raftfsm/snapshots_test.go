package raftfsm

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
)

// A snapshot that fails saves nothing: it stays due, whichever of its steps it was
// that failed.
func TestFailedSnapshotStaysDue(t *testing.T) {
	n := openTestNode(t, vfs.NewMem(), 1)
	defer n.close()
	log := auditLog()
	n.apply(log[:10])
	unsaved := n.fsm.unsaved.bytes.Load()
	if unsaved == 0 || n.fsm.unsaved.entries.Load() != 10 {
		t.Fatalf("%d bytes in %d entries are not saved", unsaved, n.fsm.unsaved.entries.Load())
	}
	n.fsm.threshold = unsaved
	persist := func(spoil func(*snapshotSink), more []logEntry) error {
		snap, err := n.fsm.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		defer snap.Release()
		sink, err := n.snapshots.Create(raft.SnapshotVersionMax, n.last, 7, raft.Configuration{}, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		spoil(sink.(*snapshotSink))
		n.apply(more)
		return snap.Persist(sink)
	}
	disk := errors.New("disk full")
	healthy := n.snapshots.cfg.FS
	for name, spoil := range map[string]func(*snapshotSink){
		"filling": func(sink *snapshotSink) { _ = sink.Cancel() },
		"publishing": func(*snapshotSink) {
			n.snapshots.cfg.FS = errorfs.Wrap(healthy, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind == errorfs.OpRename {
					return disk
				}
				return nil
			}))
		},
	} {
		if err := persist(spoil, nil); err == nil {
			t.Fatalf("%s did not fail", name)
		}
		n.snapshots.cfg.FS = healthy
		if got := n.fsm.unsaved.bytes.Load(); got != unsaved || n.fsm.unsaved.entries.Load() != 10 || !n.fsm.isOverdue() {
			t.Errorf("after a failure of %s %d bytes are not saved, want %d", name, got, unsaved)
		}
	}
	// One that succeeds saves what was applied before it, and no more.
	if err := persist(func(*snapshotSink) {}, log[10:13]); err != nil {
		t.Fatal(err)
	}
	if got := n.fsm.unsaved.entries.Load(); got != 3 || n.fsm.isOverdue() {
		t.Errorf("%d entries are not saved, want 3", got)
	}
	n.balanced(true)
}

// A snapshot that failed is tried again after a pause, also when no entry comes
// to say that it is due.
func TestFailedSnapshotIsRetried(t *testing.T) {
	for _, failures := range []int{0, 2} {
		synctest.Test(t, func(t *testing.T) {
			f := &FSM{threshold: 100, overdue: make(chan struct{}, 1)}
			stop, done := make(chan struct{}), make(chan struct{})
			var tries []time.Duration
			began := time.Now()
			go func() {
				defer close(done)
				f.whenOverdue(stop, func() {
					if tries = append(tries, time.Since(began)); len(tries) > failures {
						f.unsaved.bytes.Store(0)
					}
				})
			}()
			f.count(99) // not yet
			time.Sleep(time.Second)
			f.count(1)
			time.Sleep(time.Hour)
			close(stop)
			<-done
			want := []time.Duration{time.Second, time.Second + retrySnapshot, time.Second + 2*retrySnapshot}
			if !slices.Equal(tries, want[:failures+1]) {
				t.Errorf("tried at %v, want %v", tries, want[:failures+1])
			}
		})
	}
}

// The end of a node does not wait for the pause.
func TestRetriedSnapshotIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &FSM{threshold: 1, overdue: make(chan struct{}, 1)}
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			f.whenOverdue(stop, func() {})
		}()
		f.count(1)
		synctest.Wait()
		began := time.Now()
		close(stop)
		<-done
		if took := time.Since(began); took != 0 {
			t.Errorf("stopped after %v", took)
		}
	})
}
