// Package pace spreads long work over time, so that whoever needs the same CPUs and
// the same disk meanwhile hardly waits for it.
package pace

import (
	"io"
	"time"
)

const (
	// workStretch is how long work goes on before it rests.
	workStretch = time.Millisecond / 2
	// longestRest bounds a rest: a stretch can be long without work, because the disk
	// hung or the process was stopped, and the urgency can change during a rest.
	longestRest = 50 * time.Millisecond
)

// Urgency is how many times as long as it worked a piece of work rests, up to a
// bound.
type Urgency time.Duration

// From work that nobody waits for to work that may not wait itself.
const (
	Calm    Urgency = 9
	Hurried Urgency = 1
	Pressed Urgency = 0
)

// Breather makes one piece of long work rest. It belongs to one goroutine.
type Breather struct {
	now     func() time.Time
	sleep   func(time.Duration)
	urgency func() Urgency
	began   time.Time // of the stretch under way
}

// NewBreather begins a stretch. urgency is asked before each rest; nil is always
// Calm.
func NewBreather(urgency func() Urgency) *Breather {
	if urgency == nil {
		urgency = func() Urgency { return Calm }
	}
	return &Breather{now: time.Now, sleep: time.Sleep, urgency: urgency, began: time.Now()}
}

// After is called between two small pieces of the work.
func (b *Breather) After() {
	if worked := b.now().Sub(b.began); worked >= workStretch {
		b.sleep(min(time.Duration(b.urgency())*worked, longestRest))
		b.began = b.now()
	}
}

// Reader rests between reads.
type Reader struct {
	io.Reader
	Rest *Breather
}

func (r Reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.Rest.After()
	return n, err
}
