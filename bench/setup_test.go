package bench

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestSetup(t *testing.T) {
	for _, test := range []struct {
		name     string
		cfg      Config
		accounts int // created, each once
		funded   int // of these, the sources
		again    int // funded by the second time
	}{
		{"one hot", Config{}, 1, 1, 0},
		{"family", Config{Accounts: 345}, 345, 345, 0},
		{"marked family", Config{Accounts: 2345}, 2346, 2345, 0},
		{"marked family, hot", Config{Accounts: 2345, Hot: 3}, 2346, 2345, 3},
		{"two families", Config{Accounts: 12, Source: "a-{n}", Destination: "b-{n}"}, 24, 12, 0},
		{"family to one", Config{Accounts: 3, Source: "a-{n}", Destination: "shop"}, 4, 3, 0},
		{"only outside", Config{Source: "world:USD", Destination: "shop"}, 1, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := startFake(t)
			test.cfg.Targets = []string{f.target()}
			test.cfg.Fund = 77
			test.cfg.KeyPrefix = "k"
			for i := range 2 {
				if err := Setup(t.Context(), test.cfg); err != nil {
					t.Fatal(err)
				}
				if len(f.accounts) != test.accounts {
					t.Errorf("%d accounts created, want %d", len(f.accounts), test.accounts)
				}
				if want := test.funded + i*test.again; len(f.payments) != want {
					t.Errorf("setup %d: %d payments in all, want %d", i+1, len(f.payments), want)
				}
			}
			marked := test.cfg.Accounts >= markedAccounts
			for id, n := range f.accounts {
				if want := map[bool]int{false: 2, true: 1}[marked]; n != want {
					t.Errorf("account %s was PUT %d times by two setups, want %d", id, n, want)
				}
			}
			funded := make(map[string]int)
			for key, p := range f.payments {
				if p.Source != "world:USD" || p.Amount != "77" || f.accounts[p.Destination] == 0 {
					t.Errorf("payment %s: %+v", key, p)
				}
				funded[p.Destination]++
			}
			if len(funded) != test.funded {
				t.Errorf("%d accounts funded, want %d", len(funded), test.funded)
			}
			if n := funded["bench-0002"]; marked && n != 1+min(1, test.again) {
				t.Errorf("account 2 was funded %d times", n)
			}
		})
	}
}

// TestSetupInterrupted repeats a setup that did not come to its mark, in another
// run: nothing is funded twice.
func TestSetupInterrupted(t *testing.T) {
	f := startFake(t)
	cfg := Config{Targets: []string{f.target()}, Accounts: 2000, Connections: 4}
	if err := Setup(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	for id := range f.book.accounts {
		if strings.HasPrefix(id, "bench-setup:") {
			delete(f.book.accounts, id)
		}
	}
	if err := Setup(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if len(f.payments) != 2000 || f.received <= 2000 {
		t.Errorf("%d payments of %d received", len(f.payments), f.received)
	}
}

func TestSetupFails(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		f := startFake(t)
		f.status = func(operation) int { return 404 }
		err := Setup(t.Context(), Config{Targets: []string{f.target()}})
		if err == nil || !strings.Contains(err.Error(), `fund accounts: status 404, 1 times: {"status":404`) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("unanswered", func(t *testing.T) {
		f := startFake(t)
		f.misbehave = func(string, int) fault { return silent }
		err := Setup(t.Context(), Config{Targets: []string{f.target()}, Patience: time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), "not answered") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		f := startFake(t)
		ctx, cancel := context.WithCancel(t.Context())
		f.misbehave = func(string, int) fault { cancel(); return silent }
		if err := Setup(ctx, Config{Targets: []string{f.target()}}); err == nil || !strings.Contains(err.Error(), "context canceled") {
			t.Errorf("error %v", err)
		}
	})
	for name, passing := range map[string]fault{"504 resolved": outcome504, "503 passes": refuse503} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t)
			f.misbehave = func(_ string, nth int) fault {
				if nth == 1 {
					return passing
				}
				return none
			}
			if err := Setup(t.Context(), Config{Targets: []string{f.target()}}); err != nil {
				t.Error(err)
			}
		})
	}
}
