package chaos

import (
	"reflect"
	"testing"
	"time"
)

var everything = Abilities{Cut: true, Freeze: true}

// TestPlan: a plan follows from its seed, breaks one thing at a time, ends in time,
// and has nothing in it that is not possible.
func TestPlan(t *testing.T) {
	kinds := map[Fault]kind{}
	for _, k := range append(breaking[:len(breaking):len(breaking)], gentle...) {
		kinds[k.fault] = k
	}
	for seed := range uint64(300) {
		length := time.Duration(5+seed%60) * time.Second
		can := Abilities{Cut: seed%2 == 0, Freeze: seed%3 == 0}
		plan := NewPlan(seed, length, can)
		if !reflect.DeepEqual(plan, NewPlan(seed, length, can)) {
			t.Fatalf("seed %d has two plans", seed)
		}
		if reflect.DeepEqual(plan, NewPlan(seed+1, length, can)) {
			t.Fatalf("seeds %d and %d have the same plan", seed, seed+1)
		}
		var free, at time.Duration // when the next fault may break something
		broken := 0
		for _, s := range plan {
			k, ok := kinds[s.Fault]
			switch {
			case !ok || k.cuts && !can.Cut || k.freezes && !can.Freeze:
				t.Errorf("seed %d: %v is not possible", seed, s)
			case s.At < at || s.At > length || s.For < k.least || s.For > k.most:
				t.Errorf("seed %d: %v is out of bounds", seed, s)
			case s.Rank < 0 || s.Rank > 2 || k.leaderOnly && s.Rank != 0 || k.othersOnly && s.Rank == 0:
				t.Errorf("seed %d: %v hits the wrong one", seed, s)
			}
			at = s.At
			if s.Fault == Transfer || s.Fault == Snapshot || s.Fault == Slow {
				continue
			}
			broken++
			if s.At < free || s.At+s.For > length {
				t.Errorf("seed %d: %v, but others last until %v and all until %v", seed, s, free, length)
			}
			free = s.At + max(s.For, k.takes)
		}
		if broken == 0 {
			t.Errorf("seed %d breaks nothing in %v", seed, length)
		}
	}
}

// TestPlanHasEverything: no kind is forgotten, as one would be that never fits.
func TestPlanHasEverything(t *testing.T) {
	total := map[Fault]int{}
	for seed := range uint64(100) {
		for _, s := range NewPlan(seed, time.Minute, everything) {
			total[s.Fault]++
		}
	}
	for _, k := range append(breaking[:len(breaking):len(breaking)], gentle...) {
		if total[k.fault] < 30*k.weight {
			t.Errorf("100 minutes have %s %d times", k.fault, total[k.fault])
		}
	}
}
