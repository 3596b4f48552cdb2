package bench

import (
	"testing"
	"time"
)

// The clock of these tests is an argument: a worker reads none.

const ms = int64(time.Millisecond)

func openWorker(t *testing.T, cfg Config) *worker {
	t.Helper()
	cfg.Threads, cfg.Arrivals = 1, arrivalsConstant
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	j, err := cfg.withDefaults().paymentJob()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(j, 0)
	for i := range w.conns {
		if next := w.first(i, 0); next != rest {
			t.Fatalf("connection %d begins with action %d", i, next)
		}
	}
	return w
}

// reply settles the request in flight on connection i.
func (w *worker) reply(t *testing.T, i int, now int64) action {
	t.Helper()
	if done, err := w.conns[i].reply.feed([]byte(httpReply(201, `{"id":"pay_1","seq":1}`, ""))); !done || err != nil {
		t.Fatal(done, err)
	}
	next, err := w.answered(i, now)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// TestNoCoordinatedOmission has a server that answers in 1 ms, but hangs once
// for 100 ms, and one connection. A request is to start every 10 ms: the ones
// that had to start meanwhile did not, and their response times say so, while
// their service times do not.
func TestNoCoordinatedOmission(t *testing.T) {
	w := openWorker(t, Config{Connections: 1, Rate: 100, Duration: 200 * time.Millisecond})
	if ready, again := w.dispatch(0); len(ready) != 1 || again != 10*ms {
		t.Fatalf("at 0: ready %v, again %d", ready, again)
	}
	now := 100 * ms // the first answer
	for now < 200*ms {
		switch w.reply(t, 0, now) {
		case send:
			now += ms
		case rest:
			ready, again := w.dispatch(now)
			if len(ready) == 0 {
				if again < 0 {
					now = 200 * ms
					continue
				}
				now = again
				if ready, _ = w.dispatch(now); len(ready) != 1 {
					t.Fatalf("at %d: ready %v", now, ready)
				}
			}
			now += ms
		case stop:
			t.Fatal("an open loop does not stop a connection")
		}
	}
	r := w.tally.response[pay]
	if n := r.TotalCount(); n != 20 || w.tally.offered != 20 || w.tally.skipped != 0 {
		t.Fatalf("%d measured of %d offered, %d skipped, want 20", n, w.tally.offered, w.tally.skipped)
	}
	// Due at 0, 10, …, 100 and answered at 100, 101, …, 110: 100, 91, …, 10 ms.
	for q, want := range map[float64]int64{100: 100 * ms, 95: 91 * ms, 90: 82 * ms, 50: 10 * ms, 45: ms} {
		if got := r.ValueAtQuantile(q); !r.ValuesAreEquivalent(got, want) {
			t.Errorf("response time p%v %v, want %v", q, time.Duration(got), time.Duration(want))
		}
	}
	if s := w.tally.service; s.TotalCount() != 20 || !s.ValuesAreEquivalent(s.ValueAtQuantile(95), ms) {
		t.Errorf("service time p95 %v of %d", time.Duration(s.ValueAtQuantile(95)), s.TotalCount())
	}
	if w.tally.late != 10 { // those due at 10 to 100 ms
		t.Errorf("%d late, want 10", w.tally.late)
	}
	if lag := w.tally.lag.Max(); !w.tally.lag.ValuesAreEquivalent(lag, minLatency) {
		t.Errorf("lag %d ns of a generator that was never behind", lag)
	}
}

// TestGeneratorLag wakes the worker too late: that is the generator's fault, and
// still counts as response time.
func TestGeneratorLag(t *testing.T) {
	w := openWorker(t, Config{Connections: 2, Rate: 100, Duration: time.Second})
	w.dispatch(0)
	w.reply(t, 0, ms)
	if ready, _ := w.dispatch(17 * ms); len(ready) != 1 || ready[0] != 1 {
		t.Fatalf("ready %v, want the connection that rested longest", ready)
	}
	w.reply(t, 1, 18*ms)
	if got := w.tally.lag.Max(); !w.tally.lag.ValuesAreEquivalent(got, 7*ms) {
		t.Errorf("lag %v, want 7 ms", time.Duration(got))
	}
	if got := w.tally.response[pay].Max(); !w.tally.response[pay].ValuesAreEquivalent(got, 8*ms) {
		t.Errorf("response time %v, want 8 ms", time.Duration(got))
	}
	if w.tally.late != 1 {
		t.Errorf("%d late", w.tally.late)
	}
}

// TestSkipped has a server that never answers: what waits longer than the
// patience, or to the end, is skipped, with the time that it waited.
func TestSkipped(t *testing.T) {
	w := openWorker(t, Config{Connections: 1, Rate: 100, Duration: 100 * time.Millisecond, Patience: 50 * time.Millisecond})
	w.dispatch(0)
	w.dispatch(65 * ms) // due at 10: more than 50 ms ago
	if w.tally.skipped != 1 {
		t.Errorf("%d skipped after 65 ms, want the one due at 10", w.tally.skipped)
	}
	w.dispatch(100 * ms)
	if w.tally.skipped != 9 || w.tally.offered != 10 {
		t.Errorf("%d skipped of %d", w.tally.skipped, w.tally.offered)
	}
	if w.over() {
		t.Error("over with a request in flight")
	}
	w.giveUp(w.conns[0])
	if !w.over() {
		t.Error("not over")
	}
	if r := w.tally.response[pay]; r.TotalCount() != 9 || !r.ValuesAreEquivalent(r.Max(), 80*ms) {
		t.Errorf("%d response times, up to %v", r.TotalCount(), time.Duration(r.Max()))
	}
}

// TestMeasuredTime: an open loop measures what was to start in the measured
// time, and counts what was answered in it.
func TestMeasuredTime(t *testing.T) {
	w := openWorker(t, Config{Connections: 8, Rate: 100, Warmup: 20 * time.Millisecond, Duration: 30 * time.Millisecond})
	w.dispatch(100 * ms) // all five are due, and skipped: the end has passed
	if w.tally.offered != 3 || w.tally.skipped != 3 {
		t.Errorf("offered %d, skipped %d, want 3 of 5", w.tally.offered, w.tally.skipped)
	}
	w = openWorker(t, Config{Connections: 8, Rate: 100, Warmup: 20 * time.Millisecond, Duration: 30 * time.Millisecond})
	for i := range int64(5) {
		if ready, _ := w.dispatch(i * 10 * ms); len(ready) != 1 {
			t.Fatalf("start %d: ready %v", i, ready)
		}
	}
	for i := range 5 { // due at 0, 10, 20, 30, 40; answered at 25, 35, 45, 55, 65
		w.reply(t, i, int64(25+10*i)*ms)
	}
	if n := w.tally.requests[pay]; n != 3 {
		t.Errorf("%d answered in the measured time, want 3", n)
	}
	if r := w.tally.response[pay]; r.TotalCount() != 3 || !r.ValuesAreEquivalent(r.Min(), 25*ms) {
		t.Errorf("%d response times from %v", r.TotalCount(), time.Duration(r.Min()))
	}
	if w.tally.whole[201] != 5 {
		t.Errorf("%d in all", w.tally.whole[201])
	}
}

// TestRefusalPauses: in a closed loop a 503 is followed by a pause.
func TestRefusalPauses(t *testing.T) {
	j, err := Config{Connections: 1, Threads: 1, Duration: time.Second}.withDefaults().paymentJob()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(j, 0)
	if next := w.first(0, 0); next != send {
		t.Fatalf("action %d", next)
	}
	if _, err := w.conns[0].reply.feed([]byte(httpReply(503, `{"status":503}`, ""))); err != nil {
		t.Fatal(err)
	}
	if next, err := w.answered(0, ms); next != rest || err != nil {
		t.Fatalf("action %d, %v", next, err)
	}
	if ready, again := w.dispatch(2 * ms); len(ready) != 0 || again != ms+int64(pauseTime) {
		t.Errorf("ready %v, again %d", ready, again)
	}
	if ready, again := w.dispatch(ms + int64(pauseTime)); len(ready) != 1 || again != -1 || !w.conns[0].inFlight {
		t.Errorf("ready %v, again %d", ready, again)
	}
	if w.tally.measured[503] != 1 || w.tally.doubted != 0 {
		t.Errorf("tally: %+v", w.tally)
	}
}

// TestLeavesOpen says which answers settle a request.
func TestLeavesOpen(t *testing.T) {
	const busy = `{"code":"idempotency_in_progress","status":409}`
	for _, test := range []struct {
		status          int
		body            string
		fresh, doubtful bool
	}{
		{201, "{}", false, false},
		{402, "{}", false, false},
		{409, `{"code":"account_frozen"}`, false, false},
		{409, busy, false, true},
		{429, "{}", false, true},
		{500, "{}", false, true},
		{503, "{}", false, true},
		{504, "{}", true, true},
	} {
		r := reply{status: test.status, body: []byte(test.body)}
		if r.leavesOpen(false) != test.fresh || r.leavesOpen(true) != test.doubtful {
			t.Errorf("%d %s: %t, and %t when in doubt", test.status, test.body, r.leavesOpen(false), r.leavesOpen(true))
		}
	}
}

func TestSeries(t *testing.T) {
	s := newSeries(2)
	w := newWindow()
	w.accepted, w.requests, w.errors = 1, 2, 1
	w.record(5 * ms)
	s.add(0, w)
	if len(s.done()) != 0 {
		t.Error("a second is complete without all workers")
	}
	s.add(1, w)
	s.add(0, w)
	if done := s.done(); len(done) != 1 || done[0].Requests != 4 || done[0].P99 < 4900 || done[0].P99 > 5100 {
		t.Errorf("first second: %+v", done)
	}
	if all := s.close(); len(all) != 2 || all[1].At != 1 || all[1].Errors != 1 {
		t.Errorf("all: %+v", all)
	}
}
