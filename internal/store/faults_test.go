package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"purser/internal/crashfs"
)

// TestNoErrorLosesACheckpoint fails every operation on the disk in turn, once
// and then from there on. After an error that Options.Fatal gets, the store is
// abandoned where it stands, as a process that ends would abandon it: with locks
// held and goroutines waiting. That must not happen to this process, so a child
// does it.
func TestNoErrorLosesACheckpoint(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestFaultSweep$", "-test.v", fmt.Sprintf("-test.short=%v", testing.Short()))
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestFaultSweep") {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "operations failed") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// outcome is how a run under an injected error ended.
type outcome struct {
	fatal error // what Options.Fatal was told
	err   error // what Open, Commit, WriteCheckpoint or Close returned
}

func TestFaultSweep(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		t.Skip("the child of TestNoErrorLosesACheckpoint")
	}
	w := newWorkload(t, 4, 25)
	stride := int32(1)
	if testing.Short() {
		stride = 11
	}
	for _, forever := range []bool{false, true} {
		var fatal, returned, survived int
		for i := int32(0); ; i += stride {
			p := new(progress) // a dead store may go on counting for a while
			fs := crashfs.New()
			inj := &failing{at: i, forever: forever}
			end := runUnderFault(w, p, errorfs.Wrap(fs, inj))
			if !inj.hit.Load() {
				break // the whole run has fewer operations
			}
			what := fmt.Sprintf("operation %d (%v), forever %v", i, inj.op.Load(), forever)
			switch {
			case end.fatal != nil:
				fatal++
				if !errors.Is(end.fatal, syscall.EIO) && !strings.Contains(end.fatal.Error(), syscall.EIO.Error()) {
					t.Errorf("%s: the hook was told %v", what, end.fatal)
				}
			case end.err != nil:
				returned++
				if !errors.Is(end.err, syscall.EIO) {
					t.Errorf("%s: error %v", what, end.err)
				}
			default:
				survived++
				if p.done.Load() != int64(len(w.states)-1) {
					t.Errorf("%s: no error, but only %d checkpoints", what, p.done.Load())
				}
			}
			if forever && end.fatal == nil && end.err == nil && i < 100 {
				t.Errorf("%s: nobody noticed", what)
			}
			t.Log(what)
			for _, percent := range []int{0, 100} {
				oldest := p.done.Load()
				crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: seeded(uint64(i))})
				w.check(t, crashed, oldest, p.started.Load())
			}
		}
		t.Logf("forever %v: %d operations failed fatally, %d returned an error, %d were survived", forever, fatal, returned, survived)
		if fatal == 0 || returned == 0 {
			t.Errorf("%d operations failed fatally, %d returned an error: the test shows nothing", fatal, returned)
		}
	}
}

// failing fails the operation with number at, and if forever all that write
// after it.
type failing struct {
	at      int32
	forever bool
	count   atomic.Int32
	hit     atomic.Bool
	op      atomic.Value
}

func (f *failing) String() string { return "failing" }

func (f *failing) MaybeError(op errorfs.Op) error {
	n := f.count.Add(1) - 1
	if n != f.at && !(f.forever && n > f.at && op.Kind.ReadOrWrite() == errorfs.OpIsWrite) {
		return nil
	}
	if f.hit.CompareAndSwap(false, true) {
		f.op.Store(fmt.Sprint(op.Kind, " on ", op.Path))
	}
	return syscall.EIO
}

// runUnderFault plays w on fs until it ends or dies. A goroutine that calls
// Fatal stays there for good.
func runUnderFault(w *workload, p *progress, fs vfs.FS) outcome {
	died, ended := make(chan error, 1), make(chan outcome, 1)
	fatal := func(err error) {
		select {
		case died <- err:
		default:
		}
		select {}
	}
	go func() {
		s, err := Open(smallStore(fs, fatal))
		if err != nil {
			ended <- outcome{err: err}
			return
		}
		err = w.run(s, 0, p)
		ended <- outcome{err: errors.Join(err, s.Close())}
	}()
	select {
	case err := <-died:
		return outcome{fatal: err}
	case end := <-ended:
		return end
	}
}
