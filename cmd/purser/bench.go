package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"purser/bench"
	"purser/bench/compare"
	"purser/bench/report"
)

// benchCommand is the load generator. It knows servers by HTTP alone.
func benchCommand() *cobra.Command {
	var f benchFlags
	cmd := group(&cobra.Command{Use: "bench", Short: "Put load on servers, measure them and check their books"})
	for _, measure := range []*cobra.Command{
		f.runCommand(), f.sweepCommand(), f.tableCommand(), f.ceilingCommand(), f.ratioCommand(),
	} {
		f.bind(measure)
		cmd.AddCommand(measure)
	}
	cmd.AddCommand(benchCompareCommand(), benchReportCommand())
	return cmd
}

func (f *benchFlags) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Create and fund accounts, put load on them, and judge the server",
		Long: `Creates and funds the accounts, puts load on the targets, and prints a verdict
and the figures behind it.

With --rate the loop is open: requests start by a schedule, and their response
times count from there, however long they wait for a connection. Without it the
loop is closed: each of --connections sends its next request when the last one
is answered; response times then leave out the waiting that a slow server causes.

The verdict is OK, SLO MISSED, INVALID or BOOKS WRONG. INVALID says that the
figures tell about the generator: it was saturated, or lagged behind its own
schedule (p99 over 1 ms and over a tenth of the response time's), or had no CPU
because others used the machine. Exit codes: 0 OK, 1 failed or INVALID, 3 SLO
MISSED, 4 BOOKS WRONG.`,
		Example: `  purser bench run --connections 256 --duration 60s
  purser bench run --rate 20k --accounts 1M --skew zipf:0.99 --slo 'p99<10ms' --out r.json
  purser bench run --rate 5k --accounts 1k --mix pay=90,authorize=5,capture=4,refund=1 --duplicates 1% --verify
  purser bench run --target http://n1:8080,http://n2:8080 --rate 5k --duration 40s --chaos transfer-leader@20s,snapshot@30s`,
		Args:    noArgs,
		PreRunE: func(*cobra.Command, []string) error { return f.validate() },
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := bench.Setup(cmd.Context(), f.Config); err != nil {
				return err
			}
			cfg := f.Config
			if !f.quiet {
				p := newProgress(os.Stderr)
				defer p.end()
				cfg.Progress = p.show
			}
			r, err := bench.Run(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return errors.Join(f.report(cmd.OutOrStdout(), r), f.draw(r), verdict(r.Verdict))
		},
	}
	f.bindObjectives(cmd)
	f.bindAudit(cmd)
	return cmd
}

// verdict is the exit code that a run's verdict means.
func verdict(v bench.Verdict) error {
	code := map[bench.Outcome]int{
		bench.OutcomeSLOMissed:  exitSLO,
		bench.OutcomeInvalid:    exitFailed,
		bench.OutcomeBooksWrong: exitBooks,
	}[v.Outcome]
	if code == 0 {
		return nil
	}
	return &exitError{code, errors.New(strings.ToLower(string(v.Outcome)) + ": " + strings.Join(v.Reasons, "; "))}
}

// draw writes the page that --html asks for.
func (f *benchFlags) draw(r bench.Result) error {
	if f.page == "" {
		return nil
	}
	return writeFile(f.page, func(w io.Writer) error {
		return report.Write(w, compare.Run{Name: cmp.Or(f.file, "bench run"), Result: r})
	})
}

func (f *benchFlags) ceilingCommand() *cobra.Command {
	var wrk bool
	var rounds int
	cmd := f.command("ceiling", "Measure an empty HTTP handler and a bare fdatasync loop", func(ctx context.Context) (result, error) {
		c, err := bench.Ceiling(ctx, f.Config)
		if err != nil || !wrk {
			return c, err
		}
		c.Wrk, err = bench.CompareWrk(ctx, f.Config, rounds)
		return c, err
	})
	cmd.Flags().BoolVar(&wrk, "wrk", false, "measure the empty handler by wrk, too, which must be installed")
	cmd.Flags().IntVar(&rounds, "rounds", 5, "pairs of measurements by wrk and by this generator")
	return cmd
}

func (f *benchFlags) ratioCommand() *cobra.Command {
	var rounds int
	cmd := f.command("ratio", "Measure a server and the empty handler in turn, and their ratio", func(ctx context.Context) (result, error) {
		if err := bench.Setup(ctx, f.Config); err != nil {
			return nil, err
		}
		return bench.Ratio(ctx, f.Config, rounds)
	})
	cmd.Flags().IntVar(&rounds, "rounds", 5, "pairs of measurements")
	return cmd
}

func (f *benchFlags) sweepCommand() *cobra.Command {
	var rates []string
	var s bench.Sweep
	cmd := f.command("sweep", "Run at one rate, or number of connections, after the other, and find the knee", func(ctx context.Context) (result, error) {
		if err := bench.Setup(ctx, f.Config); err != nil {
			return nil, err
		}
		return bench.RunSweep(ctx, f.Config, s, func(r bench.Result) {
			if !f.quiet {
				fmt.Fprintf(os.Stderr, "%d connections, rate %.0f: %.0f/s, p99 %s, %s\n",
					r.Config.Connections, r.Config.Rate, r.Throughput, milliseconds(r.Response.P99), r.Verdict.Outcome)
			}
		})
	})
	cmd.PreRunE = func(*cobra.Command, []string) error {
		s.Rates = make([]float64, len(rates))
		for i, text := range rates {
			if err := (number[float64]{&s.Rates[i]}).Set(text); err != nil {
				return usage(fmt.Errorf("rates: %w", err))
			}
		}
		if len(rates) > 0 && len(s.Connections) > 0 {
			return usage(errors.New("rates and steps exclude each other"))
		}
		return f.validate()
	}
	cmd.Flags().StringSliceVar(&rates, "rates", nil, "rates, for example 5k,10k,20k (default: 10% to 110% of the maximum, which is measured first)")
	cmd.Flags().IntSliceVar(&s.Connections, "steps", nil, "numbers of connections of closed loops, for example 1,4,16,64,256")
	f.bindObjectives(cmd)
	return cmd
}

// command is one measurement without a verdict.
func (f *benchFlags) command(use, short string, measure func(ctx context.Context) (result, error)) *cobra.Command {
	return &cobra.Command{
		Use:     use,
		Short:   short,
		Args:    noArgs,
		PreRunE: func(*cobra.Command, []string) error { return f.validate() },
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := measure(cmd.Context())
			if err != nil {
				return err
			}
			return f.report(cmd.OutOrStdout(), r)
		},
	}
}

func (f *benchFlags) report(w io.Writer, r result) error {
	if f.file != "" {
		if err := writeFile(f.file, r.JSON); err != nil {
			return err
		}
	}
	if f.output == "json" {
		return r.JSON(w)
	}
	return r.Text(w)
}

// result is what every measurement can do.
type result interface {
	JSON(w io.Writer) error
	Text(w io.Writer) error
}

func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closing := f.Close(); err == nil {
			err = closing
		}
	}()
	return write(f)
}
