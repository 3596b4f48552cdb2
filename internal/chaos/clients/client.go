package clients

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// patiences are how long clients wait for an answer. Some give up while the
// request is still under way, which is what makes retries meet their first try.
var patiences = []time.Duration{5 * time.Second, 8 * time.Second, 1500 * time.Millisecond, 6 * time.Second}

const (
	// avoidFor is how long a client goes elsewhere after a node did not answer.
	avoidFor = 5 * time.Second
	// leaveOneIn of the requests without an outcome are left for Stop.
	leaveOneIn = 4
	// Pauses between the tries of one request.
	firstPause = 10 * time.Millisecond
	maxPause   = 250 * time.Millisecond
	// Of so many clients one only reads, and gives up soon: so there are reads on
	// their way to a node that hangs that were sent just before it goes on. It must
	// not answer them with what it knew when it led.
	watcherOneIn    = 8
	watcherPatience = 250 * time.Millisecond
	// recentSize bounds the finished requests that are retried.
	recentSize = 64
)

// client sends one request at a time. Its requests come from a stream of its own.
// Every other client stays with one node while that answers, so that a hung node
// does not keep all clients waiting.
type client struct {
	load    *Load
	history *history
	id      int
	rng     *rand.Rand
	conns   []*conn // by node
	avoid   []int64 // by node: until when

	watches  bool // it only reads, from any node
	patience time.Duration
	keys     int          // drawn so far
	seen     uint64       // greatest Purser-Index
	recent   []*operation // finished commands
}

func (c *client) close() {
	for _, conn := range c.conns {
		conn.close()
	}
}

// run sends requests until ctx ends.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		if pause := c.load.cfg.Pause; pause > 0 {
			wait(ctx, min(10*pause, time.Duration(c.rng.ExpFloat64()*float64(pause))))
		}
		if o := c.draw(); o != nil && ctx.Err() == nil {
			c.perform(ctx, o)
		}
	}
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (c *client) newKey() string {
	c.keys++
	return fmt.Sprintf("%s-%d-%d", c.load.bank.tag, c.id, c.keys)
}

// perform sends o until it has an outcome, or leaves it, and records it. Reads are
// sent once.
func (c *client) perform(ctx context.Context, o *operation) {
	patient := c.rng.IntN(leaveOneIn) > 0 && !o.kind.reads()
	node := c.node()
	if o.of != nil {
		node = (o.of.lastNode() + 1) % len(c.conns) // through another node than the first
	}
	c.pursue(ctx, o, node, patient)
	c.settle(o)
}

// pursue sends o, first to node, until it has an outcome or, unless patient, once.
func (c *client) pursue(ctx context.Context, o *operation, node int, patient bool) {
	o.client = c.id
	if o.call == 0 {
		o.call = c.history.now()
	}
	for pause := firstPause; !c.try(o, node); pause = min(2*pause, maxPause) {
		if ctx.Err() != nil || !patient {
			o.left, o.ret = true, never
			return
		}
		wait(ctx, pause)
		node = c.node()
	}
}

// node chooses the node of the next try.
func (c *client) node() int {
	n := len(c.conns)
	if c.watches {
		return c.rng.IntN(n)
	}
	node := c.id % n
	if roams := c.id/n%2 == 1; roams {
		node = c.rng.IntN(n)
	}
	for range n {
		if c.avoid[node] <= c.history.now() {
			return node
		}
		node = (node + 1) % n
	}
	return c.rng.IntN(n)
}

// try sends o to a node once and reports whether it has its outcome now.
func (c *client) try(o *operation, node int) bool {
	t := try{node: node, call: c.history.now()}
	a, err := c.conns[node].do(&o.request, o.kind.answered(o), c.patience)
	t.ret = c.history.now()
	verdict := inDoubt
	if err != nil {
		t.result = failure(err)
		if t.result == "not sent" {
			verdict = notApplied
		}
		c.avoid[node] = t.ret + int64(avoidFor)
	} else {
		verdict = a.verdict()
		t.result = fmt.Sprint(a.status)
		if code := a.code(); code != "" {
			t.result += " " + code
		}
		c.seen = max(c.seen, a.index)
	}
	o.tries = append(o.tries, t)
	switch verdict {
	case decided:
		o.take(a, t.ret)
		return true
	case unexpected:
		c.history.find(fmt.Sprintf("%s %s %s at node %d: %v", o.method, o.path, o.request.body, node, a))
		o.doubtful = true
	case inDoubt:
		o.doubtful = true
	}
	return false
}

// answered is the kind by which an answer to o is to be read.
func (k kind) answered(o *operation) kind {
	if o.of != nil {
		return o.of.kind
	}
	return k
}

// take makes a the outcome of o, known since ret.
func (o *operation) take(a *answer, ret int64) {
	o.answer, o.ret, o.left = a, ret, false
	for i, item := range o.items {
		item.call, item.ret, item.client = o.call, o.ret, o.client
		if i < len(a.results) {
			item.answer = a.results[i]
		}
	}
}

func (o *operation) lastNode() int { return o.tries[len(o.tries)-1].node }

// settle records o and keeps what later requests need of it.
func (c *client) settle(o *operation) {
	for _, item := range o.items {
		item.call, item.ret, item.client, item.doubtful = o.call, o.ret, o.client, o.doubtful
	}
	c.history.add(o)
	if o.answer == nil || o.of != nil || o.kind.reads() {
		return
	}
	o.commands(func(m *operation) {
		if m.accepted() && m.answer.payment != nil {
			c.load.bank.take(m.answer.payment)
		}
	})
	if len(c.recent) == recentSize {
		c.recent = append(c.recent[:0], c.recent[recentSize/2:]...)
	}
	c.recent = append(c.recent, o)
}
