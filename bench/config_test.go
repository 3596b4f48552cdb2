package bench

import (
	"strings"
	"testing"
)

func TestConfigValidate(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for want, cfg := range map[string]Config{
		"want http://host:port":          {Targets: []string{"https://h:1"}},
		"address":                        {Targets: []string{"http://h:x"}},
		"connections -1":                 {Connections: -1},
		"connections 100000":             {Connections: 100_000},
		"threads 3":                      {Connections: 2, Threads: 3},
		"must not be negative":           {Duration: -1},
		"requests -1":                    {Requests: -1},
		"requests excludes duration":     {Requests: 1, Duration: 1},
		"accounts -1":                    {Accounts: -1},
		"hot 2":                          {Hot: 2},
		"hot percent 101":                {Hot: 1, HotPercent: 101},
		"hot percent without":            {HotPercent: 1},
		"rate -1":                        {Rate: -1},
		"arrivals":                       {Arrivals: "bursts"},
		"duplicates 1":                   {Duplicates: 1},
		"skew":                           {Skew: "zipf:1"},
		`mix: "fly=1"`:                   {Mix: "pay=1,fly=1"},
		`mix: "pay=x"`:                   {Mix: "pay=x"},
		`mix: "pay=2"`:                   {Mix: "pay=1,pay=2"},
		`mix: "create=1"`:                {Mix: "create=1"},
		"no weight":                      {Mix: "pay=0"},
		"a batch has payments only":      {Batch: 2, Mix: "pay=1,read=1"},
		"slo":                            {SLO: []string{"p99=1ms"}},
		`chaos "reboot@1s"`:              {Chaos: []string{"reboot@1s"}},
		"after the end of the run":       {Chaos: []string{"snapshot@11s"}},
		"must be an account":             {Verify: true, Source: "world:USD", Destination: "shop"},
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
