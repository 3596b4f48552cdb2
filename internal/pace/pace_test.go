package pace

import (
	"testing"
	"time"
)

// TestWorkRests: for each stretch of work nine of rest, and none for less work.
func TestWorkRests(t *testing.T) {
	var clock time.Time
	var rested time.Duration
	urgency := Calm
	b := Breather{
		now:     func() time.Time { return clock },
		sleep:   func(d time.Duration) { rested += d; clock = clock.Add(d) },
		urgency: func() Urgency { return urgency },
	}
	b.began = clock
	for range 10 {
		clock = clock.Add(workStretch / 4)
		b.After()
	}
	if want := 2 * time.Duration(Calm) * workStretch; rested != want {
		t.Errorf("rested %s after ten quarters of a stretch, want %s", rested, want)
	}
	clock = clock.Add(2 * workStretch)
	rested = 0
	b.After()
	if want := time.Duration(Calm) * (2*workStretch + workStretch/2); rested != want {
		t.Errorf("rested %s after a long piece, want %s", rested, want)
	}
	for _, urgency = range []Urgency{Hurried, Pressed} {
		clock = clock.Add(workStretch)
		rested = 0
		b.After()
		if want := time.Duration(urgency) * workStretch; rested != want {
			t.Errorf("rested %s at urgency %d, want %s", rested, urgency, want)
		}
	}
	urgency, rested = Calm, 0
	clock = clock.Add(time.Minute)
	b.After()
	if rested != longestRest {
		t.Errorf("rested %s after a stop, want %s", rested, longestRest)
	}
}
