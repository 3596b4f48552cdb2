package main

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestDrain stops a server under load. Whatever was sent before is answered; the
// node says that it is no longer ready for as long as it takes; and no request
// that the server left without an answer took effect.
func TestDrain(t *testing.T) {
	const clients, acknowledgements = 32, 2_000
	dir := t.TempDir()
	p := serve(t, dir)
	setUp := dial(t, p.api)
	setUp.create("alice", 1_000_000_000)
	setUp.close()

	// A request that is sent in halves keeps the server draining until the test
	// has seen that it is not ready.
	slow := dial(t, p.api)
	defer slow.close()
	late := post("/v1/payments", "late", payBody("alice", "world:USD", 1))
	begun, rest := halves(late)
	if err := slow.open(); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.nc.Write(begun); err != nil {
		t.Fatal(err)
	}

	d := &drain{t: t}
	reached := make(chan struct{})
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { d.load(p, i, acknowledgements, reached) })
	}
	<-reached
	d.signalled.Store(true)
	p.terminate()
	admin := dial(t, p.admin)
	defer admin.close()
	eventually(t, "the server is not ready", func() bool {
		return admin.must(get("/readyz")).status == 503
	})
	if a := admin.must(get("/livez")); a.status != 200 {
		t.Errorf("a draining server is not live: %s", a.body)
	}
	wg.Wait()
	if _, err := slow.nc.Write(rest); err != nil {
		t.Fatal(err)
	}
	if a, err := slow.receive("POST"); err != nil || a.code() != "draining" || a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("a request that ended while draining was answered %+v: %v", a, err)
	}
	if code := p.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if t.Failed() {
		return
	}
	d.check(dir)
}

// halves cuts the bytes of a request in its body.
func halves(r request) (begun, rest []byte) {
	all := r.bytes()
	at := len(all) - len(r.body)/2
	return all[:at], all[at:]
}

// drain is what the clients of TestDrain saw.
type drain struct {
	t         *testing.T
	signalled atomic.Bool

	mu       sync.Mutex
	answered []exchange // with 201
	refused  []request  // with 503
	cut      []request  // sent after the signal, and never answered
}

// load pays until the server refuses or hangs up, and closes reached when all
// clients together have enough answers.
func (d *drain) load(p *process, client, enough int, reached chan struct{}) {
	c := dial(d.t, p.api)
	defer c.close()
	for n := 0; ; n++ {
		r := post("/v1/payments", fmt.Sprintf("drain-%d-%d", client, n), payBody("alice", "world:USD", 1))
		err := c.send(r)
		before := !d.signalled.Load() // all of it was sent before the signal
		var a *answer
		if err == nil {
			a, err = c.receive(r.method)
		}
		d.mu.Lock()
		switch {
		case err != nil && before:
			d.t.Errorf("a request sent before the signal was not answered: %v", err)
		case err != nil:
			d.cut = append(d.cut, r)
		case a.status == 201:
			d.answered = append(d.answered, exchange{r, a})
			if len(d.answered) == enough {
				close(reached)
			}
		case a.status == 503 && a.code() == "draining":
			d.refused = append(d.refused, r)
		default:
			d.t.Errorf("answered %d: %s", a.status, a.body)
		}
		d.mu.Unlock()
		if err != nil || a.status != 201 {
			return
		}
	}
}

// check starts the server again and compares what it knows with what the
// clients saw.
func (d *drain) check(dir string) {
	t := d.t
	p := serve(t, dir)
	c := dial(t, p.api)
	defer c.close()
	for _, x := range d.answered {
		if a := c.must(x.request); !a.replayed() || !a.sameAs(x.answer) {
			t.Fatalf("%s was answered %s and now %s", x.request.key, x.answer.body, a.body)
		}
	}
	for _, r := range append(d.refused, d.cut...) {
		if a := c.must(get("/v1/idempotency-keys/" + r.key)); a.status != 404 {
			t.Errorf("%s was refused or cut off, but %s", r.key, a.body)
		}
	}
	if got, want := c.account("alice").Posted, 1_000_000_000-int64(len(d.answered)); got != want {
		t.Errorf("posted is %d after %d payments of 1, want %d", got, len(d.answered), want)
	}
	t.Logf("%d answered, %d refused, %d cut off", len(d.answered), len(d.refused), len(d.cut))
	p.verify()
	p.stop()
	if said := p.said(); strings.Contains(said, "level=ERROR") {
		t.Errorf("an idle server stopped with errors:\n%s", said)
	}
}
