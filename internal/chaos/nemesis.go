//go:build linux || darwin

package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"purser/internal/chaos/clients"
	"purser/internal/chaos/site"
)

// patience bounds what has to happen soon, far above what it takes, also on a
// machine that stands still for a minute.
const patience = 10 * time.Minute

// nemesis does to a site what a plan says.
type nemesis struct {
	site *site.Site
	logf func(format string, args ...any)

	mu   sync.Mutex
	last int           // machine that led when somebody asked last
	done map[Fault]int // what has happened, by kind
}

func newNemesis(s *site.Site, logf func(string, ...any)) *nemesis {
	return &nemesis{site: s, logf: logf, done: map[Fault]int{}}
}

// run follows the plan and returns when everything in it has happened and is over.
// Its error is what the cluster did not survive as it should.
func (n *nemesis) run(ctx context.Context, plan Plan) error {
	began := time.Now()
	var streams [2]Plan // breaking and gentle faults go on beside each other
	for _, s := range plan {
		which := 0
		if s.Fault == Transfer || s.Fault == Snapshot || s.Fault == Slow {
			which = 1
		}
		streams[which] = append(streams[which], s)
	}
	var wg sync.WaitGroup
	var faults [2]error
	for i, stream := range streams {
		wg.Go(func() {
			for _, s := range stream {
				if faults[i] = n.step(ctx, began, s); faults[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(faults[:]...)
}

func (n *nemesis) step(ctx context.Context, began time.Time, s Step) error {
	if err := sleep(ctx, time.Until(began.Add(s.At))); err != nil {
		return err
	}
	m := n.target(ctx, s.Rank)
	n.logf("%6.2fs %s: %s of %s", time.Since(began).Seconds(), s, s.Fault, m.ID())
	if err := n.act(ctx, m, s); err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.done[s.Fault]++
	return nil
}

// target is the machine of the leader, or one of those that follow it in their
// order. Without a leader that of the last one stands for it.
func (n *nemesis) target(ctx context.Context, rank int) *site.Machine {
	leader := n.site.Leader(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, m := range n.site.Machines {
		if m == leader {
			n.last = i
		}
	}
	return n.site.Machines[(n.last+rank)%site.Size]
}

// after returns the two other machines, in the order in which they follow m.
func (n *nemesis) after(m *site.Machine) (next, third *site.Machine) {
	all := n.site.Machines
	for i := range all {
		if all[i] == m {
			return all[(i+1)%site.Size], all[(i+2)%site.Size]
		}
	}
	panic("chaos: no such machine")
}

// act does one step, from its beginning to its end.
func (n *nemesis) act(ctx context.Context, m *site.Machine, s Step) error {
	next, third := n.after(m)
	switch s.Fault {
	case Kill:
		return n.during(ctx, s, m.Kill, m.Start)
	case KillAll:
		return n.during(ctx, s, n.killAll, n.startAll)
	case Pause:
		return n.during(ctx, s, m.Pause, m.Resume)
	case Isolate:
		return n.cut(ctx, s, way{m, next}, way{m, third}, way{next, m}, way{third, m})
	case Deaf:
		return n.cut(ctx, s, way{next, m}, way{third, m})
	case Mute:
		return n.cut(ctx, s, way{m, next}, way{m, third})
	case OneWay:
		return n.cut(ctx, s, way{m, next})
	case Bridge:
		return n.cut(ctx, s, way{m, next}, way{next, m})
	case Replace:
		return n.replace(ctx, m)
	case Hang:
		return n.hang(ctx)
	case Rolling:
		return n.rolling(ctx)
	case Transfer:
		n.attempt(ctx, s, func(ctx context.Context) error { return m.Transfer(ctx, next.ID()) })
	case Snapshot:
		n.attempt(ctx, s, m.Snapshot)
	case Slow:
		return n.during(ctx, s, func() error { return m.Slow(s.Frozen, s.Thawed) }, m.Steady)
	}
	return nil
}

// during begins something, and ends it after the time of the step.
func (n *nemesis) during(ctx context.Context, s Step, begin, end func() error) error {
	if err := begin(); err != nil {
		return err
	}
	return errors.Join(sleep(ctx, s.For), end())
}

func (n *nemesis) killAll() error {
	var wg sync.WaitGroup
	var faults [site.Size]error
	for i, m := range n.site.Machines {
		wg.Go(func() { faults[i] = m.Kill() })
	}
	wg.Wait()
	return errors.Join(faults[:]...)
}

func (n *nemesis) startAll() error {
	var faults []error
	for _, m := range n.site.Machines {
		faults = append(faults, m.Start())
	}
	return errors.Join(faults...)
}

// way is a direction between two machines.
type way struct{ from, to *site.Machine }

func (n *nemesis) cut(ctx context.Context, s Step, ways ...way) error {
	return n.during(ctx, s, func() error {
		var faults []error
		for _, w := range ways {
			faults = append(faults, n.site.Cut(ctx, w.from, w.to))
		}
		return errors.Join(faults...)
	}, func() error { return n.site.Heal(ctx) })
}

// attempt does what may be refused, while nodes are broken.
func (n *nemesis) attempt(ctx context.Context, s Step, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := do(ctx); err != nil {
		n.logf("%s: %v", s.Fault, err)
	}
}

// replace removes a member and puts another one in its place: its machine gets an
// empty disk and starts under a new id. It returns once the new one votes.
func (n *nemesis) replace(ctx context.Context, m *site.Machine) error {
	old := m.ID()
	err := n.until(ctx, old+" is removed", func(ctx context.Context) bool {
		leader := n.site.Leader(ctx)
		if leader == m { // it leads by now
			next, _ := n.after(m)
			leader = nil
			_ = m.Transfer(ctx, next.ID()) // the next look says what came of it
		}
		if leader == nil {
			return false
		}
		status, err := leader.Status(ctx)
		return err == nil && !status.Has(old) || leader.Remove(ctx, old) == nil
	})
	if err != nil {
		return err
	}
	if err := m.Wipe(ctx); err != nil {
		return err
	}
	if err := m.Start(); err != nil {
		return err
	}
	return n.until(ctx, m.ID()+" votes", func(ctx context.Context) bool {
		leader := n.site.Leader(ctx)
		if leader == nil {
			return false
		}
		status, err := leader.Status(ctx)
		return err == nil && status.Has(m.ID()) && status.Voters() == site.Size
	})
}

// storageExit is the exit code of a server whose storage failed.
const storageExit = 5

// hang freezes the disk of the leader until its process has ended itself for that. It
// waits for one that leads: a process that starts may take its time.
func (n *nemesis) hang(ctx context.Context) error {
	leader, err := n.leader(ctx)
	if err != nil {
		return err
	}
	if err := leader.Hang(); err != nil {
		return err
	}
	return n.hung(ctx, leader)
}

// leader waits for a node that leads.
func (n *nemesis) leader(ctx context.Context) (leader *site.Machine, err error) {
	err = n.until(ctx, "a node leads", func(ctx context.Context) bool {
		leader = n.site.Leader(ctx)
		return leader != nil
	})
	return leader, err
}

// hung waits until the process whose disk hangs has ended itself, and starts it
// again. It can be seen to be gone only after the thaw: a thread of it hangs in a
// write until then.
func (n *nemesis) hung(ctx context.Context, m *site.Machine) error {
	err := n.until(ctx, m.ID()+" ends itself", func(context.Context) bool {
		said, err := m.Said("storage failed")
		return err == nil && said
	})
	if err := errors.Join(err, m.Mend()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	code, err := m.AwaitEnd(ctx)
	if err != nil {
		return err
	}
	if code != storageExit {
		return fmt.Errorf("exit code %d after a write hung, want %d", code, storageExit)
	}
	return m.Start()
}

// rolling restarts one node after the other, as for an upgrade, once all are ready.
func (n *nemesis) rolling(ctx context.Context) error {
	if err := n.ready(ctx, n.site.Machines[:]...); err != nil {
		return err
	}
	for _, m := range n.site.Machines {
		ending, cancel := context.WithTimeout(ctx, patience)
		err := m.Terminate(ending)
		cancel()
		if err != nil {
			return err
		}
		if err := m.Start(); err != nil {
			return err
		}
		if err := n.ready(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// heal ends whatever is left of the plan, and starts the nodes that are down.
func (n *nemesis) heal(ctx context.Context) error {
	faults := []error{n.site.Heal(ctx)}
	for _, m := range n.site.Machines {
		faults = append(faults, m.Resume(), m.Mend(), m.Start())
	}
	return errors.Join(faults...)
}

// ready waits until the nodes take requests.
func (n *nemesis) ready(ctx context.Context, machines ...*site.Machine) error {
	for _, m := range machines {
		err := n.until(ctx, m.ID()+" is ready", func(ctx context.Context) bool {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			return m.Ready(ctx) == nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// settled waits until all nodes have applied the same, to the same effect.
func (n *nemesis) settled(ctx context.Context) error {
	var last string
	err := n.until(ctx, "all nodes are at the same point", func(ctx context.Context) bool {
		same := true
		last = ""
		all := n.site.Statuses(ctx)
		for _, s := range all {
			if s == nil {
				return false
			}
			last += fmt.Sprintf(" %s %d %s;", s.Node, s.AppliedIndex, s.Digest)
			same = same && s.AppliedIndex == all[0].AppliedIndex && s.Digest == all[0].Digest
		}
		return same
	})
	if err != nil {
		return fmt.Errorf("%w:%s", err, last)
	}
	return nil
}

// until polls what is bound to become true. What takes long in one look, because the
// machine stood still, counts for little.
func (n *nemesis) until(ctx context.Context, what string, holds func(context.Context) bool) error {
	const enough, atMost = 3 * time.Minute, 5 * time.Second
	for waited := time.Duration(0); waited < enough; {
		began := time.Now()
		looking, cancel := context.WithTimeout(ctx, 30*time.Second)
		held := holds(looking)
		cancel()
		if held {
			return nil
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("waiting, %s: %w", what, err)
		}
		waited += min(time.Since(began), atMost)
	}
	return fmt.Errorf("never happened: %s", what)
}

// begin starts all nodes and waits until they are a cluster.
func (n *nemesis) begin(ctx context.Context) error {
	if err := n.startAll(); err != nil {
		return err
	}
	return n.ready(ctx, n.site.Machines[:]...)
}

// recover heals everything, and waits until all nodes take requests and payments go
// on.
func (n *nemesis) recover(ctx context.Context, load *clients.Load) error {
	if err := n.heal(ctx); err != nil {
		return err
	}
	if err := n.ready(ctx, n.site.Machines[:]...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := load.AwaitAcknowledgement(ctx, time.Now())
	return err
}

// end stops the nodes as an operator would.
func (n *nemesis) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var faults []error
	for _, m := range n.site.Machines {
		faults = append(faults, m.Terminate(ctx))
	}
	return errors.Join(faults...)
}

// term is the greatest term of the nodes that answer.
func (n *nemesis) term(ctx context.Context) (term uint64) {
	for _, s := range n.site.Statuses(ctx) {
		if s != nil {
			term = max(term, s.Term)
		}
	}
	return term
}

// installed counts the snapshots that nodes got from their leaders.
func (n *nemesis) installed() (count int, err error) {
	for _, m := range n.site.Machines {
		c, fault := m.Count("Installed remote snapshot")
		count, err = count+c, errors.Join(err, fault)
	}
	return count, err
}
