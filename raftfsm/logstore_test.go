package raftfsm

import (
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"purser/wal"
)

// faultyLog fails or blocks its writes on demand.
type faultyLog struct {
	raft.LogStore
	err     error
	entered chan struct{} // with block: receives when a write has begun
	block   chan struct{} // not nil: a write waits for it to close
	writes  atomic.Int32
}

func (f *faultyLog) write() error {
	f.writes.Add(1)
	if f.block != nil {
		f.entered <- struct{}{}
		<-f.block
	}
	return f.err
}

func (f *faultyLog) StoreLog(*raft.Log) error         { return f.write() }
func (f *faultyLog) StoreLogs([]*raft.Log) error      { return f.write() }
func (f *faultyLog) DeleteRange(uint64, uint64) error { return f.write() }
func (f *faultyLog) GetLog(uint64, *raft.Log) error   { return raft.ErrLogNotFound }
func (f *faultyLog) FirstIndex() (uint64, error)      { return 3, nil }
func (f *faultyLog) LastIndex() (uint64, error)       { return 9, nil }

// guard wraps under with a tick in the test's hands.
type guard struct {
	*guardedLog
	tick  chan time.Time
	fatal chan error // buffered: a second call is seen, not blocked
}

func newGuard(t *testing.T, under raft.LogStore) *guard {
	t.Helper()
	g := &guard{tick: make(chan time.Time), fatal: make(chan error, 8)}
	log, err := newGuardedLog(under, guardConfig{
		Fatal: func(err error) { g.fatal <- err },
		tick:  g.tick,
	})
	if err != nil {
		t.Fatal(err)
	}
	g.guardedLog = log
	t.Cleanup(log.Close)
	return g
}

// look makes the watchdog look at the writes some times. It takes the next tick only
// when it has dealt with the one before: the last look may still be going on.
func (g *guard) look(times int) {
	for range times {
		g.tick <- time.Time{}
	}
}

func TestGuardedLogFailsOnceAndForAll(t *testing.T) {
	boom := errors.New("boom")
	for name, write := range map[string]func(raft.LogStore) error{
		"StoreLog":    func(l raft.LogStore) error { return l.StoreLog(&raft.Log{}) },
		"StoreLogs":   func(l raft.LogStore) error { return l.StoreLogs([]*raft.Log{{}}) },
		"DeleteRange": func(l raft.LogStore) error { return l.DeleteRange(1, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			under := &faultyLog{err: boom}
			g := newGuard(t, under)
			if err := write(g); !errors.Is(err, boom) {
				t.Errorf("error returned: %v", err)
			}
			select {
			case err := <-g.fatal:
				if !errors.Is(err, boom) {
					t.Errorf("fatal got %v", err)
				}
			default:
				t.Fatal("the write failed and the process would live on")
			}
			if err := g.StoreLogs(nil); !errors.Is(err, ErrLogFailed) {
				t.Errorf("append after the failure: %v, want ErrLogFailed", err)
			}
			if err := g.DeleteRange(1, 2); !errors.Is(err, ErrLogFailed) {
				t.Errorf("deletion after the failure: %v, want ErrLogFailed", err)
			}
			if n := under.writes.Load(); n != 1 {
				t.Errorf("%d writes reached the log, want 1", n)
			}
			if n := len(g.fatal); n != 0 {
				t.Errorf("fatal was called %d more times", n)
			}
		})
	}
}

// faultyStable is a stable store whose writes fail or block as those of a log.
type faultyStable struct {
	raft.StableStore
	log *faultyLog
}

func (f faultyStable) Set([]byte, []byte) error       { return f.log.write() }
func (f faultyStable) SetUint64([]byte, uint64) error { return f.log.write() }

// TestGuardEndsAHangingWrite: also one of the term or the vote, which a candidate
// makes before it ever appends.
func TestGuardEndsAHangingWrite(t *testing.T) {
	for name, write := range map[string]func(raft.LogStore, raft.StableStore) error{
		"StoreLog":  func(l raft.LogStore, _ raft.StableStore) error { return l.StoreLog(&raft.Log{}) },
		"StoreLogs": func(l raft.LogStore, _ raft.StableStore) error { return l.StoreLogs(nil) },
		"Set":       func(_ raft.LogStore, s raft.StableStore) error { return s.Set(nil, nil) },
		"SetUint64": func(_ raft.LogStore, s raft.StableStore) error { return s.SetUint64(nil, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			under := &faultyLog{entered: make(chan struct{}), block: make(chan struct{})}
			g := newGuard(t, under)
			returned := make(chan error, 1)
			go func() { returned <- write(g, guardedStable{faultyStable{log: under}, g.guardedLog}) }()
			<-under.entered

			g.look(looks) // the first sees that it began
			if len(g.fatal) != 0 {
				t.Fatalf("fatal before the limit: %v", <-g.fatal)
			}
			g.look(2)
			if len(g.fatal) != 1 {
				t.Fatalf("fatal was called %d times past the limit, want once", len(g.fatal))
			}
			if err := <-g.fatal; !errors.Is(err, ErrWriteHung) {
				t.Errorf("fatal got %v, want ErrWriteHung", err)
			}
			if len(returned) != 0 {
				t.Error("the hanging write was answered")
			}
			close(under.block)
			if err := <-returned; err != nil {
				t.Errorf("the write that landed late: %v, want its own answer", err)
			}
		})
	}
}

// TestGuardForgetsAWriteThatReturned: many short ones are no long one, and nothing
// hangs where nothing is written.
func TestGuardForgetsAWriteThatReturned(t *testing.T) {
	under := &faultyLog{entered: make(chan struct{}), block: make(chan struct{})}
	g := newGuard(t, under)
	for range 2 * looks {
		returned := make(chan error)
		go func() { returned <- g.StoreLogs(nil) }()
		<-under.entered
		g.look(looks - 1)
		under.block <- struct{}{}
		if err := <-returned; err != nil {
			t.Fatal(err)
		}
		g.look(1)
	}
	g.look(2 * looks)
	if len(g.fatal) != 0 {
		t.Errorf("fatal with no write that hangs: %v", <-g.fatal)
	}
}

func TestGuardedLogPassesReadsThrough(t *testing.T) {
	g := newGuard(t, &faultyLog{})
	if err := g.GetLog(1, nil); err != raft.ErrLogNotFound {
		t.Errorf("GetLog: %v, want raft.ErrLogNotFound itself", err)
	}
	first, _ := g.FirstIndex()
	last, _ := g.LastIndex()
	if first != 3 || last != 9 {
		t.Errorf("range %d to %d, want 3 to 9", first, last)
	}
}

func TestGuardedLogAppendAllocatesNothing(t *testing.T) {
	g, err := newGuardedLog(&faultyLog{}, guardConfig{Fatal: func(error) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	logs := []*raft.Log{{Index: 1}}
	if n := testing.AllocsPerRun(100, func() { _ = g.StoreLogs(logs) }); n != 0 {
		t.Errorf("%v allocations per append", n)
	}
}

func TestGuardedLogRefusesABadConfig(t *testing.T) {
	if _, err := newGuardedLog(&faultyLog{}, guardConfig{}); err == nil {
		t.Error("no fatal function was accepted")
	}
	if _, err := newGuardedLog(&faultyLog{}, guardConfig{Fatal: func(error) {}, Limit: -1}); err == nil {
		t.Error("a negative limit was accepted")
	}
}

func BenchmarkGuardedLogAppend(b *testing.B) {
	g, err := newGuardedLog(&faultyLog{}, guardConfig{Fatal: func(error) {}})
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	for b.Loop() {
		_ = g.StoreLogs(nil)
	}
}

// TestGuardedLogKeepsWhatIsNeeded: raft shortens the log for its own sake only.
func TestGuardedLogKeepsWhatIsNeeded(t *testing.T) {
	needed := uint64(math.MaxUint64)
	under, err := wal.Open(wal.Options{FS: vfs.NewMem(), Dir: "wal", SegmentBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer under.Close()
	if err := under.StoreLogs(uncommitted(10, 30, 1)); err != nil {
		t.Fatal(err)
	}
	g, err := newGuardedLog(under, guardConfig{Fatal: func(error) {}, Needed: func() uint64 { return needed }})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, step := range []struct {
		what           string
		lo, hi, needed uint64
		first, last    uint64 // of the log afterwards
	}{
		{"nothing that is there", 1, 9, math.MaxUint64, 10, 30},
		{"up to a snapshot, whose entry stays", 10, 12, math.MaxUint64, 12, 30},
		{"nothing but the snapshot's entry", 12, 12, math.MaxUint64, 12, 30},
		{"what another node has", 12, 20, 15, 15, 30},
		{"what another node has not", 15, 20, 15, 15, 30},
		{"what another node has not, nor this one", 15, 20, 3, 15, 30},
		{"entries that conflict, and those behind them", 25, 30, 15, 15, 24},
		{"all of it", 15, 24, 3, 0, 0},
	} {
		needed = step.needed
		if err := g.DeleteRange(step.lo, step.hi); err != nil {
			t.Errorf("delete %s: %v", step.what, err)
		}
		first, _ := g.FirstIndex()
		last, _ := g.LastIndex()
		if first != step.first || last != step.last {
			t.Errorf("delete %s: %d to %d are left, want %d to %d", step.what, first, last, step.first, step.last)
		}
	}
}
