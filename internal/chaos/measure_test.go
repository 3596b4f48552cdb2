//go:build linux || darwin

package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"purser/internal/chaos/site"
)

var (
	killsFlag     = flag.Int("kills", 0, "times that TestLeaderKilled kills the leader")
	hangsFlag     = flag.Int("hangs", 0, "times that TestLeaderHangs hangs the leader's disk")
	pausesFlag    = flag.Int("pauses", 0, "times that TestFollowerPaused stops a follower")
	transfersFlag = flag.Int("transfers", 0, "times that TestLeaderTransferred hands the lead over")
)

// measure runs one that measures, and checks that the cluster kept its word meanwhile.
func measure(t *testing.T, name string, times int, script script) {
	t.Helper()
	if times == 0 {
		t.Skipf("it measures and takes long: -args -%s=N", name)
	}
	r := Run{Binary: purser(t), Seed: 1, Pause: *pauseFlag, Keep: *keepFlag, Plain: *plainFlag, Logf: t.Logf}
	f, err := r.with(interruptible(t), script)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(f)
}

// times are durations that were measured.
type times []time.Duration

// quantile returns the smallest time that a part of all does not exceed.
func (d times) quantile(part float64) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[max(int(math.Ceil(part*float64(len(d))))-1, 0)]
}

func (d times) String() string {
	if len(d) == 0 {
		return "nothing measured"
	}
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("p50 %v, p99 %v, max %v of %d", ms(d.quantile(0.5)), ms(d.quantile(0.99)), ms(slices.Max(d)), len(d))
}

// outages measures, so many times, how long after something happened to the leader
// another node acknowledges a payment that was asked for after it. Whatever took
// place while the whole machine stood still is measured again.
func (on *stage) outages(ctx context.Context, count int, happen, after func(*site.Machine) error) (took times, err error) {
	stood := 0
	for len(took) < count {
		leader, err := on.steadyLeader(ctx)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if err := happen(leader); err != nil {
			return nil, err
		}
		happened := time.Now()
		waited, err := on.load.AwaitAcknowledgement(ctx, happened)
		if err != nil {
			return nil, err
		}
		outage := happened.Sub(began) + waited
		if stall := on.stood.longest(began, began.Add(outage+time.Second)); stall > 0 {
			stood++
		} else {
			took = append(took, outage)
			on.logf("%d: %s, %v", len(took), leader.ID(), outage.Round(time.Millisecond))
		}
		if err := after(leader); err != nil {
			return nil, err
		}
	}
	if stood > 0 {
		on.logf("%d times more, when the machine stood still", stood)
	}
	return took, nil
}

// steadyLeader waits until all nodes take requests and payments go on, and returns
// the leader.
func (on *stage) steadyLeader(ctx context.Context) (leader *site.Machine, err error) {
	if err := on.recover(ctx, on.load); err != nil {
		return nil, err
	}
	leader, err = on.leader(ctx)
	return leader, errors.Join(err, sleep(ctx, time.Second))
}

// TestLeaderKilled measures how long it takes until the others go on when the leader
// is killed with -9.
func TestLeaderKilled(t *testing.T) {
	measure(t, "kills", *killsFlag, func(ctx context.Context, on *stage) error {
		took, err := on.outages(ctx, *killsFlag, (*site.Machine).Kill, (*site.Machine).Start)
		t.Logf("leader killed, until the next acknowledgement: %v (goal: p99 3 s)", took)
		return err
	})
}

// TestLeaderHangs measures how long it takes until the others go on when the disk of
// the leader hangs.
func TestLeaderHangs(t *testing.T) {
	measure(t, "hangs", *hangsFlag, func(ctx context.Context, on *stage) error {
		if !on.site.CanFreeze() {
			t.Skip(on.site.Missing)
		}
		took, err := on.outages(ctx, *hangsFlag, (*site.Machine).Hang, func(m *site.Machine) error { return on.hung(ctx, m) })
		t.Logf("the leader's disk hangs, until the next acknowledgement: %v (goal: 10 s)", took)
		return err
	})
}

// TestLeaderTransferred measures how long nobody gets an answer when the lead is
// handed over.
func TestLeaderTransferred(t *testing.T) {
	const around = 2 * time.Second
	measure(t, "transfers", *transfersFlag, func(ctx context.Context, on *stage) error {
		var gaps, usual times
		for len(gaps) < *transfersFlag {
			leader, err := on.steadyLeader(ctx)
			if err != nil {
				return err
			}
			before := time.Now()
			if err := sleep(ctx, around); err != nil {
				return err
			}
			began := time.Now()
			to, _ := on.after(leader)
			if err := leader.Transfer(ctx, to.ID()); err != nil {
				on.logf("not transferred: %v", err)
				continue
			}
			if err := sleep(ctx, around); err != nil {
				return err
			}
			if on.stood.longest(before, time.Now()) > 0 {
				continue
			}
			usual = append(usual, on.load.Window(before, began).Gap)
			gaps = append(gaps, on.load.Window(began, time.Now()).Gap)
		}
		t.Logf("lead handed over, longest time without an acknowledgement: %v; without a transfer: %v", gaps, usual)
		return nil
	})
}

// TestFollowerPaused compares how long payments take before and while a follower is
// stopped, at the nodes that are not.
func TestFollowerPaused(t *testing.T) {
	const window = 10 * time.Second
	measure(t, "pauses", *pausesFlag, func(ctx context.Context, on *stage) error {
		var before, during times
		for len(before) < *pausesFlag {
			leader, err := on.steadyLeader(ctx)
			if err != nil {
				return err
			}
			follower, _ := on.after(leader)
			var others []int
			for i, m := range on.site.Machines {
				if m != follower {
					others = append(others, i)
				}
			}
			began := time.Now()
			if err := sleep(ctx, window); err != nil {
				return err
			}
			paused := time.Now()
			if err := errors.Join(follower.Pause(), sleep(ctx, window), follower.Resume()); err != nil {
				return err
			}
			ended := time.Now()
			if on.stood.longest(began, ended) > 0 {
				continue
			}
			a, b := on.load.Window(began, paused, others...), on.load.Window(paused, ended, others...)
			before, during = append(before, a.P99), append(during, b.P99)
			on.logf("before %.0f/s, p50 %v, p99 %v; while it is stopped %.0f/s, p50 %v, p99 %v: %.2f of it",
				a.Rate, a.P50, a.P99, b.Rate, b.P50, b.P99, b.P99.Seconds()/a.P99.Seconds())
		}
		t.Logf("p99 of payments before a follower is stopped: %v; meanwhile: %v; medians %.2f of each other (goal: 2)",
			before, during, during.quantile(0.5).Seconds()/before.quantile(0.5).Seconds())
		return nil
	})
}
