//go:build linux || darwin

package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"purser/internal/chaos/site"
)

var (
	runsFlag   = flag.Int("runs", 1, "runs of TestChaos, each with a seed of its own")
	forFlag    = flag.Duration("for", 0, "how long faults happen in a run; 0: 15 s, with -short 6 s")
	atOnceFlag = flag.Int("at-once", 1, "runs side by side")
	seedFlag   = flag.Uint64("seed", 0, "seed of the first run, those after it count on; 0 draws one")
	pauseFlag  = flag.Duration("pause", 20*time.Millisecond, "mean think time of a client")
	keepFlag   = flag.Bool("keep", false, "leave the directories of the runs, with disks and logs")
	plainFlag  = flag.Bool("plain", false, "no namespaces and no disks, as where they cannot be had")
	binaryFlag = flag.String("purser", "", "path of the purser to run; one is built otherwise")
)

// TestChaos runs a cluster under 64 clients while the faults of a seeded plan happen
// to it, and checks that it has kept its word.
func TestChaos(t *testing.T) {
	ctx := interruptible(t)
	r := Run{Binary: purser(t), For: *forFlag, Pause: *pauseFlag, Keep: *keepFlag, Plain: *plainFlag, Logf: func(string, ...any) {}}
	if r.For == 0 {
		r.For = 15 * time.Second
		if testing.Short() {
			r.For = 6 * time.Second
		}
	}
	if *runsFlag == 1 {
		r.Logf = t.Logf
	}
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(rand.Uint32())
	}
	var all summary
	var missing atomic.Bool // said once
	var wg sync.WaitGroup
	next := make(chan uint64)
	for range min(*atOnceFlag, *runsFlag) {
		wg.Go(func() {
			for seed := range next {
				r := r
				r.Seed = seed
				f, err := r.Do(ctx)
				all.add(f, err)
				if err != nil {
					t.Errorf("FAILED: %v", err)
					continue
				}
				t.Logf("seed %d: %v", seed, f)
				if f.Missing != "" && missing.CompareAndSwap(false, true) {
					t.Log("not possible here: ", f.Missing)
				}
			}
		})
	}
	for i := range *runsFlag {
		select {
		case next <- seed + uint64(i):
			continue
		case <-ctx.Done():
			t.Errorf("after %d runs: %v", i, context.Cause(ctx))
		}
		break
	}
	close(next)
	wg.Wait()
	if *runsFlag > 1 {
		t.Log(&all)
	}
}

// interruptible returns a context that ends on an interrupt, and some time before
// the test would be cut off: there is something to take away then.
func interruptible(t *testing.T) context.Context {
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(stop)
	if deadline, ok := t.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-time.Minute))
		t.Cleanup(cancel)
	}
	return ctx
}

// purser is the path of the program under test.
func purser(t *testing.T) string {
	t.Helper()
	if *binaryFlag != "" {
		return *binaryFlag
	}
	path := filepath.Join(t.TempDir(), "purser")
	if err := site.Build(t.Context(), path, buildFlags...); err != nil {
		t.Fatal(err)
	}
	return path
}

// summary adds up the figures of all runs.
type summary struct {
	mu        sync.Mutex
	runs, bad int
	sum       Figures
}

func (s *summary) add(f Figures, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	if err != nil {
		s.bad++
	}
	if s.sum.Done == nil {
		s.sum.Done = map[Fault]int{}
	}
	for kind, count := range f.Done {
		s.sum.Done[kind] += count
	}
	r := &s.sum.Report
	r.Operations += f.Report.Operations
	r.Acknowledged += f.Report.Acknowledged
	r.Unknown += f.Report.Unknown
	r.Unresolved += f.Report.Unresolved
	r.LongestGap = max(r.LongestGap, f.Report.LongestGap)
	s.sum.Elections += f.Elections
	s.sum.Snapshots += f.Snapshots
	s.sum.Stall = max(s.sum.Stall, f.Stall)
}

func (s *summary) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%d runs, %d failed; all together, %v", s.runs, s.bad, s.sum)
}
