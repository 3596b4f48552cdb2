package main

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// TestBackupAndRestore downloads a backup of a server that clients pay through,
// and starts another one on what is restored from it: that has the payments up to
// the snapshot, all of them and no other, remembers their keys, and goes on, over
// a kill, too.
func TestBackupAndRestore(t *testing.T) {
	k := &killer{t: t, dir: t.TempDir(), books: newBooks()}
	seed := seedOf(t)
	k.server = serve(t, k.dir)
	k.setUp()
	for i := range uint64(8) {
		k.gateways = append(k.gateways, newGateway(fmt.Sprintf("g%d", i), seed+1+i))
	}
	file := filepath.Join(t.TempDir(), "backup.tar")
	before := 0 // how many were acknowledged before the snapshot
	k.loadUntil(400, func(acknowledged func() int64) {
		k.books.mu.Lock()
		before = len(k.books.exchanges)
		k.books.mu.Unlock()
		runOnce(t, "snapshot", "save", "--out", file, "--admin", "http://"+k.server.admin)
		after := acknowledged() + 400
		eventually(t, "payments go on behind the snapshot", func() bool { return acknowledged() >= after })
	})
	c := dial(t, k.server.api)
	original := c.state()
	c.close()
	k.server.stop()

	out, err := purser(t, "snapshot", "inspect", "-o", "json", file)
	if err != nil {
		t.Fatal(err)
	}
	var backup backupView
	if err := json.Unmarshal([]byte(out), &backup); err != nil {
		t.Fatal(err)
	}
	runOnce(t, "snapshot", "verify", "--deep", "--temp-dir", t.TempDir(), file)
	dir, raftAddr := filepath.Join(t.TempDir(), "restored"), freeAddress(t)
	runOnce(t, "snapshot", "restore", file, "--data-dir", dir, "--node-id", "r1", "--raft-listen", raftAddr)
	start := func() {
		t.Helper()
		k.server = serve(t, dir, "--node-id", "r1", "--raft-listen", raftAddr)
		k.server.verify()
	}
	start()
	if at := k.server.position(); at.Digest != backup.Digest {
		t.Errorf("restored to %+v, the backup is of %s", at, backup.Digest)
	}
	kept := k.checkCut(backup.LastSeq, before)
	t.Logf("%d commands acknowledged before the snapshot, %d in it, of %d", before, len(kept), len(k.books.exchanges))

	k.checkBalances(kept)

	// What is in the backup, and then new payments, stays over a kill.
	k.books = newBooks()
	k.books.exchanges = kept
	k.recheck(0, 0)
	k.gateways = []*gateway{newGateway("new0", seed+100), newGateway("new1", seed+101)}
	k.loadUntil(200, nil)
	k.server.kill()
	start()
	k.recheck(0, 0)
	c = dial(t, k.server.api)
	if c.state() == original {
		t.Error("the restored server shows what the other one did")
	}
	c.close()
	k.server.stop()
}

// loadUntil lets all gateways work until enough was acknowledged and during, which
// begins then, has returned.
func (k *killer) loadUntil(enough int64, during func(acknowledged func() int64)) {
	k.t.Helper()
	var acknowledged atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for _, g := range k.gateways {
		wg.Go(func() {
			c := dial(k.t, k.server.api)
			defer c.close()
			for !stop.Load() && !k.t.Failed() {
				a, err := c.do(g.next())
				if err != nil {
					k.t.Errorf("%s: %v", g.name, err)
					return
				}
				g.settle(k.t, k.books, a)
				acknowledged.Add(1)
			}
		})
	}
	eventually(k.t, "enough is acknowledged", func() bool { return acknowledged.Load() >= enough || k.t.Failed() })
	if during != nil && !k.t.Failed() {
		during(acknowledged.Load)
	}
	stop.Store(true)
	wg.Wait()
	k.requireSound()
}

// checkCut looks for the key of every command that was acknowledged: the first
// ones, and those with a seq up to last, must be known with the answer that they
// had, and the others not. It returns the known ones.
func (k *killer) checkCut(last uint64, first int) (kept []exchange) {
	k.t.Helper()
	c := dial(k.t, k.server.api)
	defer c.close()
	for i, x := range k.books.exchanges {
		known := c.must(get("/v1/idempotency-keys/" + x.request.key))
		if i < first && known.status != 200 {
			k.t.Errorf("%s, acknowledged before the snapshot: %d %s", x.request.key, known.status, known.body)
		}
		if x.request.path == "/v1/payments" && x.answer.status == 201 { // seq is that of this command
			seq := parse[payment](k.t, x.answer.body).Seq
			if in := known.status == 200; in != (seq <= last) {
				k.t.Errorf("%s, seq %d: %d %s; the snapshot ends at seq %d", x.request.key, seq, known.status, known.body, last)
			}
		}
		if known.status != 200 {
			continue
		}
		kept = append(kept, x)
		remembered := parse[struct {
			Status int
			Body   rawText
		}](k.t, known.body)
		if remembered.Status != x.answer.status || string(remembered.Body) != x.answer.body {
			k.t.Errorf("%s was answered %d %s, and is remembered as %s", x.request.key, x.answer.status, x.answer.body, known.body)
		}
	}
	if len(kept) == len(k.books.exchanges) {
		k.t.Error("nothing was acknowledged behind the snapshot: the test looks at too little")
	}
	k.requireSound()
	return kept
}

// checkBalances requires of every account what the last of these exchanges that
// moved it said.
func (k *killer) checkBalances(all []exchange) {
	k.t.Helper()
	newest := map[string]balance{}
	for _, x := range all {
		if x.answer.status >= 300 {
			continue
		}
		p := parse[payment](k.t, x.answer.body)
		for id, b := range map[string]*balance{p.Source: p.SourceBalance, p.Destination: p.DestinationBalance} {
			if b != nil && b.Version > newest[id].Version {
				newest[id] = *b
			}
		}
	}
	c := dial(k.t, k.server.api)
	defer c.close()
	for i := range killSources {
		if got, want := c.account(sourceID(i)).balance, newest[sourceID(i)]; got != want {
			k.t.Errorf("%s has %+v, the backup's last answer says %+v", sourceID(i), got, want)
		}
	}
	k.requireSound()
}

// runOnce runs a command of the program to its end, which must be a good one.
func runOnce(t *testing.T, args ...string) {
	t.Helper()
	p := launch(t, args...)
	if code := p.exitCode(); code != 0 {
		t.Fatalf("purser %s: exit code %d: %s", args, code, p.said())
	}
}

// freeAddress is a loopback address that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}
