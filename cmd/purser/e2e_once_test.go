package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// repeater sends every request twice at once and remembers the answer.
type repeater struct {
	t         *testing.T
	name      string
	rng       *rand.Rand
	one, two  *conn
	sent      []exchange
	open      []string // payments that may hold something
	captured  []string // payments that may be refundable
	failed    bool
	idsForged int
}

// exchange is a request and the answer to its first execution.
type exchange struct {
	request request
	answer  *answer
}

func newRepeater(t *testing.T, p *process, name string, seed uint64) *repeater {
	return &repeater{
		t: t, name: name, rng: rand.New(rand.NewPCG(seed, 0)),
		one: dial(t, p.api), two: dial(t, p.api),
	}
}

func (r *repeater) close() {
	r.one.close()
	r.two.close()
}

// reconnect continues on another process.
func (r *repeater) reconnect(p *process) {
	r.close()
	r.one.addr, r.two.addr = p.api, p.api
}

// accounts makes what the script needs: one account with money, one without,
// one frozen with money, and one in another currency.
func (r *repeater) accounts() {
	r.one.create(r.name+"-rich", 5_000)
	r.one.create(r.name+"-poor", 0)
	r.one.create(r.name+"-frozen", 100)
	r.one.expect(200, request{method: "PATCH", path: accountPath(r.name + "-frozen"), body: `{"status":"frozen"}`})
	r.one.expect(201, request{method: "PUT", path: accountPath(r.name + "-eur"), body: `{"currency":"EUR"}`})
}

// twice sends q on both connections at once. The answers must be the same, one
// of them the first and the other its replay.
func (r *repeater) twice(q request) *answer {
	var a, b *answer
	var errA, errB error
	var wg sync.WaitGroup
	wg.Go(func() { a, errA = r.one.do(q) })
	wg.Go(func() { b, errB = r.two.do(q) })
	wg.Wait()
	if errA != nil || errB != nil {
		r.fault("%s %s: %v, %v", q.path, q.body, errA, errB)
		return nil
	}
	if a.status >= 500 || a.status == 400 {
		r.fault("%s %s answered %d: %s", q.path, q.body, a.status, a.body)
		return nil
	}
	if isBatch(q) {
		replays := strings.Count(a.body, replayedItem) + strings.Count(b.body, replayedItem)
		if items := strings.Count(q.body, `"idempotency_key"`); replays != items {
			r.fault("a batch of %d, sent twice, has %d replays:\n%s\n%s", items, replays, a.body, b.body)
		}
		a.body, b.body = withoutReplays(a.body), withoutReplays(b.body)
	} else if a.replayed() == b.replayed() {
		r.fault("%s %s: both answers have Idempotent-Replayed: %t", q.path, q.body, a.replayed())
	}
	if !a.sameAs(b) {
		r.fault("%s %s: two answers:\n%d %s\n%d %s", q.path, q.body, a.status, a.body, b.status, b.body)
	}
	r.sent = append(r.sent, exchange{q, a})
	return a
}

func (r *repeater) fault(format string, args ...any) {
	r.failed = true
	r.t.Errorf(r.name+": "+format, args...)
}

const replayedItem = `,"replayed":true`

func withoutReplays(body string) string { return strings.ReplaceAll(body, replayedItem, "") }

func isBatch(q request) bool { return strings.HasSuffix(q.path, "/batch") }

// run sends n requests of all kinds, many of them to be refused.
func (r *repeater) run(n int) {
	for i := 0; i < n && !r.failed; i++ {
		key := fmt.Sprintf("%s-%d", r.name, len(r.sent))
		switch pick := r.rng.IntN(14); {
		case pick < 4:
			r.remember(r.twice(post("/v1/payments", key, r.payment())))
		case pick < 7:
			r.remember(r.twice(post("/v1/payments", key, r.payment(`"capture":false`))))
		case pick < 9:
			body := []string{`{}`, `{"amount":"1","final":false}`, `{"amount":"1"}`, `{"amount":"9999"}`}[r.rng.IntN(4)]
			r.remember(r.twice(post(r.target(r.open)+"/capture", key, body)))
		case pick < 10:
			r.twice(post(r.target(r.open)+"/void", key, `{}`))
		case pick < 12:
			body := []string{`{}`, `{"amount":"1"}`, `{"amount":"9999"}`}[r.rng.IntN(3)]
			r.twice(post(r.target(r.captured)+"/refund", key, body))
		default:
			var items []string
			for j := range 1 + r.rng.IntN(5) {
				items = append(items, r.payment(fmt.Sprintf(`"idempotency_key":"%s.%d"`, key, j)))
			}
			r.twice(post("/v1/payments/batch", "", `{"payments":[`+strings.Join(items, ",")+`]}`))
		}
	}
}

// payment draws the body of a payment that often is refused.
func (r *repeater) payment(further ...string) string {
	ends := []string{"rich", "rich", "rich", "rich", "poor", "poor", "frozen", "eur", "missing"}
	source := r.name + "-" + ends[r.rng.IntN(len(ends))]
	destination := r.name + "-" + ends[r.rng.IntN(len(ends))]
	switch r.rng.IntN(6) {
	case 0:
		destination = "world:USD"
	case 1:
		further = append(further, fmt.Sprintf(`"conditions":{"source_version":%d,"min_available_after":"100"}`, r.rng.IntN(60)))
	case 2:
		further = append(further, `"reference":"é ☃ \" \\ order","metadata":{"b":"2","a":"1"}`)
	}
	return payBody(source, destination, 1+r.rng.Int64N(300), further...)
}

// remember keeps the payment of an accepted request for later ones.
func (r *repeater) remember(a *answer) {
	if a == nil || a.status >= 400 {
		return
	}
	switch p := parse[payment](r.t, a.body); p.Status {
	case "authorized":
		r.open = append(r.open, p.ID)
	case "captured":
		r.captured = append(r.captured, p.ID)
	}
}

// target picks one of the last payments of a list, or one that does not exist.
func (r *repeater) target(ids []string) string {
	if len(ids) == 0 || r.rng.IntN(10) == 0 {
		r.idsForged++
		return fmt.Sprintf("/v1/payments/none-%s-%d", r.name, r.idsForged)
	}
	recent := ids[max(0, len(ids)-4):]
	return "/v1/payments/" + recent[r.rng.IntN(len(recent))]
}

// again sends everything once more; every answer must be the first one's replay.
func (r *repeater) again() {
	for i := range r.sent {
		x := &r.sent[i]
		a, err := r.one.do(x.request)
		if err != nil {
			r.fault("again %s %s: %v", x.request.path, x.request.body, err)
			return
		}
		replayed := a.replayed()
		if isBatch(x.request) {
			replayed = strings.Count(a.body, replayedItem) == strings.Count(x.request.body, `"idempotency_key"`)
			a.body = withoutReplays(a.body)
		}
		if !replayed || !a.sameAs(x.answer) {
			r.fault("%s %s: replayed=%t\nfirst: %d %s\nagain: %d %s",
				x.request.path, x.request.body, replayed, x.answer.status, x.answer.body, a.status, a.body)
			return
		}
	}
}

// TestExactlyOnce sends every request of a mixed run twice at once, and again
// after a crash, after a snapshot and after an orderly restart. Nothing but the
// first execution has an effect.
func TestExactlyOnce(t *testing.T) {
	seed := seedOf(t)
	dir := t.TempDir()
	p := serve(t, dir)
	var all []*repeater
	for i := range uint64(8) {
		r := newRepeater(t, p, fmt.Sprintf("w%d", i), seed+i)
		defer r.close()
		r.accounts()
		all = append(all, r)
	}
	each := func(f func(*repeater)) {
		t.Helper()
		var wg sync.WaitGroup
		for _, r := range all {
			wg.Go(func() { f(r) })
		}
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	// unchanged sends everything again and compares what can be seen of the ledger.
	unchanged := func(when string) {
		t.Helper()
		c := dial(t, p.api)
		defer c.close()
		before := c.state()
		each((*repeater).again)
		if after := c.state(); after != before {
			t.Fatalf("%s: retries changed the ledger from\n%s\nto\n%s", when, before, after)
		}
		p.verify()
	}
	restart := func(end func()) {
		t.Helper()
		end()
		p = serve(t, dir)
		each(func(r *repeater) { r.reconnect(p) })
	}

	each(func(r *repeater) { r.run(120) })
	requireStatuses(t, all, 200, 201, 402, 404, 409, 412, 422)
	unchanged("at once")
	restart(p.kill)
	unchanged("after a crash")
	p.snapshot()
	each(func(r *repeater) { r.run(40) })
	restart(p.kill)
	unchanged("after a snapshot and a crash")
	p.snapshot()
	restart(p.stop)
	unchanged("after a snapshot and a stop")
	p.stop()
}

// requireStatuses fails a run that was too tame to show anything.
func requireStatuses(t *testing.T, all []*repeater, statuses ...int) {
	t.Helper()
	seen := map[int]int{}
	for _, r := range all {
		for _, x := range r.sent {
			if !isBatch(x.request) {
				seen[x.answer.status]++
			}
		}
	}
	for _, s := range statuses {
		if seen[s] == 0 {
			t.Errorf("no request was answered %d: %v", s, seen)
		}
	}
}
