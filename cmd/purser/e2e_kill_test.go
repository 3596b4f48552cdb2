package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

const killSources = 6

// TestKill kills a server under load again and again, on one data directory. It
// draws after how many acknowledgements to kill, so that the moment does not
// depend on the speed of the machine.
func TestKill(t *testing.T) {
	rounds := 50
	if testing.Short() {
		rounds = 3
	}
	seed := seedOf(t)
	k := &killer{t: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, 0)), books: newBooks()}
	k.start()
	k.setUp()
	for i := range uint64(12) {
		k.gateways = append(k.gateways, newGateway(fmt.Sprintf("g%d", i), seed+1+i))
	}
	for k.round = 1; k.round <= rounds; k.round++ {
		k.load()
		k.start()
		k.recheck(k.books.lastRound(), 100)
		k.resolve()
		k.audit()
		if k.rng.IntN(3) == 0 || k.round == rounds {
			k.killIdle()
		}
	}
	k.recheck(0, 0)
	k.histories()
	t.Logf("%d commands acknowledged, %d resolved by their keys, of which %d had been applied; %d restarts",
		len(k.books.exchanges), k.unknown, k.applied, k.restarts)
	k.server.stop()
}

// killer is the state of TestKill between rounds.
type killer struct {
	t        *testing.T
	dir      string
	rng      *rand.Rand
	server   *process
	gateways []*gateway
	books    *books

	round                      int
	unknown, applied, restarts int
}

// start starts the server, with any number of shards, and often kills it once
// or twice while it recovers.
func (k *killer) start() {
	k.t.Helper()
	for {
		k.restarts++
		shards := fmt.Sprintf("--shards=%d", 1+k.rng.IntN(4))
		if k.restarts == 1 || k.rng.IntN(4) > 0 {
			k.server = serve(k.t, k.dir, shards)
			return
		}
		p := launch(k.t, append([]string{"server", "--data-dir", k.dir, shards}, listenAnywhere...)...)
		p.awaitListening()
		p.kill()
	}
}

func (k *killer) setUp() {
	c := dial(k.t, k.server.api)
	defer c.close()
	for i := range killSources {
		id := sourceID(i)
		c.create(id, 1_000)
		k.books.move("world:USD", id, 1_000)
		k.books.of(id).Version++ // its creation
	}
}

func sourceID(i int) string { return fmt.Sprintf("source-%d", i) }

// load lets all gateways work until enough was acknowledged, and kills the
// server there. Some rounds have a snapshot before, or under way.
func (k *killer) load() {
	if k.rng.IntN(4) == 0 {
		k.server.snapshot()
	}
	until := int64(1 + k.rng.IntN(400))
	snapshotAt := int64(k.rng.IntN(3))*until/2 - 1 // half-way, at the last moment, or never
	k.books.beginRound()
	var acknowledged atomic.Int64
	var wg sync.WaitGroup
	for _, g := range k.gateways {
		wg.Go(func() {
			c := dial(k.t, k.server.api)
			defer c.close()
			for {
				a, err := c.do(g.next())
				if err != nil {
					return // it stays g.pending
				}
				g.settle(k.t, k.books, a)
				switch acknowledged.Add(1) {
				case until:
					_ = k.server.cmd.Process.Kill() // the others are in the middle of something
				case snapshotAt:
					wg.Go(func() {
						admin := dial(k.t, k.server.admin)
						defer admin.close()
						_, _ = admin.do(post("/admin/v1/snapshots", "", "")) // the kill may cut it off
					})
				}
			}
		})
	}
	wg.Wait()
	k.server.kill()
	k.requireSound()
}

// resolve sends the requests of unknown outcome once more. What the key says is
// what the retry gets.
func (k *killer) resolve() {
	k.t.Helper()
	c := dial(k.t, k.server.api)
	defer c.close()
	for _, g := range k.gateways {
		if g.pending == nil {
			continue
		}
		k.unknown++
		known := c.must(get("/v1/idempotency-keys/" + g.pending.request.key))
		a := c.must(g.pending.request)
		if a.replayed() != (known.status == 200) {
			k.t.Fatalf("round %d: key %s was answered %d, its retry %d, replayed=%t",
				k.round, g.pending.request.key, known.status, a.status, a.replayed())
		}
		if a.replayed() {
			k.applied++
			remembered := parse[struct {
				Status int
				Body   rawText
			}](k.t, known.body)
			if remembered.Status != a.status || string(remembered.Body) != a.body {
				k.t.Fatalf("round %d: the key remembers %s, the retry was answered %d %s", k.round, known.body, a.status, a.body)
			}
		}
		g.settle(k.t, k.books, a)
	}
	k.requireSound()
}

// rawText is a JSON value as it stands.
type rawText string

func (r *rawText) UnmarshalJSON(b []byte) error { *r = rawText(b); return nil }

// recheck repeats every acknowledged request from a position on, and some drawn
// from before: each must be answered as it was.
func (k *killer) recheck(from, older int) {
	k.t.Helper()
	var wg sync.WaitGroup
	all := k.books.exchanges
	again := append([]exchange(nil), all[from:]...)
	for range min(older, from) {
		again = append(again, all[k.rng.IntN(from)])
	}
	const connections = 8
	for i := range connections {
		wg.Go(func() {
			c := dial(k.t, k.server.api)
			defer c.close()
			for j := i; j < len(again); j += connections {
				x := &again[j]
				a, err := c.do(x.request)
				if err != nil || !a.replayed() || !a.sameAs(x.answer) {
					k.t.Errorf("round %d: %s %s was answered\n%d %s\nand is now (%v)\n%+v",
						k.round, x.request.path, x.request.body, x.answer.status, x.answer.body, err, a)
					return
				}
			}
		})
	}
	wg.Wait()
	k.requireSound()
}

// audit compares every balance with what the answers add up to.
func (k *killer) audit() {
	k.t.Helper()
	c := dial(k.t, k.server.api)
	defer c.close()
	for i := range killSources {
		got, want := c.account(sourceID(i)), k.books.of(sourceID(i))
		if got.Posted != want.Posted || got.Held != want.Held || got.Version != want.Version {
			k.t.Errorf("round %d: %+v, but the answers add up to %+v", k.round, got, *want)
		}
	}
	if got, want := c.account("world:USD").Posted, k.books.of("world:USD").Posted; got != want {
		k.t.Errorf("round %d: the world has %d, but the answers add up to %d", k.round, got, want)
	}
	k.server.verify()
	k.requireSound()
}

// killIdle kills a server with nothing to do: the replay must lead to where it
// stood.
func (k *killer) killIdle() {
	k.t.Helper()
	before := k.server.position()
	k.server.kill()
	k.start()
	if after := k.server.position(); after != before {
		k.t.Fatalf("round %d: idle at %+v, restarted at %+v", k.round, before, after)
	}
}

// histories checks that every posting is there once, read from either end.
func (k *killer) histories() {
	k.t.Helper()
	c := dial(k.t, k.server.api)
	defer c.close()
	for i := range killSources {
		id := sourceID(i)
		up, down := c.entries(id, "asc"), c.entries(id, "desc")
		slices.Reverse(down)
		if !slices.Equal(up, down) {
			k.t.Errorf("%s has %d entries in ascending and %d in descending order", id, len(up), len(down))
		}
		for j, e := range up {
			if want := int64(2 + j); e.Version != want || j > 0 && e.Seq <= up[j-1].Seq {
				k.t.Errorf("%s: entry %d is %+v, want version %d, after %+v", id, j, e, want, up[max(0, j-1)])
				break
			}
		}
		if want := k.books.of(id).Version - 1; int64(len(up)) != want {
			k.t.Errorf("%s has %d entries, want %d", id, len(up), want)
		}
	}
	k.requireSound()
}

func (k *killer) requireSound() {
	k.t.Helper()
	if k.t.Failed() {
		k.t.FailNow()
	}
}
