// Command purser is the payment-account server and its tools: one binary that
// serves, looks after a running server, and tells what it is.
//
// Data goes to standard output, messages to standard error. Exit codes:
//
//	0  done
//	1  failed; the message says why
//	2  wrong use of the command line
//	4  the books do not balance (verify)
//	5  the server ended itself because storage failed; see its last message
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

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "purser",
		Short:         "A payment-account server for shared, hot accounts",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		serverCommand(), devCommand(), statusCommand(), snapshotCommand(),
		verifyCommand(), benchCommand(), versionCommand(),
	)
	return root
}
