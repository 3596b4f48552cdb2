package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"purser/bench"
)

func (f *benchFlags) tableCommand() *cobra.Command {
	var t bench.Table
	var results string
	cmd := &cobra.Command{
		Use:   "table",
		Short: "Measure the standard table on a server of its own, or on --target",
		Long: `Measures the rows of the standard table: each in several rounds, and in each round
next to the ceiling that it is compared with. Without --target it starts a server
of this binary on a fresh directory below --dir, and ends it afterwards.

Rows: ` + strings.Join(bench.RowNames(), ", ") + `.
Without --rows all but sustained, which takes several minutes.`,
		Args: noArgs,
		PreRunE: func(*cobra.Command, []string) error {
			if err := t.Validate(); err != nil {
				return usage(err)
			}
			return f.validate()
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !f.quiet {
				t.Show = func(row string, round int, figure float64) {
					fmt.Fprintf(os.Stderr, "round %d  %-14s %.3g\n", round, row, figure)
				}
			}
			r, err := f.measureTable(cmd.Context(), t, cmd.Flags().Changed("target"))
			if err != nil {
				return err
			}
			return errors.Join(keepTable(results, r), f.report(cmd.OutOrStdout(), r))
		},
	}
	cmd.Flags().StringSliceVar(&t.Rows, "rows", nil, "names of the rows")
	cmd.Flags().IntVar(&t.Rounds, "rounds", 5, "rounds")
	cmd.Flags().Var(number[int]{&t.Sustained}, "sustained", "payments of the row sustained (default 100M)")
	cmd.Flags().StringVar(&results, "results", "", "directory for the table as JSON and Markdown, under names of the date and the commit")
	return cmd
}

// measureTable starts a server for the table, unless one is given.
func (f *benchFlags) measureTable(ctx context.Context, t bench.Table, given bool) (r bench.TableResult, err error) {
	cfg := f.Config
	if given {
		return bench.MeasureTable(ctx, cfg, t)
	}
	s, err := startBenchServer(ctx, f.Dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	cfg.Targets, cfg.Admins, cfg.Dir = []string{"http://" + s.api}, []string{"http://" + s.admin}, s.dir
	t.Restart, t.Engine, t.Peak = s.restart, measureEngine, s.peak
	return bench.MeasureTable(ctx, cfg, t)
}

// keepTable writes the table into dir, unless that is empty.
func keepTable(dir string, r bench.TableResult) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	base := filepath.Join(dir, r.Started.Format("20060102-150405")+"-"+r.Version)
	return errors.Join(writeFile(base+".json", r.JSON), writeFile(base+".md", r.Text))
}

// benchServer is a server of this binary in a process of its own.
type benchServer struct {
	dir, api, admin, raft string
	process               *exec.Cmd
}

// readyTimeout bounds the start of a server with much to replay.
const readyTimeout = 2 * time.Minute

// startBenchServer starts one on a fresh directory below parent, and on free
// ports.
func startBenchServer(ctx context.Context, parent string) (s *benchServer, err error) {
	s = &benchServer{}
	for _, address := range []*string{&s.api, &s.admin, &s.raft} {
		if *address, err = loopbackAddress(); err != nil {
			return nil, err
		}
	}
	if s.dir, err = os.MkdirTemp(cmp.Or(parent, "."), "bench-data."); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// loopbackAddress returns an address on loopback that nobody listens on now.
func loopbackAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// start starts the process and waits until it is ready.
func (s *benchServer) start(ctx context.Context) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	s.process = exec.Command(binary, "server", "--data-dir", filepath.Join(s.dir, "data"),
		"--api-listen", s.api, "--admin-listen", s.admin, "--raft-listen", s.raft)
	s.process.Stderr = log
	if err := s.process.Start(); err != nil {
		s.process = nil
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		if s.ready(ctx) {
			return nil
		}
		select {
		case <-ctx.Done():
			text, _ := os.ReadFile(log.Name()) // says why, if it says anything
			return fmt.Errorf("the server is not ready: %w\n%s", ctx.Err(), text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *benchServer) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// restart kills the process, and returns how long another one takes to be ready.
func (s *benchServer) restart(ctx context.Context) (time.Duration, error) {
	if err := s.end(syscall.SIGKILL); err != nil {
		return 0, err
	}
	began := time.Now()
	err := s.start(ctx)
	return time.Since(began), err
}

// peak is the most memory that the process had since the last call.
func (s *benchServer) peak() float64 {
	if s.process == nil {
		return 0
	}
	return peakResident(s.process.Process.Pid)
}

// end ends the process and waits for that.
func (s *benchServer) end(signal os.Signal) error {
	if s.process == nil {
		return nil
	}
	err := s.process.Process.Signal(signal)
	if wait := s.process.Wait(); signal != syscall.SIGKILL {
		err = errors.Join(err, wait)
	}
	s.process = nil
	return err
}

func (s *benchServer) close() error {
	return errors.Join(s.end(syscall.SIGTERM), os.RemoveAll(s.dir))
}
