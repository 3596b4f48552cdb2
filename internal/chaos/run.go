//go:build linux || darwin

package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"purser/internal/chaos/clients"
	"purser/internal/chaos/site"
)

// Run is one run of the suite.
type Run struct {
	Binary string        // purser
	Seed   uint64        // of the plan and of what the clients do
	For    time.Duration // how long faults happen
	Pause  time.Duration // mean think time of a client
	Keep   bool          // the directory of the site
	Plain  bool          // no namespaces and no disks
	Logf   func(format string, args ...any)
}

// Figures are what is told of a run.
type Figures struct {
	Done      map[Fault]int
	Report    clients.Report
	Elections uint64
	Snapshots int           // installed on nodes that were too far behind
	Stall     time.Duration // the longest time in which the whole machine stood still
	Missing   string        // what cannot be done here
}

func (f Figures) String() string {
	var faults []string
	for _, kind := range slices.Sorted(maps.Keys(f.Done)) {
		faults = append(faults, fmt.Sprintf("%s %d", kind, f.Done[kind]))
	}
	r := f.Report
	if len(faults) == 0 {
		faults = []string{"no plan"}
	}
	text := fmt.Sprintf("%s; %d acknowledged, longest gap %.2fs; %d unknown outcomes, %d unresolved; %d elections, %d snapshots installed",
		strings.Join(faults, ", "), r.Acknowledged, r.LongestGap.Seconds(), r.Unknown, r.Unresolved, f.Elections, f.Snapshots)
	if f.Stall > 0 {
		text += fmt.Sprintf("; the machine stood still for %.2fs", f.Stall.Seconds())
	}
	return text
}

// serverFlags make snapshots so frequent that a node which was away for a second or
// two needs one, and have the nodes say all that happens.
var serverFlags = []string{"--snapshot-bytes=65536", "--debug"}

// Do runs a cluster and its clients, does to them what the plan of the seed says,
// heals everything, and checks. The error joins all that is wrong, with what the
// nodes said last and the plan.
func (r Run) Do(ctx context.Context) (Figures, error) {
	var plan Plan
	f, err := r.with(ctx, func(ctx context.Context, on *stage) error {
		plan = NewPlan(r.Seed, r.For, Abilities{Cut: on.site.CanCut(), Freeze: on.site.CanFreeze()})
		return on.run(ctx, plan)
	})
	if err != nil {
		err = fmt.Errorf("seed %d: %w\nplan:\n%s", r.Seed, err, plan)
	}
	return f, err
}

// stage is a cluster under load.
type stage struct {
	*nemesis
	load  *clients.Load
	stood *stalls
}

// script is what happens on a stage.
type script func(context.Context, *stage) error

// with is a run of a script.
func (r Run) with(ctx context.Context, script script) (f Figures, err error) {
	s, err := site.Open(ctx, site.Config{Binary: r.Binary, Flags: serverFlags, Keep: r.Keep, Plain: r.Plain})
	if err != nil {
		return f, err
	}
	f.Missing = s.Missing
	n := newNemesis(s, r.Logf)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, account(s))
		}
		err = errors.Join(err, s.Close())
	}()
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var stood stalls
	go stood.watch(watching)
	began := time.Now()
	err = r.perform(ctx, &stage{nemesis: n, stood: &stood}, script, &f)
	f.Done, f.Stall = n.done, stood.longest(began, time.Now())
	for _, fault := range s.Faults() {
		if !excused(fault, &stood) {
			err = errors.Join(err, fault)
		}
	}
	return f, err
}

// perform sets a stage, has the script happen on it, and checks.
func (r Run) perform(ctx context.Context, on *stage, script script, f *Figures) (err error) {
	n := on.nemesis
	if err := n.begin(ctx); err != nil {
		return err
	}
	cfg := clients.Config{Seed: r.Seed, Pause: r.Pause}
	for _, m := range n.site.Machines {
		cfg.APIs, cfg.Admins = append(cfg.APIs, m.API()), append(cfg.Admins, m.Admin())
	}
	before := n.term(ctx)
	if on.load, err = clients.Start(ctx, cfg); err != nil {
		return err
	}
	faults := []error{script(ctx, on), n.recover(ctx, on.load)}
	r.Logf("healed")
	stopping, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	faults = append(faults, on.load.Stop(stopping))
	r.Logf("stopped, every outcome is known")
	f.Elections = n.term(ctx) - before
	if err := errors.Join(faults...); err != nil {
		return err
	}
	if f.Report, err = r.check(ctx, n, on.load); err != nil {
		return err
	}
	f.Snapshots, err = n.installed()
	return errors.Join(err, n.end(ctx))
}

// check has all nodes come to the same point, and holds their books against the
// history, against themselves, and against what a backup has.
func (r Run) check(ctx context.Context, n *nemesis, load *clients.Load) (clients.Report, error) {
	if err := n.settled(ctx); err != nil {
		return clients.Report{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	report, err := load.Check(ctx)
	faults := []error{err}
	for _, m := range n.site.Machines {
		faults = append(faults, m.Verify(ctx))
	}
	which := n.site.Machines[r.Seed%site.Size]
	return report, errors.Join(append(faults, which.VerifyBackup(ctx))...)
}

// excused reports whether a node may have ended: if the machine stood still in the
// midst of a write, the write took longer than one may.
func excused(fault error, stood *stalls) bool {
	end, ok := errors.AsType[*site.EndError](fault)
	return ok && end.Code == storageExit && stood.longest(end.At.Add(-10*time.Second), end.At.Add(time.Second)) > time.Second
}

// account is what helps to understand a run that failed.
func account(s *site.Site) string {
	var b strings.Builder
	for i, m := range s.Machines {
		fmt.Fprintf(&b, "machine %d, last lines of its log:\n%s", i+1, m.Tail(60))
	}
	return b.String()
}
