package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"purser/bench"
)

// benchFlags are what all measurements are told.
type benchFlags struct {
	bench.Config
	printer
	file  string
	page  string
	quiet bool
}

func (f *benchFlags) bind(cmd *cobra.Command) {
	f.printer.bind(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&f.Targets, "target", []string{"http://127.0.0.1:8080"}, "base URL of a node; several for a cluster")
	flags.StringSliceVar(&f.Admins, "admin", nil, "base URL of a node's admin listener; several for a cluster (default: the port after each target's)")
	flags.IntVar(&f.Connections, "connections", 256, "connections, each with one request in flight; without --rate a closed loop")
	flags.Var(number[float64]{&f.Rate}, "rate", "operations to start per second, whatever the answers: an open loop")
	flags.StringVar(&f.Arrivals, "arrivals", "poisson", "gaps of an open loop: poisson or constant")
	flags.DurationVar(&f.Duration, "duration", 10*time.Second, "measured time")
	flags.DurationVar(&f.Warmup, "warmup", 2*time.Second, "time before measuring starts")
	flags.IntVar(&f.Requests, "requests", 0, "end after this many requests instead of after --duration")
	flags.DurationVar(&f.Patience, "patience", 10*time.Second, "how long a request is pursued before it is given up")
	flags.IntVar(&f.Threads, "threads", 0, "workers that share the connections (default: half of the CPUs)")

	flags.Var(number[int]{&f.Accounts}, "accounts", "accounts behind each {n} in the account ids, for example 1M (default 1)")
	flags.Var(number[int]{&f.Hot}, "hot", "number of hot accounts, which pay --hot-percent of the payments")
	flags.Float64Var(&f.HotPercent, "hot-percent", 0, "share of the payments that the hot accounts pay (default 100)")
	flags.StringVar(&f.Skew, "skew", "uniform", "how accounts are drawn: uniform or zipf:0.99")
	flags.StringVar(&f.Source, "source", "bench-{n}", "id of the account that pays")
	flags.StringVar(&f.Destination, "destination", "", "id of the account that is paid (default: another one of several accounts, else the world account)")
	flags.Int64Var(&f.Amount, "amount", 1, "amount of a payment in minor units")

	flags.IntVar(&f.Batch, "batch", 1, "payments per request")
	flags.StringVar(&f.Mix, "mix", "pay=1", "kinds of operations with weights: pay, authorize, capture, void, refund, read")
	flags.Var(share{&f.Duplicates}, "duplicates", "share of requests that repeat a finished one, for example 1%")
	flags.StringVar(&f.KeyPrefix, "key-prefix", "", "start of every idempotency key (default: unique to the run)")
	flags.Uint64Var(&f.Seed, "seed", 0, "fixes the schedule, and what each request asks for")
	flags.StringVar(&f.Dir, "dir", "", "directory on the server's disk, for the fdatasync loop")
	flags.StringVar(&f.file, "out", "", "write the result as JSON to this file, too")
	flags.BoolVar(&f.quiet, "quiet", false, "no progress on standard error")
}

// bindObjectives adds what the runs of a command have to meet.
func (f *benchFlags) bindObjectives(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.SLO, "slo", nil, "objectives, for example 'p99<10ms,errors<0.1%,rate>19000'; exit code 3 of a run if one is missed")
}

// bindAudit adds what only a single run can do.
func (f *benchFlags) bindAudit(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.Verify, "verify", false, "check the books afterwards; exit code 4 if they are wrong")
	flags.StringSliceVar(&f.Chaos, "chaos", nil, "what to do to the server meanwhile, for example transfer-leader@20s,snapshot@30s; implies --verify")
	flags.StringVar(&f.page, "html", "", "write a page with plots to this file, too; bench report draws one later")
}

func (f *benchFlags) validate() error {
	if err := f.printer.validate(); err != nil {
		return err
	}
	if f.Requests > 0 { // a bound of its own: no time, no warm-up
		f.Duration, f.Warmup = 0, 0
	}
	f.Verify = f.Verify || len(f.Chaos) > 0
	f.Version = buildVersion()
	return asUsage(f.Validate())
}

// number is a flag for what may end in k or M.
type number[T int | float64] struct{ to *T }

func (n number[T]) Type() string { return "number" }

func (n number[T]) String() string {
	if n.to == nil {
		return ""
	}
	return strconv.FormatFloat(float64(*n.to), 'f', -1, 64)
}

func (n number[T]) Set(text string) error {
	digits, factor := text, 1.0
	for suffix, f := range map[string]float64{"k": 1e3, "M": 1e6} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			digits, factor = rest, f
		}
	}
	value, err := strconv.ParseFloat(digits, 64)
	if err != nil || float64(T(value*factor)) != value*factor {
		return fmt.Errorf("%q is no number like 250, 20k or 1M", text)
	}
	*n.to = T(value * factor)
	return nil
}

// share is a flag for 0.01 or 1%.
type share struct{ to *float64 }

func (s share) Type() string { return "share" }

func (s share) String() string {
	if s.to == nil {
		return ""
	}
	return strconv.FormatFloat(*s.to, 'f', -1, 64)
}

func (s share) Set(text string) (err error) {
	*s.to, err = bench.ParseShare(text)
	return err
}
