package eventloop

import (
	"sync"
	"sync/atomic"
	"time"
)

// alarm is a deadline of a connection. The zero value is none.
//
// To move one is cheap as long as it is moved further away: the timer, once it goes
// off, is set anew for what is left. A busy connection moves one for every request.
type alarm struct {
	ring   func()       // called when the deadline has passed, on a goroutine of its own
	struck atomic.Bool  // the deadline has passed
	at     atomic.Int64 // nanoseconds since the Unix epoch, 0 for none
	next   atomic.Int64 // when the timer goes off, 0 if it is not set

	mu      sync.Mutex // of the timer
	timer   *time.Timer
	stopped bool
}

// set replaces the deadline; a zero t is none.
func (a *alarm) set(t time.Time) {
	at := int64(0)
	if !t.IsZero() {
		at = t.UnixNano()
	}
	a.at.Store(at)
	if a.struck.Load() {
		a.struck.Store(false)
	}
	if next := a.next.Load(); at != 0 && (next == 0 || at < next) {
		a.wind()
	}
}

// passed reports whether there is a deadline that has passed.
func (a *alarm) passed() bool {
	at := a.at.Load()
	return at != 0 && time.Now().UnixNano() >= at
}

// wind sets the timer to go off at the deadline.
func (a *alarm) wind() {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.at.Load()
	if a.stopped || at == 0 {
		return
	}
	a.next.Store(at)
	left := time.Until(time.Unix(0, at))
	if a.timer == nil {
		a.timer = time.AfterFunc(left, a.wake)
	} else {
		a.timer.Reset(left)
	}
}

// wake is what the timer calls.
func (a *alarm) wake() {
	a.next.Store(0)
	if a.passed() {
		a.struck.Store(true)
		if a.passed() {
			a.ring()
			return
		}
		a.struck.Store(false) // it was moved meanwhile
	}
	a.wind()
}

// stop ends the alarm for good.
func (a *alarm) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	a.at.Store(0)
	if a.timer != nil {
		a.timer.Stop()
	}
}
