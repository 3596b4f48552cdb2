package raftfsm

import (
	"io"
	"time"
)

// A snapshot of many accounts is a second of work for a CPU and the disk, which
// payments need as well: it works for a stretch, and rests for nine. In a hurry it
// rests for one.
const (
	workStretch  = time.Millisecond / 2
	restPerWork  = 9
	restInAHurry = 1
)

// breather spreads long work over time. It belongs to one goroutine.
type breather struct {
	now   func() time.Time
	sleep func(time.Duration)
	hurry func() bool // asked before each rest
	began time.Time   // of the stretch under way
}

// newBreather begins a stretch. Without hurry there is none, ever.
func newBreather(hurry func() bool) *breather {
	if hurry == nil {
		hurry = func() bool { return false }
	}
	return &breather{now: time.Now, sleep: time.Sleep, hurry: hurry, began: time.Now()}
}

// after is called between two small pieces of the work.
func (b *breather) after() {
	if worked := b.now().Sub(b.began); worked >= workStretch {
		rest := time.Duration(restPerWork)
		if b.hurry() {
			rest = restInAHurry
		}
		b.sleep(rest * worked)
		b.began = b.now()
	}
}

// restingReader rests between reads.
type restingReader struct {
	io.Reader
	rest *breather
}

func (r restingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.rest.after()
	return n, err
}
