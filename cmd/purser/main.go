// Command purser is the payment-account server and its tools: one binary that
// serves, looks after a running server, and tells what it is.
//
// Data goes to standard output, messages to standard error. Exit codes:
//
//	0  done
//	1  failed; the message says why. So does a server that refuses to start, also
//	   because of damaged files
//	2  wrong use of the command line
//	3  an objective was missed (bench run --slo)
//	4  the books do not balance, or rows of them cannot be read (verify, snapshot verify --deep, snapshot restore);
//	   an acknowledged payment is missing or was made twice (bench run --verify)
//	5  storage failed under a running server, which ends it at once, or a snapshot
//	   is damaged; the last messages say what and where
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"purser/bench"
)

// Exit codes, as documented above.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitSLO     = 3
	exitBooks   = 4
	exitStorage = 5
)

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usage(err error) error { return &exitError{code: exitUsage, err: err} }

func main() {
	if bench.IsChild() {
		if err := bench.RunChild(); err != nil {
			fmt.Fprintln(os.Stderr, "purser:", err)
			os.Exit(exitFailed)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	root := rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "purser:", err)
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return exitFailed
}

// noArgs and oneArg make another number of arguments a wrong use.
func noArgs(cmd *cobra.Command, args []string) error { return asUsage(cobra.NoArgs(cmd, args)) }

func oneArg(cmd *cobra.Command, args []string) error { return asUsage(cobra.ExactArgs(1)(cmd, args)) }

func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return usage(err)
}

// group makes cmd a command that only has others below it: alone it prints its
// help, and an unknown name after it is a wrong use.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage(fmt.Errorf("%s has no command %q", cmd.CommandPath(), args[0]))
		}
		return cmd.Help()
	}
	return cmd
}

func rootCommand() *cobra.Command {
	root := group(&cobra.Command{
		Use:           "purser",
		Short:         "A payment-account server for shared, hot accounts",
		SilenceUsage:  true,
		SilenceErrors: true,
	})
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		serverCommand(), devCommand(), statusCommand(), snapshotCommand(), clusterCommand(),
		verifyCommand(), benchCommand(), versionCommand(),
	)
	return root
}
