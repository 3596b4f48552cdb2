package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// books are what the answers to commands add up to.
type books struct {
	mu        sync.Mutex
	accounts  map[string]*balance
	exchanges []exchange
	started   int // len(exchanges) when the round began
}

func newBooks() *books { return &books{accounts: map[string]*balance{}} }

func (b *books) beginRound()    { b.started = len(b.exchanges) }
func (b *books) lastRound() int { return b.started }

func (b *books) of(id string) *balance {
	a := b.accounts[id]
	if a == nil {
		a = &balance{}
		b.accounts[id] = a
	}
	return a
}

func (b *books) move(source, destination string, amount int64) {
	b.of(source).Posted -= amount
	b.of(destination).Posted += amount
	b.of(source).Version++
	b.of(destination).Version++
}

// gateway is a client that sends one command at a time: payments between the
// sources, authorizations, and what follows them.
type gateway struct {
	name     string
	rng      *rand.Rand
	sent     int
	pending  *command // sent, without an answer so far
	open     []held   // authorizations with no capture or void yet
	captured []held   // captures with no refund yet
}

// command is a request and what it does when it is accepted.
type command struct {
	request request
	accept  int // status of success
	refuse  int // the only other status, 0 for none
	effect  func(b *books, p payment)
}

// held is a payment that a later command works on.
type held struct {
	id, source, destination string
	amount                  int64
}

func newGateway(name string, seed uint64) *gateway {
	return &gateway{name: name, rng: rand.New(rand.NewPCG(seed, 1))}
}

// next draws a command and makes it the pending one.
func (g *gateway) next() request {
	key := fmt.Sprintf("%s-%d", g.name, g.sent)
	g.sent++
	switch pick := g.rng.IntN(10); {
	case pick < 3 && len(g.open) > 0:
		h := g.open[0]
		g.open = g.open[1:]
		if g.rng.IntN(3) == 0 {
			g.pending = voidOf(key, h)
		} else {
			g.pending = g.captureOf(key, h)
		}
	case pick < 4 && len(g.captured) > 0:
		h := g.captured[0]
		g.captured = g.captured[1:]
		g.pending = refundOf(key, h)
	case pick < 6:
		g.pending = g.authorize(key)
	default:
		g.pending = g.pay(key)
	}
	return g.pending.request
}

// settle books the answer to the pending command.
func (g *gateway) settle(t *testing.T, b *books, a *answer) {
	c := g.pending
	g.pending = nil
	if a.status != c.accept && a.status != c.refuse {
		t.Errorf("%s %s answered %d: %s", c.request.path, c.request.body, a.status, a.body)
		return
	}
	var p payment
	if err := json.Unmarshal([]byte(a.body), &p); err != nil && a.status == c.accept {
		t.Errorf("%s %s answered %s: %v", c.request.path, c.request.body, a.body, err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.exchanges = append(b.exchanges, exchange{c.request, a})
	if a.status == c.accept {
		c.effect(b, p)
	}
}

// ends draws two accounts, at times the outside among them.
func (g *gateway) ends() (source, destination string) {
	i := g.rng.IntN(killSources)
	source, destination = sourceID(i), sourceID((i+1+g.rng.IntN(killSources-1))%killSources)
	switch g.rng.IntN(8) {
	case 0:
		source = "world:USD"
	case 1:
		destination = "world:USD"
	}
	return source, destination
}

func (g *gateway) pay(key string) *command {
	source, destination := g.ends()
	amount := 1 + g.rng.Int64N(300)
	return &command{
		request: post("/v1/payments", key, payBody(source, destination, amount)),
		accept:  201, refuse: 402,
		effect: func(b *books, _ payment) { b.move(source, destination, amount) },
	}
}

func (g *gateway) authorize(key string) *command {
	source, destination := g.ends()
	amount := 1 + g.rng.Int64N(200)
	return &command{
		request: post("/v1/payments", key, payBody(source, destination, amount, `"capture":false`)),
		accept:  201, refuse: 402,
		effect: func(b *books, p payment) {
			b.hold(source, amount)
			g.open = append(g.open, held{p.ID, source, destination, amount})
		},
	}
}

// hold reserves amount, or releases it when that is negative. World accounts
// show no holds.
func (b *books) hold(source string, amount int64) {
	b.of(source).Held += amount
	b.of(source).Version++
}

func (g *gateway) captureOf(key string, h held) *command {
	amount := 1 + g.rng.Int64N(h.amount)
	return &command{
		request: post("/v1/payments/"+h.id+"/capture", key, fmt.Sprintf(`{"amount":"%d"}`, amount)),
		accept:  200,
		effect: func(b *books, _ payment) {
			b.of(h.source).Held -= h.amount
			b.move(h.source, h.destination, amount)
			g.captured = append(g.captured, held{h.id, h.source, h.destination, amount})
		},
	}
}

func voidOf(key string, h held) *command {
	return &command{
		request: post("/v1/payments/"+h.id+"/void", key, `{}`),
		accept:  200,
		effect:  func(b *books, _ payment) { b.hold(h.source, -h.amount) },
	}
}

func refundOf(key string, h held) *command {
	return &command{
		request: post("/v1/payments/"+h.id+"/refund", key, `{}`),
		accept:  200, refuse: 402,
		effect: func(b *books, _ payment) { b.move(h.destination, h.source, h.amount) },
	}
}
