//go:build linux || darwin

package site

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// run runs a command. Its error has what the command wrote.
func run(ctx context.Context, name string, args ...string) error {
	return runInput(ctx, "", name, args...)
}

func runInput(ctx context.Context, input, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "; "))
	}
	return nil
}

// Build makes a purser at path from the sources that the caller belongs to, with
// the flags that the environment has for the go command, and further ones.
func Build(ctx context.Context, path string, flags ...string) error {
	args := append([]string{"build", "-o", path}, flags...)
	return run(ctx, "go", append(args, "purser/cmd/purser")...)
}
