package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// crashSegment lets frames span several of the 4096-byte blocks that MemFS keeps
// or loses as a whole.
const crashSegment = 16 << 10

// crashWorkload has small frames, frames of several blocks, one larger than a
// segment, all truncations, and rotations caused by each.
func crashWorkload() []step {
	return []step{
		{logs: entries(1, 1, 0, 10, 100)},
		{logs: entries(4, 1, 9000)},
		{logs: entries(5, 1, 100)},
		{min: 5, max: 5},
		{logs: entries(5, 2, 3000, 3000, 3000)},
		{logs: entries(8, 2, 40)},
		{min: 1, max: 4},
		{logs: entries(9, 2, 20000)},
		{logs: entries(10, 2, 5000)},
		{min: 7, max: 10},
		{logs: entries(7, 3, 8000, 4000)},
		{logs: entries(9, 3, 6000)},
		{min: 1, max: 9}, // empty
		{logs: entries(50, 4, 7000)},
		{logs: entries(51, 4, 7000)},
		{min: 0, max: 50},
	}
}

// clone is the disk after a crash, with the states it may legally recover to.
type clone struct {
	fs    *vfs.MemFS
	legal []model
	what  string
}

// crasher clones a file system before every call that changes it.
type crasher struct {
	t   *testing.T
	mem *vfs.MemFS

	mu     sync.Mutex
	legal  []model
	seed   uint64
	calls  int
	clones []clone
}

func (c *crasher) fs() vfs.FS {
	return errorfs.Wrap(c.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose {
			c.crash(fmt.Sprintf("op %d of %s at %d", op.Kind, op.Path, op.Offset))
		}
		return nil
	}))
}

func (c *crasher) crash(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	percents := []int{0, 50, 50, 50, 80, 100}
	if raceEnabled {
		percents = []int{0, 50, 100} // the detector slows the copying 20 times
	}
	for k, percent := range percents {
		seed := c.seed + uint64(c.calls)*100 + uint64(k)
		fs := c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent,
			RNG: rand.New(rand.NewPCG(seed, 1))})
		c.clones = append(c.clones, clone{fs: fs, legal: c.legal,
			what: fmt.Sprintf("%s (call %d, %d%% of unsynced data, seed %d)", what, c.calls, percent, seed)})
	}
}

func (c *crasher) setLegal(m ...model) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.legal = m
}

func (c *crasher) take() []clone {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.clones
	c.clones = nil
	return out
}

// recover opens the clone, compares it with what is legal, and goes on to use
// it. With depth it also crashes the recovery itself.
func (c clone) recover(t *testing.T, depth int) {
	t.Helper()
	inner := &crasher{t: t, mem: c.fs, legal: c.legal}
	fs := vfs.FS(c.fs)
	if depth > 0 {
		fs = inner.fs()
	}
	l, err := Open(Options{FS: fs, Dir: "wal", SegmentBytes: crashSegment})
	if err != nil {
		t.Fatalf("%s: %v", c.what, err)
	}
	m, err := pick(l, c.legal)
	if err != nil {
		t.Fatalf("%s: %v", c.what, err)
	}
	// What Open shows has become durable.
	kept := clone{fs: c.fs.CrashClone(vfs.CrashCloneCfg{}), legal: []model{m}, what: c.what + ", then again"}
	if depth > 0 {
		kept.recover(t, 0)
	}
	for _, again := range inner.take() {
		again.what = c.what + ", then at " + again.what
		again.recover(t, depth-1)
	}
	_, last := m.bounds()
	s := step{logs: entries(last+1, 9, 9000)}
	inner.setLegal(m, s.after(m))
	if err := s.run(l); err != nil {
		t.Fatalf("%s: %v", c.what, err)
	}
	for _, again := range inner.take() {
		again.what = c.what + ", recovered, then at " + again.what
		again.recover(t, 0)
	}
	mustClose(t, l)
	l = mustOpen(t, c.fs, crashSegment)
	if d := s.after(m).differs(l); d != "" {
		t.Fatalf("%s: after one more append: %s", c.what, d)
	}
	mustClose(t, l)
}

// pick returns the one of legal that l holds.
func pick(l *Log, legal []model) (model, error) {
	var why []error
	for _, m := range legal {
		d := m.differs(l)
		if d == "" {
			return m, nil
		}
		why = append(why, errors.New(d))
	}
	return nil, errors.Join(why...)
}

func TestCrashAtEveryCall(t *testing.T) {
	seed := rand.Uint64N(1e9) * 1000
	t.Logf("seed %d", seed)
	c := &crasher{t: t, mem: vfs.NewCrashableMem(), seed: seed, legal: []model{nil}}
	fs := c.fs()
	l := mustOpen(t, fs, crashSegment)
	var m model
	for k, s := range crashWorkload() {
		next := s.after(m)
		c.setLegal(m, next)
		if err := s.run(l); err != nil {
			t.Fatalf("step %d: %v", k, err)
		}
		m = next
		c.setLegal(m)
		l.awaitPrepared()
		c.crash("idle")
		if k%5 == 4 {
			mustClose(t, l)
			l = mustOpen(t, fs, crashSegment)
		}
		for i, cl := range c.take() {
			depth := 1
			if raceEnabled && i%6 != 1 {
				depth = 0
			}
			cl.recover(t, depth)
		}
	}
	mustClose(t, l)
	if c.calls < 100 {
		t.Fatalf("only %d crash points", c.calls)
	}
}

// TestOpenMakesDurable reopens, without a crash of the machine, a log whose last
// append was written but never synced.
func TestOpenMakesDurable(t *testing.T) {
	mem := vfs.NewCrashableMem()
	failing := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSyncData {
			return errorfs.ErrInjected
		}
		return nil
	})}
	l := mustOpen(t, errorfs.Wrap(mem, failing), crashSegment)
	l.awaitPrepared()
	m := model(entries(1, 1, 10))
	if err := l.StoreLogs(m); err != nil {
		t.Fatal(err)
	}
	failing.On()
	if err := l.StoreLogs(entries(2, 1, 9000)); !errors.Is(err, ErrPoisoned) {
		t.Fatalf("StoreLogs: %v, want ErrPoisoned", err)
	}
	mustClose(t, l)
	l = mustOpen(t, mem, crashSegment)
	shown := m.with(entries(2, 1, 9000))
	if d := shown.differs(l); d != "" {
		t.Fatal(d)
	}
	l2 := mustOpen(t, mem.CrashClone(vfs.CrashCloneCfg{}), crashSegment)
	if d := shown.differs(l2); d != "" {
		t.Fatalf("an entry that Open showed was lost in a crash: %s", d)
	}
	mustClose(t, l2)
	mustClose(t, l)
}

// TestOpenMakesNamesDurable does the same with a segment whose name was given
// but never synced.
func TestOpenMakesNamesDurable(t *testing.T) {
	mem := vfs.NewCrashableMem()
	renamed := false
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		renamed = renamed || op.Kind == errorfs.OpRename && op.Path == "wal/00000002.tmp"
		if renamed && op.Kind == errorfs.OpFileSync && op.Path == "wal" {
			return errorfs.ErrInjected
		}
		return nil
	}))
	l := mustOpen(t, fs, crashSegment)
	l.awaitPrepared()
	mustClose(t, l)
	l = mustOpen(t, mem, crashSegment)
	m := model(entries(1, 1, 9000))
	if err := l.StoreLogs(m); err != nil {
		t.Fatal(err)
	}
	if err := l.StoreLogs(entries(2, 1, 9000)); err != nil {
		t.Fatal(err)
	}
	l2 := mustOpen(t, mem.CrashClone(vfs.CrashCloneCfg{}), crashSegment)
	if d := m.with(entries(2, 1, 9000)).differs(l2); d != "" {
		t.Fatal(d)
	}
	mustClose(t, l2)
	mustClose(t, l)
}
