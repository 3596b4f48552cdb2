package raftfsm

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"purser/internal/crashfs"
)

// installation is a follower with a state and a snapshot of its own, and the stream
// of a leader's that is ahead.
type installation struct {
	log    []logEntry
	stream func() io.ReadCloser
	old    outcome // of the follower's snapshot
	new    outcome // of the leader's
	end    outcome // of the whole log
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	in := &installation{log: auditLog()}
	leader := openTestNode(t, vfs.NewMem(), 2)
	t.Cleanup(leader.close)
	leader.apply(in.log[:10])
	in.old = leader.outcome()
	leader.apply(in.log[10:20])
	in.new = leader.outcome()
	if err := leader.snapshot(); err != nil {
		t.Fatal(err)
	}
	leader.apply(in.log[20:])
	in.end = leader.outcome()
	in.stream = func() io.ReadCloser {
		list, err := leader.snapshots.List()
		if err != nil {
			t.Fatal(err)
		}
		_, stream, err := leader.snapshots.Open(list[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	return in
}

// follower starts one on fs, with the snapshot that it took.
func (in *installation) follower(t *testing.T, fs vfs.FS) *testNode {
	t.Helper()
	n := openTestNode(t, fs, 1)
	n.apply(in.log[:10])
	if err := n.snapshot(); err != nil {
		t.Fatal(err)
	}
	n.apply(in.log[10:12])
	return n
}

// requireOneOf opens what is left on fs: it must be the state of the one snapshot or
// of the other, and go on from there to the same end.
func (in *installation) requireOneOf(t *testing.T, fs vfs.FS, what string) (isNew bool) {
	t.Helper()
	n, err := tryTestNode(t, fs, 1, testRetention)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	defer n.close()
	got := n.outcome()
	if isNew = got == in.new; !isNew && got != in.old {
		t.Fatalf("%s: the state is %+v,\nneither %+v\nnor %+v", what, got, in.old, in.new)
	}
	n.balanced(true)
	n.apply(in.log)
	if got := n.outcome(); got != in.end {
		t.Fatalf("%s: ends at %+v, want %+v", what, got, in.end)
	}
	return isNew
}

// TestInstallCrashAnywhere crashes before every operation on the file system while
// a snapshot replaces the state, with all, none and some of what was not synced
// lost. The state is the old one or the new one, whole, and the new one once the
// installation was reported.
func TestInstallCrashAnywhere(t *testing.T) {
	t.Parallel()
	const seed = 13
	rng := rand.New(rand.NewPCG(seed, seed))
	in := newInstallation(t)
	mem := crashfs.New()
	var mu sync.Mutex // Pebble writes on goroutines of its own, too
	var clones []*crashfs.FS
	var whats []string
	watching := false
	watch := func(on bool) (before int) {
		mu.Lock()
		defer mu.Unlock()
		watching = on
		return len(clones)
	}
	take := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		if !watching {
			return
		}
		for _, percent := range []int{0, 50, 100} {
			clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
			whats = append(whats, fmt.Sprintf("%s, %d%% of the unsynced kept (seed %d)", what, percent, seed))
		}
	}
	n := in.follower(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			take(fmt.Sprintf("before op %d on %s", op.Kind, op.Path))
		}
		return nil
	})))
	watch(true)
	if err := n.fsm.Restore(in.stream()); err != nil {
		t.Fatal(err)
	}
	during := watch(true)
	take("at the end")
	watch(false)
	n.close()
	var seen [2]int
	stride, least := 1, 20
	if testing.Short() {
		stride, least = 8, 2
	}
	for i, fs := range clones {
		if i%stride != 0 && i < len(clones)-3 {
			continue
		}
		isNew := in.requireOneOf(t, fs, whats[i])
		if i >= during && !isNew {
			t.Errorf("%s: the state is the old one", whats[i])
		}
		if isNew {
			seen[1]++
		} else {
			seen[0]++
		}
	}
	t.Logf("%d crashes: %d with the old state, %d with the new one", len(clones), seen[0], seen[1])
	if seen[0] < least || seen[1] < least {
		t.Errorf("crashes left %d old states and %d new ones: the test looks at too little", seen[0], seen[1])
	}
}

// TestInstallErrorAnywhere makes every write fail in turn by which a snapshot is
// unpacked and put into its place: fatal is told, as raft would go on with whatever
// is there, and the next process finds one state or the other.
func TestInstallErrorAnywhere(t *testing.T) {
	t.Parallel()
	in := newInstallation(t)
	boom := errors.New("boom")
	for i := 0; ; i++ {
		mem := vfs.NewMem()
		var mu sync.Mutex
		ops, armed := 0, false
		n := in.follower(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if !armed || op.Kind.ReadOrWrite() != errorfs.OpIsWrite || !strings.Contains(op.Path, incoming) {
				return nil
			}
			if ops++; ops != i+1 {
				return nil
			}
			return boom
		})))
		var told error
		n.fsm.fatal = func(err error) { told = err }
		mu.Lock()
		armed = true
		mu.Unlock()
		err := n.fsm.Restore(in.stream())
		mu.Lock()
		armed = false
		reached := ops > i
		mu.Unlock()
		if errors.Is(err, boom) != reached || !errors.Is(told, err) {
			t.Fatalf("op %d: the restore ended with %v, and fatal was told %v", i, err, told)
		}
		n.close()
		isNew := in.requireOneOf(t, mem, fmt.Sprintf("op %d", i))
		if !reached {
			if !isNew {
				t.Error("the state is the old one")
			}
			if i < 15 {
				t.Fatalf("only %d operations: the test looks at nothing", i)
			}
			return
		}
	}
}
