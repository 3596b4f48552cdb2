package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Fault is a kind of thing that happens to the cluster.
type Fault string

// Faults that break a minority of the nodes, or for a moment all of them. There is
// one of them at a time.
const (
	Kill    Fault = "kill"     // kill -9 of one node
	KillAll Fault = "kill-all" // kill -9 of all nodes at once
	Pause   Fault = "pause"    // SIGSTOP: connections stay open, nobody answers
	Isolate Fault = "isolate"  // neither hears the others nor is heard
	Deaf    Fault = "deaf"     // does not hear the others
	Mute    Fault = "mute"     // is not heard by the others
	OneWay  Fault = "one-way"  // is not heard by the next node
	Bridge  Fault = "bridge"   // it and the next node cannot see each other, the third sees both
	Replace Fault = "replace"  // removed, its disk taken away, another one added under a new id
	Hang    Fault = "hang"     // the disk hangs until the process has ended itself
	Rolling Fault = "rolling"  // SIGTERM and start, one node after the other
)

// Faults that break nothing, and happen at any time.
const (
	Transfer Fault = "transfer" // the lead is handed over
	Snapshot Fault = "snapshot" // a node takes one
	Slow     Fault = "slow"     // the disk hangs and goes on in turns
)

// kind is what a plan knows of a fault.
type kind struct {
	fault      Fault
	weight     int           // how often it is among the faults of a round
	least      time.Duration // how long it lasts
	most       time.Duration
	takes      time.Duration // for what lasts as long as it takes: about how long that is
	cuts       bool          // needs a network that can be cut
	freezes    bool          // needs disks that freeze
	leaderOnly bool
	othersOnly bool
}

var breaking = []kind{
	{fault: Kill, weight: 3, least: 50 * time.Millisecond, most: 3 * time.Second},
	{fault: KillAll, weight: 1, least: 50 * time.Millisecond, most: time.Second},
	{fault: Pause, weight: 2, least: 200 * time.Millisecond, most: 4 * time.Second},
	{fault: Isolate, weight: 2, least: 200 * time.Millisecond, most: 4 * time.Second, cuts: true},
	{fault: Deaf, weight: 1, least: 200 * time.Millisecond, most: 4 * time.Second, cuts: true},
	{fault: Mute, weight: 1, least: 200 * time.Millisecond, most: 4 * time.Second, cuts: true},
	{fault: OneWay, weight: 1, least: 200 * time.Millisecond, most: 4 * time.Second, cuts: true},
	{fault: Bridge, weight: 1, least: 200 * time.Millisecond, most: 4 * time.Second, cuts: true},
	{fault: Replace, weight: 1, takes: 3 * time.Second, othersOnly: true},
	{fault: Hang, weight: 1, takes: 7 * time.Second, freezes: true, leaderOnly: true},
	{fault: Rolling, weight: 1, takes: 5 * time.Second},
}

var gentle = []kind{
	{fault: Transfer, weight: 2},
	{fault: Snapshot, weight: 2},
	{fault: Slow, weight: 1, least: 500 * time.Millisecond, most: 4 * time.Second, freezes: true},
}

// Step is one fault of a plan.
type Step struct {
	At    time.Duration // from the beginning; later if an earlier step takes longer
	Fault Fault
	// Rank says whom it hits: 0 the leader, 1 and 2 the machines that follow its
	// own.
	Rank int
	For  time.Duration // 0: as long as it takes
	// Frozen and Thawed are the turns of a slow disk.
	Frozen, Thawed time.Duration
}

func (s Step) String() string {
	text := fmt.Sprintf("%6.2fs %s %d", s.At.Seconds(), s.Fault, s.Rank)
	if s.For > 0 {
		text += fmt.Sprintf(" for %.2fs", s.For.Seconds())
	}
	if s.Frozen > 0 {
		text += fmt.Sprintf(" (%dms frozen, %dms not)", s.Frozen.Milliseconds(), s.Thawed.Milliseconds())
	}
	return text
}

// Plan is what happens in one run, in order of time.
type Plan []Step

func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

// Abilities is what can be done at a site.
type Abilities struct{ Cut, Freeze bool }

// NewPlan draws a plan for a time. It depends on nothing but its arguments.
func NewPlan(seed uint64, length time.Duration, can Abilities) Plan {
	d := drawer{rng: rand.New(rand.NewPCG(seed, 0)), can: can, length: length}
	plan := append(d.breaks(), d.disturbs()...)
	slices.SortStableFunc(plan, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return plan
}

// drawer draws a plan.
type drawer struct {
	rng    *rand.Rand
	can    Abilities
	length time.Duration
}

// breaks draws the breaking faults: one ends before the next begins. Each round of
// a shuffled deck has all kinds, so that a long run has each about as often as any
// other of its weight.
func (d *drawer) breaks() (plan Plan) {
	at := d.between(200*time.Millisecond, time.Second)
	for {
		before := len(plan)
		for _, k := range d.deck(breaking) {
			s := d.step(k)
			lasts := max(s.For, k.takes)
			if at+lasts > d.length {
				continue
			}
			s.At = at
			plan = append(plan, s)
			at += lasts + d.between(100*time.Millisecond, 2*time.Second)
		}
		if len(plan) == before {
			return plan
		}
	}
}

// disturbs draws the gentle faults, at any time; no disk is made slow while another
// one is.
func (d *drawer) disturbs() (plan Plan) {
	var steady time.Duration // until then a disk is slow
	at := d.between(0, time.Second)
	for {
		for _, k := range d.deck(gentle) {
			if at > d.length {
				return plan
			}
			s := d.step(k)
			s.At = at
			at += d.between(200*time.Millisecond, 4*time.Second)
			if k.freezes {
				if s.At < steady {
					continue
				}
				steady = s.At + s.For
				s.Frozen, s.Thawed = d.between(20*time.Millisecond, 200*time.Millisecond), d.between(2*time.Millisecond, 20*time.Millisecond)
			}
			plan = append(plan, s)
		}
	}
}

// deck returns the kinds that are possible, as often as their weights say, in any
// order.
func (d *drawer) deck(kinds []kind) (deck []kind) {
	for _, k := range kinds {
		for range k.weight {
			if (d.can.Cut || !k.cuts) && (d.can.Freeze || !k.freezes) {
				deck = append(deck, k)
			}
		}
	}
	d.rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	return deck
}

// step draws whom a fault hits, half the time the leader, and how long.
func (d *drawer) step(k kind) Step {
	s := Step{Fault: k.fault}
	if !k.leaderOnly && (k.othersOnly || d.rng.IntN(2) == 0) {
		s.Rank = 1 + d.rng.IntN(2)
	}
	if k.most > 0 {
		s.For = d.between(k.least, k.most)
	}
	return s
}

func (d *drawer) between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.rng.Int64N(int64(most-least)))
}
