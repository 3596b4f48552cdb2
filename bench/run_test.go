package bench

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// eachDriver runs a test with the system's driver and the portable one.
func eachDriver(t *testing.T, test func(t *testing.T, run func(context.Context, Config) (Result, error))) {
	t.Run("native", func(t *testing.T) { test(t, Run) })
	t.Run("blocking", func(t *testing.T) {
		test(t, func(ctx context.Context, cfg Config) (Result, error) {
			if err := cfg.Validate(); err != nil {
				return Result{}, err
			}
			r, err := newRun(cfg.withDefaults(), &nodes{})
			if err != nil {
				return Result{}, err
			}
			r.job.blocking = true
			return r.measure(ctx)
		})
	})
}

type runner = func(context.Context, Config) (Result, error)

// check compares a result with what the server executed.
func check(t *testing.T, f *fake, r Result, payments int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.payments) != payments {
		t.Errorf("server executed %d payments, want %d", len(f.payments), payments)
	}
	if n := r.Whole["201"]; n != uint64(payments) {
		t.Errorf("%d payments accepted, want %d: %+v", n, payments, r)
	}
	if r.Unknown.Requests != r.Unknown.Resolved+r.Unknown.Unresolved {
		t.Errorf("unknown outcomes do not add up: %+v", r.Unknown)
	}
}

func TestRunCounts(t *testing.T) {
	eachDriver(t, func(t *testing.T, run runner) {
		for _, test := range []struct {
			name                 string
			connections, threads int
			requests, batch      int
			pieces               int
		}{
			{"one", 1, 1, 1, 1, 0},
			{"more connections than requests", 8, 2, 3, 1, 0},
			{"singles", 7, 3, 500, 1, 0},
			{"in pieces", 3, 1, 40, 1, 9},
			{"batches", 3, 2, 40, 17, 0},
			{"batches in pieces", 2, 1, 10, 5, 11},
			{"large batches", 2, 2, 3, 10_000, 0},
		} {
			t.Run(test.name, func(t *testing.T) {
				f := startFake(t)
				f.pieces = test.pieces
				r, err := run(t.Context(), Config{
					Targets: []string{f.target()}, Connections: test.connections, Threads: test.threads,
					Requests: test.requests, Batch: test.batch, Accounts: 50, Destination: "bench-{n}",
				})
				if err != nil {
					t.Fatal(err)
				}
				payments := test.requests * test.batch
				check(t, f, r, payments)
				if f.received != payments {
					t.Errorf("server received %d payments, want %d: keys are not unique", f.received, payments)
				}
				if r.Accepted != uint64(payments) || r.Requests != uint64(test.requests) || r.Unknown.Cut != 0 || r.Replayed != 0 {
					t.Errorf("result: %+v", r)
				}
				if r.Throughput <= 0 || r.Elapsed <= 0 || r.Response.P50 <= 0 || r.Response.Max < r.Response.P50 {
					t.Errorf("no measure: %+v", r)
				}
			})
		}
	})
}

// TestRunLargeRequests has requests of 5 MB, more than a socket takes at once.
func TestRunLargeRequests(t *testing.T) {
	eachDriver(t, func(t *testing.T, run runner) {
		f := startFake(t)
		r, err := run(t.Context(), Config{
			Targets: []string{f.target()}, Connections: 2, Threads: 1, Requests: 3, Batch: 10_000, Patience: time.Hour,
			KeyPrefix: strings.Repeat("k", maxPrefix), Source: strings.Repeat("s", 128), Destination: strings.Repeat("d", 128),
		})
		if err != nil {
			t.Fatal(err)
		}
		check(t, f, r, 30_000)
	})
}

// TestRunByDuration checks that what is counted and what the server did agree
// however far the run came.
func TestRunByDuration(t *testing.T) {
	eachDriver(t, func(t *testing.T, run runner) {
		f := startFake(t)
		r, err := run(t.Context(), Config{
			Targets: []string{f.target()}, Connections: 4, Duration: 20 * time.Millisecond, Warmup: 5 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		check(t, f, r, len(f.order))
		if r.Accepted > r.Whole["201"] || r.Elapsed > 0.020 {
			t.Errorf("measured more than there was: %+v", r)
		}
	})
}

func TestRunRefusals(t *testing.T) {
	f := startFake(t)
	accepted := 0
	f.status = func(operation) int { // called with f.mu held
		if accepted == 30 {
			return 402
		}
		accepted++
		return 0
	}
	r, err := Run(t.Context(), Config{Targets: []string{f.target()}, Connections: 4, Requests: 100})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]uint64{"201": 30, "402": 70}; !maps.Equal(r.Codes, want) || !maps.Equal(r.Whole, want) {
		t.Errorf("codes %v and %v, want %v", r.Codes, r.Whole, want)
	}
	if !strings.HasPrefix(r.Examples["402"], `{"status":402`) || len(r.Examples) != 1 {
		t.Errorf("examples: %v", r.Examples)
	}
}

// TestSeed checks that a connection's requests depend on the seed alone.
func TestSeed(t *testing.T) {
	run := func(seed uint64) map[string]operation {
		f := startFake(t)
		_, err := Run(t.Context(), Config{
			Targets: []string{f.target()}, Connections: 4, Requests: 40, Batch: 3, Accounts: 1000, Destination: "bench-{n}",
			KeyPrefix: "k", Seed: seed,
		})
		if err != nil {
			t.Fatal(err)
		}
		return f.payments
	}
	first := run(1)
	if !maps.Equal(first, run(1)) {
		t.Error("one seed gave two loads")
	}
	if maps.Equal(first, run(2)) {
		t.Error("two seeds gave one load")
	}
	if _, ok := first["k-000000000119"]; !ok {
		t.Errorf("keys: %v", slices.Sorted(maps.Keys(first)))
	}
	accounts := make(map[string]bool)
	for _, p := range first {
		if p.Source == p.Destination || len(p.Source) != len("bench-000") || p.Amount != "1" || p.Currency != "USD" {
			t.Errorf("payment %+v", p)
		}
		accounts[p.Source] = true
	}
	if len(accounts) < 90 { // of 120 draws from 1000
		t.Errorf("%d different sources", len(accounts))
	}
}
