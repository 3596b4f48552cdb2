package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"purser/bench"
)

// ledger is a Purser server on a directory of its own.
type ledger struct {
	*process
	dir    string
	target string
}

var listening = regexp.MustCompile(`msg=listening api=(\S+) admin=(\S+)`)

// startLedger starts binary below parent, with its default settings.
func startLedger(ctx context.Context, binary, parent string) (*ledger, error) {
	dir, err := os.MkdirTemp(parent, "pgcompare-purser-")
	if err != nil {
		return nil, err
	}
	l := &ledger{dir: dir}
	var mu sync.Mutex
	var admin string
	cmd := exec.Command(binary, "server", "--data-dir", filepath.Join(dir, "data"),
		"--api-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--raft-listen", "127.0.0.1:0")
	l.process, err = launch(cmd, func(line string) {
		if m := listening.FindStringSubmatch(line); m != nil {
			mu.Lock()
			defer mu.Unlock()
			l.target, admin = "http://"+m[1], "http://"+m[2]
		}
	})
	if err == nil {
		err = l.await(ctx, func() error {
			mu.Lock()
			defer mu.Unlock()
			return ready(ctx, admin)
		})
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func ready(ctx context.Context, admin string) error {
	if admin == "" {
		return errors.New("it does not listen")
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz: %s", answer.Status)
	}
	return nil
}

func (l *ledger) close() error {
	if l.process != nil {
		l.stop(syscall.SIGTERM)
	}
	return os.RemoveAll(l.dir)
}

// load is what all runs of a row of the table have in common.
type load struct {
	name  string
	flags []string // of purser bench run
}

// loads are the rows: both have two accounts with rows of their own in every
// payment. The hot account sorts after those that it pays, so that PostgreSQL
// locks it last and holds it for the shortest time.
func loads(accounts int) []load {
	n := strconv.Itoa(accounts)
	return []load{
		{name: "one hot account", flags: []string{"--source", "hot", "--destination", "account-{n}", "--accounts", n}},
		{name: "uniform over " + n + " accounts", flags: []string{"--source", "bench-{n}", "--destination", "bench-{n}", "--accounts", n}},
	}
}

// generator puts load on a server with purser bench run.
type generator struct {
	binary           string
	dir              string // for results
	duration, warmup time.Duration
}

// run sets up the accounts of l and measures. It fails unless every payment
// was accepted.
func (g generator) run(ctx context.Context, target string, l load, connections int, keyPrefix string) (r bench.Result, err error) {
	out := filepath.Join(g.dir, "result.json")
	args := append([]string{"bench", "run", "--target", target, "--out", out,
		"--connections", strconv.Itoa(connections), "--key-prefix", keyPrefix,
		"--duration", g.duration.String(), "--warmup", g.warmup.String(),
		"--patience", "2m"}, l.flags...) // a thousand accounts are funded in one request
	if said, err := exec.CommandContext(ctx, g.binary, args...).CombinedOutput(); err != nil {
		return r, fmt.Errorf("purser bench run: %w\n%s", err, said)
	}
	f, err := os.Open(out)
	if err != nil {
		return r, err
	}
	defer f.Close()
	if r, err = bench.ReadResult(f); err != nil {
		return r, fmt.Errorf("%s: %w", out, err)
	}
	if r.Verdict.Outcome != bench.OutcomeOK {
		return r, fmt.Errorf("%s: %s", r.Verdict.Outcome, strings.Join(r.Verdict.Reasons, "; "))
	}
	if r.Accepted == 0 || r.Unknown.Unresolved > 0 {
		return r, fmt.Errorf("%s at %d connections: %d payments accepted, %d requests without an answer",
			l.name, connections, r.Accepted, r.Unknown.Unresolved)
	}
	for status, n := range r.Codes {
		if status != "201" && n > 0 {
			return r, fmt.Errorf("%s at %d connections: %d answers with status %s: %s", l.name, connections, n, status, r.Examples[status])
		}
	}
	return r, nil
}
