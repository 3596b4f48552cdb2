package raftfsm

import (
	"io"
	"time"
)

// A snapshot of many accounts is a second of work for a CPU and the disk, which
// payments need as well: it works for a stretch, and rests for nine.
const (
	workStretch = time.Millisecond / 2
	restPerWork = 9
)

// breather spreads long work over time. It belongs to one goroutine.
type breather struct {
	now   func() time.Time
	sleep func(time.Duration)
	began time.Time // of the stretch under way
}

func newBreather() *breather {
	return &breather{now: time.Now, sleep: time.Sleep, began: time.Now()}
}

// after is called between two small pieces of the work.
func (b *breather) after() {
	if worked := b.now().Sub(b.began); worked >= workStretch {
		b.sleep(restPerWork * worked)
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
