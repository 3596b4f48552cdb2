package transport

import (
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// gatedDials is a Cluster whose dials wait until the gate is open.
type gatedDials struct {
	*peers
	gate      chan struct{}
	now, most atomic.Int32 // dials under way
}

func (g *gatedDials) Dial(addr string, timeout time.Duration) (net.Conn, error) {
	now := g.now.Add(1)
	defer g.now.Add(-1)
	for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
	}
	<-g.gate
	return g.peers.Dial(addr, timeout)
}

// TestDialsAreBounded: many requests at once, on a node that has no connection to
// the leader yet, open few at a time, and all are served.
func TestDialsAreBounded(t *testing.T) {
	const requests = 300
	g := &gatedDials{gate: make(chan struct{})}
	s, leader, _ := newPair(t, func(o *Options) {
		g.peers = o.Cluster.(*peers)
		o.Cluster = g
	})
	leader.do("PUT", "/v1/accounts/alice", `{"currency":"USD"}`)
	answers := make(chan answer, requests)
	for range requests {
		go func() { answers <- asks["get"](s) }()
	}
	conns := s.server.forwarder.conns
	s.await("all wait", func() bool {
		conns.mu.Lock()
		defer conns.mu.Unlock()
		return conns.open == requests && len(conns.waiting) == requests-maxDials && g.now.Load() == maxDials
	})
	close(g.gate)
	for range requests {
		if a := <-answers; a.status != 200 {
			t.Errorf("%d: %s", a.status, a.body)
		}
	}
	if most := g.most.Load(); most != maxDials {
		t.Errorf("%d dials at once, want %d", most, maxDials)
	}
	if conns.dialing != 0 || len(conns.waiting) != 0 || conns.open != len(conns.idle) {
		t.Errorf("%d dials and %d waits are left, %d connections open, %d idle", conns.dialing, len(conns.waiting), conns.open, len(conns.idle))
	}
}

// failingDials is a Cluster in which no node can be reached.
type failingDials struct{ peers }

var errFailing = errors.New("the dial fails")

func (f *failingDials) Dial(string, time.Duration) (net.Conn, error) { return nil, errFailing }

// TestWaitForAConnection: a request above the bound of dials gets a connection that
// comes back, or the turn of a dial that has ended, or is refused at its deadline.
func TestWaitForAConnection(t *testing.T) {
	l := newLeaderConns(&failingDials{}, 100, time.Minute)
	l.open, l.dialing = maxDials, maxDials
	want := func(open, dialing, waiting int) {
		t.Helper()
		if l.open != open || l.dialing != dialing || len(l.waiting) != waiting {
			t.Fatalf("%d open, %d dialing, %d waiting, want %d, %d, %d", l.open, l.dialing, len(l.waiting), open, dialing, waiting)
		}
	}
	if _, _, err := l.take("n1", time.Now()); !errors.Is(err, errAllBusy) {
		t.Errorf("%v at the deadline, want errAllBusy", err)
	}
	want(maxDials, maxDials, 0)

	raw, err := net.Dial("tcp", newScript(t, hang).addr)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_, before, _ := l.reserve("the leader before")
	_, first, _ := l.reserve("n1")
	want(maxDials+2, maxDials, 2)
	back := &leaderConn{Conn: raw, leader: "n1", in: fastReader()}
	l.open++
	l.give(back, true)
	if c, err := l.await(first, time.Now().Add(time.Minute)); c != back || err != nil {
		t.Errorf("got %v, %v, want the connection that came back", c, err)
	}
	want(maxDials+2, maxDials, 1)
	l.dialled(false)
	if c, err := l.await(before, time.Now().Add(time.Minute)); c != nil || err != nil {
		t.Errorf("got %v, %v, want the turn to connect", c, err)
	}
	want(maxDials+1, maxDials, 0)
	l.dialled(true)
	want(maxDials+1, maxDials-1, 0)
	if _, _, err := l.take("n1", time.Now().Add(time.Minute)); !errors.Is(err, errFailing) {
		t.Errorf("%v, want the dial's error", err)
	}
	want(maxDials+1, maxDials-1, 0)
}
