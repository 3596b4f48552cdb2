package raftfsm

import (
	"testing"
	"time"
)

// TestWorkRests: for each stretch of work nine of rest, and none for less work.
func TestWorkRests(t *testing.T) {
	var clock time.Time
	var rested time.Duration
	late := false
	b := breather{
		now:   func() time.Time { return clock },
		sleep: func(d time.Duration) { rested += d; clock = clock.Add(d) },
		hurry: func() bool { return late },
	}
	b.began = clock
	for range 10 {
		clock = clock.Add(workStretch / 4)
		b.after()
	}
	if want := 2 * restPerWork * workStretch; rested != want {
		t.Errorf("rested %s after ten quarters of a stretch, want %s", rested, want)
	}
	clock = clock.Add(2 * workStretch)
	rested = 0
	b.after()
	if want := restPerWork * (2*workStretch + workStretch/2); rested != want {
		t.Errorf("rested %s after a long piece, want %s", rested, want)
	}
	clock = clock.Add(workStretch)
	rested, late = 0, true
	b.after()
	if want := restInAHurry * workStretch; rested != want {
		t.Errorf("rested %s in a hurry, want %s", rested, want)
	}
}
