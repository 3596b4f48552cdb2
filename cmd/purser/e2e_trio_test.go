package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"purser/internal/nodetls"
)

// trio is three servers that are one cluster, each in a process of its own, with TLS
// between them.
type trio struct {
	t     *testing.T
	dir   string
	certs *nodetls.Authority
	raft  [3]string
	api   [3]string
	admin [3]string

	mu    sync.Mutex
	nodes [3]*process // nil while it is down
}

// disk is the file that says how the log's disk of a node is broken; see spoilDisk.
func (c *trio) disk(i int) string { return fmt.Sprintf("%s/disk-n%d", c.dir, i+1) }

func newTrio(t *testing.T) *trio {
	c := &trio{t: t, dir: t.TempDir()}
	var err error
	if c.certs, err = nodetls.CreateAuthority(c.certsDir()); err != nil {
		t.Fatal(err)
	}
	for i := range c.nodes {
		c.certify(fmt.Sprintf("n%d", i+1))
	}
	for _, addrs := range []*[3]string{&c.raft, &c.api, &c.admin} {
		for i := range addrs {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close() // all are taken before one is given back
			addrs[i] = l.Addr().String()
		}
	}
	return c
}

func (c *trio) certsDir() string { return c.dir + "/certs" }

// certify makes the certificate of a node.
func (c *trio) certify(id string) nodetls.Files {
	c.t.Helper()
	files, err := c.certs.Issue(nodetls.Request{NodeID: id})
	if err != nil {
		c.t.Fatal(err)
	}
	return files
}

// start runs the command that is the same at every start.
func (c *trio) start(i int) {
	c.t.Helper()
	id := fmt.Sprintf("n%d", i+1)
	p := launchWith(c.t, []string{diskVariable + "=" + c.disk(i)}, "server", "--node-id", id, "--data-dir", c.dir+"/"+id, "--min-free-bytes=0",
		"--api-listen", c.api[i], "--admin-listen", c.admin[i], "--raft-listen", c.raft[i], "--peer-tls-dir", c.certsDir(),
		"--join", strings.Join(c.raft[:], ","), "--bootstrap-expect=3")
	p.awaitListening()
	c.mu.Lock()
	c.nodes[i] = p
	c.mu.Unlock()
}

// kill ends a node as a power cut would.
func (c *trio) kill(i int) {
	c.mu.Lock()
	p := c.nodes[i]
	c.nodes[i] = nil
	c.mu.Unlock()
	p.kill()
}

// stop ends a node in good order.
func (c *trio) stop(i int) {
	c.t.Helper()
	c.mu.Lock()
	p := c.nodes[i]
	c.nodes[i] = nil
	c.mu.Unlock()
	p.stop()
}

// leader waits for a node that leads and serves.
func (c *trio) leader() (leader int) {
	c.t.Helper()
	eventually(c.t, "a node leads", func() bool {
		for i := range c.nodes {
			if s, err := c.status(i); err == nil && s.Role == "leader" {
				leader = i
				return true
			}
		}
		return false
	})
	return leader
}

func (c *trio) status(i int) (s statusView, err error) {
	if c.nodes[i] == nil {
		return s, net.ErrClosed
	}
	client := adminClient{base: "http://" + c.admin[i], printer: printer{output: "json"}}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = client.call(ctx, "GET", "/admin/v1/status", &s)
	return s, err
}

// settled waits until every node has applied the same, to the same effect.
func (c *trio) settled() {
	c.t.Helper()
	eventually(c.t, "all nodes are at the same point", func() bool {
		var first statusView
		for i := range c.nodes {
			s, err := c.status(i)
			if err != nil {
				return false
			}
			if i == 0 {
				first = s
			}
			if s.AppliedIndex != first.AppliedIndex || s.Digest != first.Digest {
				return false
			}
		}
		return first.AppliedIndex > 0
	})
}

// insist sends a request to one node after another until it has an outcome, always
// under the same key. False means that it was told to stop.
func (c *trio) insist(r request, rng *rand.Rand, stop *atomic.Bool) (*answer, bool) {
	for !stop.Load() {
		conn := dial(c.t, c.api[rng.IntN(3)])
		a, err := conn.do(r)
		conn.close()
		if err == nil && a.status < 500 && a.code() != "idempotency_in_progress" {
			return a, true
		}
		time.Sleep(time.Millisecond) // not as fast as a loop can: the node may be gone
	}
	return nil, false
}

// requireOwnBooks compares what a node itself has with what the answers add up to.
func (c *trio) requireOwnBooks(i int, b *books) {
	c.t.Helper()
	conn := dial(c.t, c.api[i])
	defer conn.close()
	for s := range killSources {
		id := sourceID(s)
		a := conn.must(get(accountPath(id) + "?consistency=stale"))
		got, want := parse[account](c.t, a.body), b.of(id)
		if got.Posted != want.Posted || got.Held != want.Held || got.Version != want.Version {
			c.t.Errorf("node %d has %+v, but the answers add up to %+v", i+1, got, *want)
		}
	}
}

// setUp starts all nodes and opens the accounts.
func (c *trio) setUp(rng *rand.Rand) *killer {
	c.t.Helper()
	for i := range c.nodes {
		c.start(i)
	}
	c.leader()
	k := &killer{t: c.t, books: newBooks(), rng: rng}
	var never atomic.Bool
	for i := range killSources {
		id := sourceID(i)
		if a, _ := c.insist(request{method: "PUT", path: accountPath(id), body: `{"currency":"USD"}`}, rng, &never); a.status > 201 {
			c.t.Fatalf("create %s: %d %s", id, a.status, a.body)
		}
		if a, _ := c.insist(post("/v1/payments", "fund-"+id, payBody("world:USD", id, 1_000)), rng, &never); a.status != 201 {
			c.t.Fatalf("fund %s: %d %s", id, a.status, a.body)
		}
		k.books.move("world:USD", id, 1_000)
		k.books.of(id).Version++ // its creation
	}
	return k
}

// trioLoad is clients that pay through all nodes, each request until it has an
// answer.
type trioLoad struct {
	t     *testing.T
	books *books
	stop  atomic.Bool
	wg    sync.WaitGroup

	mu           sync.Mutex
	acknowledged int64
	last         time.Time     // of the last answer
	gap          time.Duration // longest time without one
}

// load starts clients; name is new for each call.
func (c *trio) load(k *killer, name string, seed uint64) *trioLoad {
	l := &trioLoad{t: c.t, books: k.books, last: time.Now()}
	var never atomic.Bool
	for i := range 8 {
		g, own := newGateway(fmt.Sprintf("%s-g%d", name, i), seed+uint64(i)), rand.New(rand.NewPCG(seed, uint64(i)))
		l.wg.Go(func() {
			for {
				a, ok := c.insist(g.next(), own, &never)
				if !ok {
					return
				}
				g.settle(c.t, l.books, a)
				l.count()
				if l.stop.Load() || c.t.Failed() {
					return
				}
			}
		})
	}
	return l
}

func (l *trioLoad) count() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.acknowledged++
	l.gap = max(l.gap, now.Sub(l.last))
	l.last = now
}

func (l *trioLoad) sum() (acknowledged int64, gap time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acknowledged, l.gap
}

// await waits for n further answers.
func (l *trioLoad) await(n int64) {
	l.t.Helper()
	from, _ := l.sum()
	eventually(l.t, "payments go on", func() bool {
		now, _ := l.sum()
		return now >= from+n || l.t.Failed()
	})
}

// end stops the clients once each has its answer.
func (l *trioLoad) end() {
	l.stop.Store(true)
	l.wg.Wait()
}

// requireSame compares the nodes with each other, with what their clients were
// told, and each node's own balances with that.
func (c *trio) requireSame(k *killer) {
	c.t.Helper()
	c.settled()
	for i := range c.nodes {
		c.nodes[i].awaitReady() // a node just started can have applied all before it knows who leads
		k.server = c.nodes[i]
		k.audit() // by way of the leader
		c.requireOwnBooks(i, k.books)
	}
	k.recheck(0, 0)
	k.histories()
}
