package main

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"purser/bench"
)

// benchFlags are what all measurements are told.
type benchFlags struct {
	bench.Config
	printer
	file string
}

func (f *benchFlags) bind(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.Target, "target", "http://127.0.0.1:8080", "base URL of the server")
	flags.IntVar(&f.Connections, "connections", 256, "connections, each with one request in flight (closed loop)")
	flags.DurationVar(&f.Duration, "duration", 10*time.Second, "measured time")
	flags.DurationVar(&f.Warmup, "warmup", 2*time.Second, "time before measuring starts")
	flags.IntVar(&f.Threads, "threads", 0, "workers that share the connections (default: half of the CPUs)")
	flags.IntVar(&f.Requests, "requests", 0, "end after this many requests instead of after --duration")
	flags.Int64Var(&f.Amount, "amount", 1, "amount of a payment in minor units")
	flags.Uint64Var(&f.Seed, "seed", 0, "fixes which accounts the requests name")
	flags.StringVar(&f.KeyPrefix, "key-prefix", "", "start of every idempotency key (default: unique to the run)")
	flags.IntVar(&f.Accounts, "accounts", 1, "accounts behind each {n} in the account ids")
	flags.Float64Var(&f.Hot, "hot", 0, "share of the payments that come from account 0, from 0 to 1")
	flags.StringVar(&f.Source, "source", "bench-{n}", "id of the account that pays")
	flags.StringVar(&f.Destination, "destination", "", "id of the account that is paid (default: the world account)")
	flags.IntVar(&f.Batch, "batch", 1, "payments per request")
	flags.StringVar(&f.Dir, "dir", "", "directory on the server's disk, for the fdatasync loop")
	flags.StringVar(&f.file, "out", "", "write the result as JSON to this file, too")
	f.printer.bind(cmd)
}

func (f *benchFlags) validate() error {
	if err := f.printer.validate(); err != nil {
		return err
	}
	if f.Requests > 0 { // a bound of its own: no time, no warm-up
		f.Duration, f.Warmup = 0, 0
	}
	return asUsage(f.Validate())
}

// benchCommand is the load generator. It knows servers by HTTP alone.
func benchCommand() *cobra.Command {
	var f benchFlags
	var rounds int
	cmd := group(&cobra.Command{Use: "bench", Short: "Put load on a server and measure it"})
	f.bind(cmd)
	run := f.command("run", "Create and fund accounts, then pay in a closed loop", func(ctx context.Context) (result, error) {
		if err := bench.Setup(ctx, f.Config); err != nil {
			return nil, err
		}
		return bench.Run(ctx, f.Config)
	})
	ceiling := f.command("ceiling", "Measure an empty HTTP handler and a bare fdatasync loop", func(ctx context.Context) (result, error) {
		return bench.Ceiling(ctx, f.Config)
	})
	ratio := f.command("ratio", "Measure a server and the empty handler in turn, and their ratio", func(ctx context.Context) (result, error) {
		if err := bench.Setup(ctx, f.Config); err != nil {
			return nil, err
		}
		return bench.Ratio(ctx, f.Config, rounds)
	})
	ratio.Flags().IntVar(&rounds, "rounds", 5, "pairs of measurements")
	cmd.AddCommand(run, ceiling, ratio)
	return cmd
}

// command is one measurement.
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
