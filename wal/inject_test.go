package wal

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// failAt injects one error, at the n-th call.
type failAt struct {
	mu   sync.Mutex
	n    int
	seen int
	op   errorfs.Op
}

func (f *failAt) String() string { return fmt.Sprintf("call %d", f.n) }

func (f *failAt) MaybeError(op errorfs.Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	if f.seen-1 != f.n {
		return nil
	}
	f.op = op
	return errorfs.ErrInjected
}

func (f *failAt) fired() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen > f.n
}

func TestErrorAtEveryCall(t *testing.T) {
	poisoned := 0
	for n := 0; ; n++ {
		f := &failAt{n: n}
		mem := vfs.NewCrashableMem()
		legal, wasPoisoned := runInjected(t, mem, f)
		if !f.fired() {
			break
		}
		if wasPoisoned {
			poisoned++
		}
		what := fmt.Sprintf("error at call %d: op %d of %s", n, f.op.Kind, f.op.Path)
		clone{fs: mem.CrashClone(vfs.CrashCloneCfg{}), legal: legal, what: what + ", crash"}.recover(t, 0)
		clone{fs: mem, legal: legal, what: what}.recover(t, 0)
	}
	if poisoned < 50 {
		t.Fatalf("only %d errors poisoned the log", poisoned)
	}
}

// runInjected runs the crash workload until the first error, checks that the log
// behaves after it, and returns what may be on disk.
func runInjected(t *testing.T, mem *vfs.MemFS, f *failAt) (legal []model, poisoned bool) {
	l, err := Open(Options{FS: errorfs.Wrap(mem, f), Dir: "wal", SegmentBytes: crashSegment})
	if err != nil {
		if !errors.Is(err, errorfs.ErrInjected) {
			t.Fatalf("%s: Open: %v", f, err)
		}
		return []model{nil}, false
	}
	defer func() {
		if err := l.Close(); err != nil && !errors.Is(err, errorfs.ErrInjected) {
			t.Fatalf("%s: Close: %v", f, err)
		}
	}()
	var m model
	for k, s := range crashWorkload() {
		l.awaitPrepared()
		err := s.run(l)
		if err == nil {
			m = s.after(m)
			continue
		}
		if !errors.Is(err, errorfs.ErrInjected) || !errors.Is(err, ErrPoisoned) {
			t.Fatalf("%s: step %d: %v", f, k, err)
		}
		_, last := m.bounds()
		err2 := l.StoreLog(entry(last+1, 1, 10))
		err3 := l.DeleteRange(0, last)
		if err2 == nil || err3 == nil || err2.Error() != err.Error() || err3.Error() != err.Error() {
			t.Fatalf("%s: first %v, then %v and %v", f, err, err2, err3)
		}
		if _, err := pick(l, []model{m, s.after(m)}); err != nil {
			t.Fatalf("%s: reads after the error: %v", f, err)
		}
		return []model{m, s.after(m)}, true
	}
	return []model{m}, false
}

// TestPreparationErrorSurfaces fails the background work only.
func TestPreparationErrorSurfaces(t *testing.T) {
	mem := vfs.NewMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpRename && op.Path == "wal/00000002.tmp" {
			return errorfs.ErrInjected
		}
		return nil
	}))
	l := mustOpen(t, fs, 1024)
	m := model(entries(1, 1, 500))
	if err := l.StoreLogs(m); err != nil {
		t.Fatalf("an append that needs no new segment: %v", err)
	}
	for range 2 {
		err := l.StoreLogs(entries(2, 1, 500))
		if !errors.Is(err, ErrPoisoned) || !errors.Is(err, errorfs.ErrInjected) {
			t.Fatalf("the append that rotates: %v", err)
		}
	}
	mustClose(t, l)
	l = mustOpen(t, mem, 1024)
	if d := m.differs(l); d != "" {
		t.Fatal(d)
	}
	mustClose(t, l)
}
