package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"purser/bench"
)

// benchCommand is the load generator. It knows servers by HTTP alone.
func benchCommand() *cobra.Command {
	var cfg bench.Config
	var output, file string
	cmd := group(&cobra.Command{
		Use:   "bench",
		Short: "Put load on a server and measure it",
	})
	flags := cmd.PersistentFlags()
	flags.StringVar(&cfg.Target, "target", "http://127.0.0.1:8080", "base URL of the server")
	flags.IntVar(&cfg.Connections, "connections", 256, "connections, each with one request in flight (closed loop)")
	flags.DurationVar(&cfg.Duration, "duration", 10*time.Second, "measured time")
	flags.DurationVar(&cfg.Warmup, "warmup", 2*time.Second, "time before measuring starts")
	flags.IntVar(&cfg.Threads, "threads", 0, "workers that share the connections (default: half of the CPUs)")
	flags.IntVar(&cfg.Requests, "requests", 0, "end after this many requests instead of after --duration")
	flags.Int64Var(&cfg.Amount, "amount", 1, "amount of a payment in minor units")
	flags.Uint64Var(&cfg.Seed, "seed", 0, "fixes which accounts the requests name")
	flags.StringVar(&cfg.KeyPrefix, "key-prefix", "", "start of every idempotency key (default: unique to the run)")
	flags.IntVar(&cfg.Accounts, "accounts", 1, "accounts behind each {n} in the account ids")
	flags.Float64Var(&cfg.Hot, "hot", 0, "share of the payments that come from account 0, from 0 to 1")
	flags.StringVar(&cfg.Source, "source", "bench-{n}", "id of the account that pays")
	flags.StringVar(&cfg.Destination, "destination", "", "id of the account that is paid (default: the world account)")
	flags.IntVar(&cfg.Batch, "batch", 1, "payments per request")
	flags.StringVar(&cfg.Dir, "dir", "", "directory on the server's disk, for the fdatasync loop")
	flags.StringVarP(&output, "output", "o", "table", "table or json")
	flags.StringVar(&file, "out", "", "write the result as JSON to this file, too")

	report := func(w io.Writer, r result) error {
		if file != "" {
			if err := writeFile(file, r.JSON); err != nil {
				return err
			}
		}
		if output == "json" {
			return r.JSON(w)
		}
		return r.Text(w)
	}
	run := &cobra.Command{
		Use:   "run",
		Short: "Create and fund accounts, then pay in a closed loop",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := bench.Setup(cmd.Context(), cfg); err != nil {
				return err
			}
			r, err := bench.Run(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return report(cmd.OutOrStdout(), r)
		},
	}
	ceiling := &cobra.Command{
		Use:   "ceiling",
		Short: "Measure an empty HTTP handler and a bare fdatasync loop",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := bench.Ceiling(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			return report(cmd.OutOrStdout(), r)
		},
	}
	var rounds int
	ratio := &cobra.Command{
		Use:   "ratio",
		Short: "Measure a server and the empty handler in turn, and their ratio",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := bench.Setup(cmd.Context(), cfg); err != nil {
				return err
			}
			r, err := bench.Ratio(cmd.Context(), cfg, rounds)
			if err != nil {
				return err
			}
			return report(cmd.OutOrStdout(), r)
		},
	}
	ratio.Flags().IntVar(&rounds, "rounds", 5, "pairs of measurements")
	for _, c := range []*cobra.Command{run, ceiling, ratio} {
		c.PreRunE = func(*cobra.Command, []string) error {
			if output != "table" && output != "json" {
				return usage(fmt.Errorf("output %q is neither table nor json", output))
			}
			if cfg.Requests > 0 { // a bound of its own: no time, no warm-up
				cfg.Duration, cfg.Warmup = 0, 0
			}
			if err := cfg.Validate(); err != nil {
				return usage(err)
			}
			return nil
		}
	}
	cmd.AddCommand(run, ceiling, ratio)
	return cmd
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
