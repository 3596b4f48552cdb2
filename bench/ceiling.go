package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// CeilingResult is what the machine allows.
type CeilingResult struct {
	// HTTP is the load of the same Config on an empty handler.
	HTTP Result `json:"http"`
	// Fdatasync is the cost of making 4 KiB durable with nothing around it.
	Fdatasync Fdatasync `json:"fdatasync"`
	// Wrk is set by who called CompareWrk.
	Wrk *WrkResult `json:"wrk,omitempty"`
}

// Ceiling measures an empty fasthttp handler under the load of cfg, whose
// Targets it ignores, and then a bare fdatasync loop in cfg.Dir. The handler
// is served by another process of this program's binary (see IsChild), because
// that is how a server runs, unless cfg.InProcess says otherwise.
func Ceiling(ctx context.Context, cfg Config) (CeilingResult, error) {
	var c CeilingResult
	http, err := emptyRun(ctx, cfg)
	if err != nil {
		return c, err
	}
	cfg = cfg.withDefaults()
	sync, err := measureFdatasync(ctx, cfg.Dir, cfg.Syncs)
	if err != nil {
		return c, err
	}
	return CeilingResult{HTTP: http, Fdatasync: sync}, nil
}

// JSON writes c as indented JSON.
func (c CeilingResult) JSON(w io.Writer) error { return writeJSON(w, c) }

// Text writes c for people.
func (c CeilingResult) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "empty handler\t%.0f requests of %d/s, p50 %.0f µs, p99 %.0f\n",
		c.HTTP.Throughput/float64(c.HTTP.Config.Batch), c.HTTP.Config.Batch, c.HTTP.Response.P50, c.HTTP.Response.P99)
	fmt.Fprintf(t, "fdatasync\t%s\n", c.Fdatasync)
	if x := c.Wrk; x != nil {
		fmt.Fprintf(t, "by wrk\t%.0f requests/s, by this generator %.0f in the same rounds: %.2f of it (medians of %d; %s)\n",
			x.Throughput, x.Generator, x.Ratio, len(x.Rounds), x.Version)
	}
	fmt.Fprintf(t, "machine\t%s\n", c.HTTP.Machine)
	return t.Flush()
}

// emptyRun runs cfg against an empty server that lives as long as the run.
func emptyRun(ctx context.Context, cfg Config) (Result, error) {
	if err := cfg.Validate(); err != nil {
		return Result{}, err
	}
	cfg = cfg.withDefaults()
	if cfg.InProcess {
		e, err := startEmpty(cfg.Batch)
		if err != nil {
			return Result{}, err
		}
		defer e.stop()
		return cfg.onEmpty(ctx, e.address())
	}
	c, err := startChild(cfg.Batch)
	if err != nil {
		return Result{}, err
	}
	r, err := cfg.onEmpty(ctx, c.address)
	return r, errors.Join(err, c.stop())
}

// onEmpty runs the payments of c against an empty handler: a closed loop of new
// payments only, whatever else c says.
func (c Config) onEmpty(ctx context.Context, address string) (Result, error) {
	c.Targets, c.Admins, c.Rate, c.Mix = []string{"http://" + address}, nil, 0, "pay=1"
	c.Duplicates, c.SLO, c.Chaos, c.Verify, c.Progress = 0, nil, nil, false, nil
	r, err := newRun(c, &nodes{})
	if err != nil {
		return Result{}, err
	}
	return r.measure(ctx)
}

// child is an empty server in a process of its own.
type child struct {
	address string
	command *exec.Cmd
	stdin   io.Closer
}

// childStart is how long the child may take to name its address.
const childStart = 10 * time.Second

func startChild(batch int) (*child, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("empty server: %w", err)
	}
	c := &child{command: exec.Command(binary)}
	c.command.Env = append(os.Environ(), childVariable+"="+strconv.Itoa(batch))
	c.command.Stderr = os.Stderr
	stdout, err := c.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("empty server: %w", err)
	}
	if c.stdin, err = c.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("empty server: %w", err)
	}
	if err := c.command.Start(); err != nil {
		return nil, fmt.Errorf("empty server: %w", err)
	}
	late := time.AfterFunc(childStart, func() { _ = c.command.Process.Kill() })
	defer late.Stop()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("empty server: no address: %w", err), c.stop())
	}
	c.address = strings.TrimSpace(line)
	return c, nil
}

// stop ends the child and awaits it.
func (c *child) stop() error {
	c.stdin.Close()
	if err := c.command.Wait(); err != nil {
		return fmt.Errorf("empty server: %w", err)
	}
	return nil
}
