package bench

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestRunUnknownOutcomes has connections broken, and outcomes called unknown,
// at a third of all requests. Each must be executed once and counted once.
func TestRunUnknownOutcomes(t *testing.T) {
	eachDriver(t, func(t *testing.T, run runner) {
		for name, test := range map[string]struct {
			fault    fault
			cut      bool
			replayed bool
		}{
			"cut before": {cutBefore, true, false},
			"cut after":  {cutAfter, true, true},
			"cut within": {cutWithin, true, true},
			"504":        {outcome504, false, true},
		} {
			for _, batch := range []int{1, 4} {
				t.Run(fmt.Sprintf("%s, batch %d", name, batch), func(t *testing.T) {
					f := startFake(t)
					faults := 0
					f.misbehave = func(key string, nth int) fault {
						if len(f.seen)%3 == 0 && nth <= 2 {
							faults++
							return test.fault
						}
						return none
					}
					const requests = 60
					r, err := run(t.Context(), Config{
						Targets: []string{f.target()}, Connections: 5, Requests: requests, Batch: batch, Patience: time.Hour,
					})
					if err != nil {
						t.Fatal(err)
					}
					check(t, f, r, requests*batch)
					u := r.Unknown
					if u.Requests == 0 || u.Unresolved != 0 || len(u.Keys) != 0 {
						t.Errorf("unknown: %+v", u)
					}
					wantCuts := 0
					if test.cut {
						wantCuts = faults
					}
					if u.Cut != uint64(wantCuts) {
						t.Errorf("%d cuts counted, want %d", u.Cut, wantCuts)
					}
					if (r.Replayed > 0) != test.replayed {
						t.Errorf("%d replayed", r.Replayed)
					}
					if n := r.Codes["504"]; !test.cut && n != uint64(faults*batch) {
						t.Errorf("%d payments answered 504, want %d", n, faults*batch)
					}
				})
			}
		}
	})
}

func TestRunConnectionClose(t *testing.T) {
	eachDriver(t, func(t *testing.T, run runner) {
		f := startFake(t)
		f.misbehave = func(string, int) fault {
			if len(f.seen)%4 == 0 {
				return closeAfter
			}
			return none
		}
		r, err := run(t.Context(), Config{Targets: []string{f.target()}, Connections: 3, Requests: 50})
		if err != nil {
			t.Fatal(err)
		}
		check(t, f, r, 50)
		if r.Unknown.Requests != 0 {
			t.Errorf("an orderly close left outcomes unknown: %+v", r.Unknown)
		}
	})
}

// TestRunRefusedAndClosed: a refusal that ends a connection ends no load.
func TestRunRefusedAndClosed(t *testing.T) {
	eachDriver(t, func(t *testing.T, run runner) {
		f := startFake(t)
		refused := 0
		f.misbehave = func(string, int) fault {
			if len(f.seen)%4 == 0 {
				refused++
				return refuseAndClose
			}
			return none
		}
		r, err := run(t.Context(), Config{Targets: []string{f.target()}, Connections: 3, Requests: 50})
		if err != nil {
			t.Fatal(err)
		}
		check(t, f, r, 50-refused)
		if r.Whole["503"] != uint64(refused) || refused == 0 || r.Unknown.Requests != 0 {
			t.Errorf("%d refused: %v, %+v", refused, r.Whole, r.Unknown)
		}
	})
}

// TestRunServerGone takes the server away for good at the 20th payment.
func TestRunServerGone(t *testing.T) {
	eachDriver(t, func(t *testing.T, run runner) {
		f := startFake(t)
		f.misbehave = func(string, int) fault {
			if len(f.seen) >= 20 {
				return leave
			}
			return none
		}
		r, err := run(t.Context(), Config{
			Targets: []string{f.target()}, Connections: 4, Requests: 100, Batch: 2, Patience: 50 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		accounted(t, f, r, 2)
		if r.Unknown.Unresolved != 4 {
			t.Errorf("%d unresolved, want one per connection", r.Unknown.Unresolved)
		}
	})
}

// accounted checks that every payment the server made was either accepted or
// is listed as unresolved.
func accounted(t *testing.T, f *fake, r Result, batch int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(r.Unknown.Keys) != int(r.Unknown.Unresolved)*batch {
		t.Errorf("%d keys for %d unresolved requests", len(r.Unknown.Keys), r.Unknown.Unresolved)
	}
	made := 0 // of the unresolved ones
	for _, key := range r.Unknown.Keys {
		if _, ok := f.payments[key]; ok {
			made++
		}
	}
	if got, want := int(r.Whole["201"])+made, len(f.payments); got != want {
		t.Errorf("accepted and unresolved cover %d payments, the server made %d", got, want)
	}
}

// TestRunCancelled ends a run while every connection waits for an answer that
// never comes.
func TestRunCancelled(t *testing.T) {
	eachDriver(t, func(t *testing.T, run runner) {
		f := startFake(t)
		ctx, cancel := context.WithCancel(t.Context())
		waiting := 0
		f.misbehave = func(string, int) fault {
			if len(f.seen) <= 10 {
				return none
			}
			if waiting++; waiting == 5 {
				cancel()
			}
			return silent
		}
		r, err := run(ctx, Config{Targets: []string{f.target()}, Connections: 5, Requests: 100, Patience: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		accounted(t, f, r, 1)
		if r.Whole["201"] != 10 || r.Unknown.Unresolved != 5 || r.Unknown.Cut != 0 {
			t.Errorf("result: %+v", r)
		}
	})
}

// TestRunCancelledReconnecting ends a run while connections are being dialled
// again after being cut.
func TestRunCancelledReconnecting(t *testing.T) {
	eachDriver(t, func(t *testing.T, run runner) {
		f := startFake(t)
		ctx, cancel := context.WithCancel(t.Context())
		f.misbehave = func(_ string, nth int) fault {
			if nth == 2 {
				cancel()
			}
			return cutBefore
		}
		r, err := run(ctx, Config{Targets: []string{f.target()}, Connections: 20, Requests: 100, Patience: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		check(t, f, r, 0)
		if r.Unknown.Unresolved != 20 {
			t.Errorf("unknown: %+v", r.Unknown)
		}
	})
}

// TestRunOverdue has a server that stays connected but does not answer.
func TestRunOverdue(t *testing.T) {
	eachDriver(t, func(t *testing.T, run runner) {
		f := startFake(t)
		f.misbehave = func(string, int) fault { return silent }
		r, err := run(t.Context(), Config{Targets: []string{f.target()}, Connections: 3, Requests: 9, Patience: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if r.Unknown.Unresolved != 3 || len(r.Whole) != 0 || r.Throughput != 0 {
			t.Errorf("result: %+v", r)
		}
	})
}

// TestOpenLoopGoesOn has every connection of an open loop lost: the load goes on,
// on new ones. It ends as soon as that shows, which the schedule leaves 60 s for.
func TestOpenLoopGoesOn(t *testing.T) {
	eachDriver(t, func(t *testing.T, run runner) {
		f := startFake(t)
		f.misbehave = func(string, int) fault {
			if len(f.seen) <= 2 {
				return silent
			}
			return none
		}
		ctx, cancel := context.WithCancel(t.Context())
		f.executed = func(operation) {
			if len(f.payments) > 2 {
				cancel()
			}
		}
		r, err := run(ctx, Config{
			Targets: []string{f.target()}, Connections: 2, Rate: 100, Requests: 6000, Patience: 50 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		if ctx.Err() == nil {
			t.Errorf("%d skipped, unknown %+v", r.Skipped, r.Unknown)
		}
	})
}

func TestRunMalformedReply(t *testing.T) {
	eachDriver(t, func(t *testing.T, run runner) {
		for bad, want := range map[fault]string{garbage: "malformed reply: status line", missingResult: "1 results for 2 payments"} {
			f := startFake(t)
			f.misbehave = func(string, int) fault {
				if len(f.seen) == 7 {
					return bad
				}
				return none
			}
			_, err := run(t.Context(), Config{Targets: []string{f.target()}, Connections: 3, Threads: 3, Requests: 50, Batch: 2})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
		}
	})
}

func TestRunNoServer(t *testing.T) {
	f := startFake(t)
	f.leave()
	if _, err := Run(t.Context(), Config{Targets: []string{f.target()}, Requests: 1}); err == nil || !strings.Contains(err.Error(), "connect") {
		t.Errorf("error %v", err)
	}
}
