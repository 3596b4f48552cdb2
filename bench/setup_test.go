package bench

import (
	"context"
	"fmt"
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
	}{
		{"one hot", Config{}, 1, 1},
		{"family", Config{Accounts: 2345, Destination: "bench-{n}"}, 2345, 2345},
		{"two families", Config{Accounts: 12, Source: "a-{n}", Destination: "b-{n}"}, 24, 12},
		{"family to one", Config{Accounts: 3, Source: "a-{n}", Destination: "shop"}, 4, 3},
		{"only outside", Config{Source: "world:USD", Destination: "shop"}, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := startFake(t)
			test.cfg.Target = f.target()
			test.cfg.Fund = 77
			test.cfg.KeyPrefix = "k"
			for range 2 { // the second time changes nothing
				if err := Setup(t.Context(), test.cfg); err != nil {
					t.Fatal(err)
				}
			}
			if len(f.accounts) != test.accounts {
				t.Errorf("%d accounts created, want %d", len(f.accounts), test.accounts)
			}
			for id, n := range f.accounts {
				if n != 2 {
					t.Errorf("account %s was PUT %d times by two setups", id, n)
				}
			}
			funded := make(map[string]bool)
			for key, p := range f.payments {
				if p.Source != "world:USD" || p.Amount != "77" || funded[p.Destination] || f.accounts[p.Destination] == 0 {
					t.Errorf("payment %s: %+v", key, p)
				}
				funded[p.Destination] = true
			}
			if len(funded) != test.funded {
				t.Errorf("%d accounts funded, want %d", len(funded), test.funded)
			}
		})
	}
}

func TestSetupFails(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		f := startFake(t)
		f.status = func(pay) int { return 404 }
		err := Setup(t.Context(), Config{Target: f.target()})
		if err == nil || !strings.Contains(err.Error(), `fund accounts: status 404, 1 times: {"status":404`) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("unanswered", func(t *testing.T) {
		f := startFake(t)
		f.misbehave = func(string, int) fault { return silent }
		err := Setup(t.Context(), Config{Target: f.target(), Patience: time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), "not answered") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		f := startFake(t)
		ctx, cancel := context.WithCancel(t.Context())
		f.misbehave = func(string, int) fault { cancel(); return silent }
		if err := Setup(ctx, Config{Target: f.target()}); err == nil || !strings.Contains(err.Error(), "context canceled") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("504 resolved", func(t *testing.T) {
		f := startFake(t)
		f.misbehave = func(_ string, nth int) fault {
			if nth == 1 {
				return outcome504
			}
			return none
		}
		if err := Setup(t.Context(), Config{Target: f.target()}); err != nil {
			t.Error(err)
		}
	})
}

func TestConfigValidate(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for want, cfg := range map[string]Config{
		"want http://host:port":          {Target: "https://h:1"},
		"target":                         {Target: "http://h:x"},
		"connections -1":                 {Connections: -1},
		"connections 100000":             {Connections: 100_000},
		"threads 3":                      {Connections: 2, Threads: 3},
		"must not be negative":           {Duration: -1},
		"requests -1":                    {Requests: -1},
		"requests excludes duration":     {Requests: 1, Duration: 1},
		"accounts -1":                    {Accounts: -1},
		"hot 1.5":                        {Hot: 1.5},
		"amount -1":                      {Amount: -1},
		"fund -1":                        {Fund: -1},
		"batch 10001":                    {Batch: 10_001},
		"key prefix":                     {KeyPrefix: "a\r\nb"},
		`key prefix "` + long + `"`:      {KeyPrefix: long},
		"currency":                       {Currency: `U"D`},
		"account":                        {Source: "{n}{n}"},
		`account "a/b"`:                  {Destination: "a/b"},
		"the same account":               {Source: "a", Destination: "a"},
		`the same account "a-{n}"`:       {Source: "a-{n}", Destination: "a-{n}"},
		"neither source nor destination": {Source: "a", Accounts: 2},
	} {
		err := cfg.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", cfg, err, want)
		}
		if _, err := Run(t.Context(), cfg); err == nil {
			t.Errorf("Run accepted %+v", cfg)
		}
		if err := Setup(t.Context(), cfg); err == nil {
			t.Errorf("Setup accepted %+v", cfg)
		}
	}
	err := Config{Connections: -1, Batch: -1}.Validate()
	if err == nil || len(strings.Split(err.Error(), "\n")) < 2 {
		t.Errorf("faults are not joined: %v", err)
	}
}

var long = strings.Repeat("k", maxPrefix+1)

func TestFundDefault(t *testing.T) {
	for amount, want := range map[int64]int64{1: 1e9, 1 << 60: 1<<61 - 1} {
		if got := (Config{Amount: amount}).withDefaults().Fund; got != want {
			t.Errorf("amount %d: fund %d, want %d", amount, got, want)
		}
	}
}

func TestUniform(t *testing.T) {
	for _, hot := range []float64{0, 0.25, 1} {
		t.Run(fmt.Sprint(hot), func(t *testing.T) {
			const accounts, draws = 10, 20_000
			pick := uniform(accounts, hot, true)
			var state uint64
			var sources, destinations [accounts]int
			for n := range uint64(draws) {
				source, destination := pick(&state, n)
				if source == destination {
					t.Fatalf("draw %d: account %d on both sides", n, source)
				}
				sources[source]++
				destinations[destination]++
			}
			rest := (1 - hot) / accounts
			for i, n := range sources {
				want := rest
				if i == 0 {
					want += hot
				}
				if got := float64(n) / draws; got < want-0.02 || got > want+0.02 {
					t.Errorf("source %d in %.3f of the payments, want %.3f", i, got, want)
				}
			}
			for i, n := range destinations[1:] {
				if n < draws/accounts*8/10 {
					t.Errorf("destination %d only %d times", i+1, n)
				}
			}
		})
	}
}
