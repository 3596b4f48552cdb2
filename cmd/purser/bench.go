package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"purser/bench"
)

// benchCommand is the load generator. It knows servers by HTTP alone.
func benchCommand() *cobra.Command {
	var f benchFlags
	cmd := group(&cobra.Command{Use: "bench", Short: "Put load on servers, measure them and check their books"})
	f.bind(cmd)
	cmd.AddCommand(f.runCommand(), f.ceilingCommand(), f.ratioCommand())
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

The verdict is OK, SLO MISSED, INVALID (the generator was saturated, or lagged
behind its own schedule: p99 over 1 ms and over a tenth of the response time's),
or BOOKS WRONG. Exit codes: 0 OK, 1 failed or INVALID, 3 SLO MISSED, 4 BOOKS
WRONG.`,
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
			return errors.Join(f.report(cmd.OutOrStdout(), r), verdict(r.Verdict))
		},
	}
	f.bindRun(cmd)
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

func (f *benchFlags) ceilingCommand() *cobra.Command {
	return f.command("ceiling", "Measure an empty HTTP handler and a bare fdatasync loop", func(ctx context.Context) (result, error) {
		return bench.Ceiling(ctx, f.Config)
	})
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
