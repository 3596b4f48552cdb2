package clients

import (
	"slices"
	"sync"
	"time"
)

// history is everything that the clients of a load did and saw. Its methods are
// safe for concurrent use; the operations in it are read by others only once
// they are finished.
type history struct {
	began time.Time

	mu       sync.Mutex
	ops      []*operation // finished or left, in the order of that
	acks     int64        // acknowledged movements
	lastAck  int64        // when the newest was, 0 for none
	longest  int64        // between two of them
	stopped  int64        // when the clients were told to stop, 0 while they run
	findings []string     // answers that no client should ever get
}

// now is the time since the load began, in nanoseconds, at least 1.
func (h *history) now() int64 { return max(1, int64(time.Since(h.began))) }

// add takes in an operation that its client is done with.
func (h *history) add(o *operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
	h.acknowledge(o)
}

// acknowledge counts o if it is an acknowledgement. The caller holds mu.
func (h *history) acknowledge(o *operation) {
	n := acknowledgements(o)
	if n == 0 {
		return
	}
	h.acks += n
	if h.lastAck > 0 && h.stopped == 0 {
		h.longest = max(h.longest, o.ret-h.lastAck)
	}
	h.lastAck = max(h.lastAck, o.ret)
}

// acknowledgements is the number of movements of money that o's answer
// acknowledges.
func acknowledgements(o *operation) (n int64) {
	o.commands(func(c *operation) {
		if c.accepted() {
			n++
		}
	})
	return n
}

// gap is the longest time without an acknowledgement so far, the running one
// included.
func (h *history) gap() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	longest, until := h.longest, h.stopped
	if until == 0 {
		until = h.now()
	}
	if h.lastAck > 0 {
		longest = max(longest, until-h.lastAck)
	}
	return time.Duration(longest)
}

func (h *history) acknowledged() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.acks
}

func (h *history) find(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.findings) < 20 {
		h.findings = append(h.findings, text)
	}
}

// stop freezes the gap.
func (h *history) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped == 0 {
		h.stopped = h.now()
	}
}

// all returns the operations so far.
func (h *history) all() []*operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.ops)
}

// each calls visit with the operations from the i-th on, and returns how many
// there are in all. What visit sees of them does not change meanwhile.
func (h *history) each(i int, visit func(*operation)) (next int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.ops[i:] {
		visit(o)
	}
	return len(h.ops)
}
