package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// pause stops a process where it stands, and returns when all its threads have
// stopped.
func (p *process) pause() {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.tb.Fatal(err)
	}
	threads := fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid)
	eventually(p.tb, "the process stands still", func() bool {
		files, _ := filepath.Glob(threads)
		for _, file := range files {
			stat, err := os.ReadFile(file)
			if _, state, ok := strings.Cut(string(stat), ") "); err != nil || !ok || !strings.HasPrefix(state, "T") {
				return false
			}
		}
		return len(files) > 0
	})
}

func (p *process) resume() {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		p.tb.Fatal(err)
	}
}

// TestLeaderAloneAnswersNothing stops both followers. The leader believes for half a
// second yet that it leads, and a node that is to forward to it for longer; but
// nobody may be told that a payment is made, or what a balance is. What a payment's
// key says afterwards is what its client was told: 503 means that it was never made.
func TestLeaderAloneAnswersNothing(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("this system does not tell whether a process stands still")
	}
	seed := seedOf(t)
	c := newTrio(t)
	k := c.setUp(rand.New(rand.NewPCG(seed, 0)))
	l := c.load(k, "before", seed)
	l.await(50)
	l.end()
	c.settled()
	leader := c.leader()
	var paused []*process
	for i, p := range c.nodes {
		if i != leader {
			p.pause()
			paused = append(paused, p)
		}
	}
	// Two at a time, so that a payment and a read are among those that come while the
	// leader believes in itself.
	var requests []request
	for i := range 100 {
		requests = append(requests,
			post("/v1/payments", fmt.Sprintf("alone-%d", i), payBody("world:USD", sourceID(0), 1)),
			get(accountPath(sourceID(0))))
	}
	answers := make([]*answer, len(requests))
	var wg sync.WaitGroup
	for half := range 2 {
		wg.Go(func() {
			at := dial(t, c.api[leader])
			defer at.close()
			for i := half; i < len(requests); i += 2 {
				var err error
				if answers[i], err = at.do(requests[i]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	told := map[string]int{}
	var refused, unknown []request
	for i, r := range requests {
		a := answers[i]
		told[fmt.Sprintf("%s %d %s", r.method, a.status, a.code())]++
		switch {
		case a.status == 503 && r.method == "POST":
			refused = append(refused, r)
		case a.status == 504 && r.method == "POST":
			unknown = append(unknown, r)
		case a.status != 503 && a.status != 504:
			t.Errorf("a leader without followers answered %s %s with %d: %s", r.method, r.path, a.status, a.body)
		}
	}
	t.Log(told)
	alone := dial(t, c.api[leader])
	alone.expect(200, get(accountPath(sourceID(0))+"?consistency=stale"))
	alone.close()
	for _, p := range paused {
		p.resume()
	}
	c.settled()
	var never atomic.Bool
	for _, r := range refused {
		if a, _ := c.insist(get("/v1/idempotency-keys/"+r.key), k.rng, &never); a.status != 404 {
			t.Errorf("%s was refused, but %d %s", r.key, a.status, a.body)
		}
	}
	for _, r := range unknown {
		if a, _ := c.insist(r, k.rng, &never); a.status != 201 {
			t.Errorf("%s was in doubt, and then %d %s", r.key, a.status, a.body)
		}
		k.books.move("world:USD", sourceID(0), 1)
	}
	c.settled()
	for i := range c.nodes {
		c.requireOwnBooks(i, k.books)
	}
}
