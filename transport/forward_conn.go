package transport

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// dialTime bounds connecting to the leader, its welcome included: nodes are near each other, and a
	// client is told sooner than it would give up.
	dialTime = time.Second
	// maxDials bounds the connections to a leader that are being made at once. It
	// refuses arrivals above 256 for all nodes and kinds together, and one that
	// elects or appends must not wait behind those that many requests open in the
	// same moment. The requests above it share what there will be.
	maxDials = 32
	// lookEvery is how often a request that waits for its answer looks whether the
	// node that it was sent to still leads. One that hangs is replaced within
	// seconds, and never answers.
	lookEvery = 500 * time.Millisecond
	// maxAnswer bounds the body of an answer in bytes. The largest are those to
	// batches: no more than the 8 MiB that they came in, of texts that are
	// repeated, and about 1 KiB of numbers for each of 10,000 payments.
	maxAnswer = 32 << 20
)

// leaderConns are the connections to the leader's API. Each carries one request at
// a time. When another node leads, those to the one before are closed as they come
// back. Any goroutine may use it.
//
// They are not those of fasthttp's HostClient, which parses the request target and
// writes another one ("#" and what follows is gone), does not tell a request that
// was not sent from one that was, and closes idle connections on a goroutine that
// nobody can stop.
type leaderConns struct {
	cluster Cluster
	most    int
	maxIdle time.Duration
	look    time.Duration

	mu      sync.Mutex
	leader  string        // whose connections these are
	idle    []*leaderConn // in the order in which they came back
	open    int           // all, those in use and to leaders before included, and waiting
	dialing int           // of open
	waiting []*waiter     // of open, in the order in which they came; empty if dialing < maxDials
	closed  bool
}

// waiter is a request that waits for a connection that comes back, or for its turn
// to make one.
type waiter struct {
	leader string
	got    chan *leaderConn // of 1: nil is the turn
}

func newLeaderConns(cluster Cluster, most int, maxIdle time.Duration) *leaderConns {
	return &leaderConns{cluster: cluster, most: most, maxIdle: maxIdle, look: lookEvery}
}

// take returns a connection to leader, connecting by deadline; used says that it
// has carried requests before. give takes it back.
func (l *leaderConns) take(leader string, deadline time.Time) (c *leaderConn, used bool, err error) {
	c, w, err := l.reserve(leader)
	if w != nil {
		c, err = l.await(w, deadline)
	}
	if c != nil || err != nil {
		return c, c != nil, err
	}
	raw, err := l.cluster.Dial(leader, min(dialTime, time.Until(deadline)))
	l.dialled(err == nil)
	if err != nil {
		return nil, false, fmt.Errorf("connect: %w", err)
	}
	return &leaderConn{Conn: raw, conns: l, leader: leader, in: bufio.NewReader(raw), out: bufio.NewWriter(raw)}, false, nil
}

// reserve returns an idle connection to leader, or the room for a new one: with a
// waiter to await it, or with neither when it is the caller's turn to make it.
func (l *leaderConns) reserve(leader string) (*leaderConn, *waiter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leader != leader {
		l.closeIdle(len(l.idle))
		l.leader = leader
	}
	for n := len(l.idle) - 1; n >= 0; n-- {
		c := l.idle[n]
		l.idle = l.idle[:n]
		if time.Since(c.since) < l.maxIdle && still(c.Conn) {
			return c, nil, nil
		}
		c.Close()
		l.open--
	}
	if l.open >= l.most {
		return nil, nil, errAllBusy
	}
	l.open++
	if l.dialing < maxDials {
		l.dialing++
		return nil, nil, nil
	}
	w := &waiter{leader: leader, got: make(chan *leaderConn, 1)}
	l.waiting = append(l.waiting, w)
	return nil, w, nil
}

// await returns what w gets, by deadline.
func (l *leaderConns) await(w *waiter, deadline time.Time) (*leaderConn, error) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case c := <-w.got:
		return c, nil
	case <-timer.C:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, w)
	if i < 0 { // at the same moment
		return <-w.got, nil
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	l.open--
	return nil, errAllBusy
}

// dialled ends a turn to connect; who has waited longest has the next.
func (l *leaderConns) dialled(ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !ok {
		l.open--
	}
	if len(l.waiting) == 0 {
		l.dialing--
		return
	}
	l.waiting[0].got <- nil
	l.waiting = slices.Delete(l.waiting, 0, 1)
}

// handOver gives c to who has waited longest for one to its leader, and says
// whether there was anybody. The caller holds mu.
func (l *leaderConns) handOver(c *leaderConn) bool {
	i := slices.IndexFunc(l.waiting, func(w *waiter) bool { return w.leader == c.leader })
	if i < 0 || !still(c.Conn) {
		return false
	}
	l.open-- // the room for another one
	l.waiting[i].got <- c
	l.waiting = slices.Delete(l.waiting, i, i+1)
	return true
}

// give takes c back, to be used again if it is good.
func (l *leaderConns) give(c *leaderConn, good bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !good || l.closed || c.leader != l.leader || c.in.Buffered() > 0 {
		c.Close()
		l.open--
		return
	}
	if l.handOver(c) {
		return
	}
	c.since = time.Now()
	l.idle = append(l.idle, c)
	tired := 0
	for tired < len(l.idle)-1 && c.since.Sub(l.idle[tired].since) >= l.maxIdle {
		tired++
	}
	l.closeIdle(tired)
}

// closeIdle closes the n connections that have been idle for longest. The caller
// holds mu.
func (l *leaderConns) closeIdle(n int) {
	for _, c := range l.idle[:n] {
		c.Close()
	}
	l.open -= n
	rest := copy(l.idle, l.idle[n:])
	clear(l.idle[rest:])
	l.idle = l.idle[:rest]
}

// close closes what is idle, and the others as they come back.
func (l *leaderConns) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.closeIdle(len(l.idle))
}

// leaderConn is one connection to a leader, used by one goroutine at a time.
type leaderConn struct {
	net.Conn
	conns  *leaderConns
	leader string
	since  time.Time // when it became idle
	in     *bufio.Reader
	out    *bufio.Writer
}

// Close ends the connection below its TLS, whose farewell could wait for the peer.
func (c *leaderConn) Close() error { return beneath(c.Conn).Close() }

// beneath is the connection that c does its TLS on, if it does any.
func beneath(c net.Conn) net.Conn {
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		return secure.NetConn()
	}
	return c
}

var (
	errNoNode  = errors.New("the answer is not one of a node")
	errDeposed = errors.New("another node leads by now")
)

// exchange sends a request and reads its answer into resp, by deadline. sent says of an error
// that the other side may have got the whole request: what was not written to the
// end cannot be executed.
func (c *leaderConn) exchange(head *fasthttp.RequestHeader, body []byte, resp *fasthttp.Response, deadline time.Time) (sent bool, err error) {
	if err = c.SetDeadline(deadline); err == nil {
		err = head.Write(c.out)
	}
	if err == nil {
		_, err = c.out.Write(body)
	}
	if err == nil {
		err = c.out.Flush()
	}
	if err != nil {
		return false, fmt.Errorf("send: %w", err)
	}
	if err := c.awaitAnswer(deadline); err != nil {
		return true, fmt.Errorf("await the answer: %w", err)
	}
	resp.SkipBody = head.IsHead()
	if err := resp.ReadLimitBody(c.in, maxAnswer); err != nil {
		return true, fmt.Errorf("read the answer: %w", err)
	}
	if _, ok := answerIndex(resp); !ok {
		return true, errNoNode
	}
	return true, nil
}

// awaitAnswer returns when the answer begins. It gives up at the deadline, or when
// it finds that another node leads.
func (c *leaderConn) awaitAnswer(deadline time.Time) error {
	for {
		look := time.Now().Add(c.conns.look)
		if look.After(deadline) {
			look = deadline
		}
		if err := c.SetReadDeadline(look); err != nil {
			return err
		}
		_, err := c.in.Peek(1)
		switch {
		case err == nil:
			return c.SetReadDeadline(deadline)
		case !errors.Is(err, os.ErrDeadlineExceeded), !time.Now().Before(deadline):
			return err
		}
		if leader, self := c.conns.cluster.Leader(); self || leader != "" && leader != c.leader {
			return errDeposed
		}
	}
}
