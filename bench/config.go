package bench

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const (
	maxConnections = 99_999
	maxBatch       = 10_000 // the highest limit a server can be started with
	maxPrefix      = 200    // leaves room for the number in a key of 255 bytes
	fundedPayments = 1_000_000_000
)

// Config says what load to put on which server. The zero value of a field is
// its default. Rates and counts are of operations: payments, later events of
// payments, and reads; a batch of n payments is n of them.
type Config struct {
	// Targets are the base URLs of the nodes; connections are dealt out to them
	// in turn, and one that breaks goes on to the next. Default
	// http://127.0.0.1:8080.
	Targets []string `json:"targets"`
	// Admins are the base URLs of the nodes' admin listeners. Default: those of
	// Targets with the next port, as far as anybody answers there.
	Admins []string `json:"admins"`
	// Connections is the number of TCP connections, each with one request in
	// flight. Default 256.
	Connections int `json:"connections"`
	// Threads is the number of workers that share the connections. Default:
	// half of the CPUs, at least one, because the server needs the rest.
	Threads int `json:"threads"`
	// Rate makes the loop open: so many operations start per second, whatever
	// becomes of them. Default 0: a closed loop.
	Rate float64 `json:"rate"`
	// Arrivals is how an open loop spaces them: "poisson", with independent
	// exponential gaps as of many clients, or "constant". Default poisson.
	Arrivals string `json:"arrivals"`
	// Duration is the measured time, after Warmup. Default 10s, unless Requests
	// is set.
	Duration time.Duration `json:"duration_ns"`
	// Warmup is the time before measuring starts. Default 0.
	Warmup time.Duration `json:"warmup_ns"`
	// Requests ends the run after this many HTTP requests instead of after
	// Duration. Default 0: by duration.
	Requests int `json:"requests"`

	// Accounts is the number of accounts behind each numbered pattern. Default 1.
	Accounts int `json:"accounts"`
	// Hot is the number of accounts, the first ones, that pay HotPercent (0 to
	// 100) of the payments; the others' sources are drawn by Skew. Defaults: 0,
	// and 100 where Hot is set.
	Hot        int     `json:"hot"`
	HotPercent float64 `json:"hot_percent"`
	// Skew is how accounts are drawn: "uniform", or "zipf:S" with the k-th
	// account 1/k^S as often as the first, 0 < S < 1. Default uniform.
	Skew string `json:"skew"`
	// Source is the account id that pays; "{n}" in it stands for the account's
	// number, padded with zeros to equal width. Default bench-{n}.
	Source string `json:"source"`
	// Destination is the account id that is paid, with the same "{n}". When it
	// equals Source, a payment never has the same account on both sides.
	// Default: Source where that is several accounts, else world:<Currency>.
	Destination string `json:"destination"`
	// Amount is the amount of each payment in minor units. Default 1.
	Amount int64 `json:"amount"`
	// Fund is what Setup pays to every source account, in minor units.
	// Default: enough for a billion payments.
	Fund int64 `json:"fund"`
	// Currency of all accounts. Default USD.
	Currency string `json:"currency"`

	// Batch is the number of payments per request: 1 sends single payments,
	// more sends batches. Default 1.
	Batch int `json:"batch"`
	// Mix has the kinds of operations with their weights, for example
	// "pay=90,authorize=5,capture=4,refund=1,read=50"; besides these there is
	// void. A capture or void of what the run authorized before, or a refund of
	// what it paid, finds nothing at first: then it is an authorization, or a
	// payment, instead. Default pay=1.
	Mix string `json:"mix"`
	// Duplicates is the share (0 to 1) of requests that repeat a finished one
	// under its key. Default 0.
	Duplicates float64 `json:"duplicates"`
	// KeyPrefix starts every idempotency key; a number follows. Two runs with
	// one prefix replay each other's payments. Default: taken from the clock and
	// the process id.
	KeyPrefix string `json:"key_prefix"`
	// Seed fixes the schedule, and what the n-th request asks for. Default 0, a
	// seed like any other.
	Seed uint64 `json:"seed"`
	// Patience is how long a request is pursued, by waiting, reconnecting and
	// sending it again, before its outcome is given up as unresolved and, in a
	// closed loop, its connection as lost. In an open loop a request that found
	// no free connection for so long is skipped. Default 10s.
	Patience time.Duration `json:"patience_ns"`

	// SLO has the objectives, for example "p99<10ms"; see ParseSLO.
	SLO []string `json:"slo,omitempty"`
	// Chaos has what is done to the server, for example "transfer-leader@20s";
	// see ParseChaos. It needs Admins.
	Chaos []string `json:"chaos,omitempty"`
	// Verify checks the server's books after the run. Nobody else may use the
	// accounts from before the run until then.
	Verify bool `json:"verify"`

	// Dir is where Ceiling writes the file for its fdatasync loop: a directory
	// on the disk that the server uses. Default: the temporary directory.
	Dir string `json:"dir"`
	// Syncs is the number of writes of that loop. Default 2000, a few tenths of a
	// second on a good disk.
	Syncs int `json:"syncs"`
	// InProcess serves the ceiling's empty handler from this process instead of
	// a process of its own. It costs the comparison its fairness: a server does
	// not share a Go runtime with its clients.
	InProcess bool `json:"in_process"`

	// Version of the program, for the Result.
	Version string `json:"-"`
	// Progress, if set, is told of every second of a run, from one goroutine.
	Progress func(Progress) `json:"-"`
}

// withDefaults returns c with every unset field at its default.
func (c Config) withDefaults() Config {
	if len(c.Targets) == 0 {
		c.Targets = []string{"http://127.0.0.1:8080"}
	}
	setDefault(&c.Connections, 256)
	setDefault(&c.Threads, min(max(1, runtime.NumCPU()/2), max(1, c.Connections)))
	setDefault(&c.Arrivals, arrivalsPoisson)
	if c.Requests == 0 {
		setDefault(&c.Duration, 10*time.Second)
	}
	setDefault(&c.Accounts, 1)
	if c.Hot > 0 {
		setDefault(&c.HotPercent, 100)
	}
	setDefault(&c.Skew, skewUniform)
	setDefault(&c.Source, "bench-{n}")
	setDefault(&c.Currency, "USD")
	if c.Accounts > 1 && strings.Contains(c.Source, numberMark) {
		setDefault(&c.Destination, c.Source)
	}
	setDefault(&c.Destination, "world:"+c.Currency)
	setDefault(&c.Amount, 1)
	if c.Amount > 0 && c.Fund == 0 {
		c.Fund = math.MaxInt64 / 4
		if c.Amount < c.Fund/fundedPayments {
			c.Fund = c.Amount * fundedPayments
		}
	}
	setDefault(&c.Batch, 1)
	setDefault(&c.Mix, "pay=1")
	if c.KeyPrefix == "" {
		c.KeyPrefix = fmt.Sprintf("bench-%s-%d", strconv.FormatInt(time.Now().UnixNano(), 36), os.Getpid())
	}
	setDefault(&c.Patience, 10*time.Second)
	setDefault(&c.Dir, os.TempDir())
	setDefault(&c.Syncs, 2000)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var unset T
	if *field == unset {
		*field = value
	}
}

// open reports whether the load is an open loop.
func (c Config) open() bool { return c.Rate > 0 }
