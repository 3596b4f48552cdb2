package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for another process. It is far above what any of
// them takes: no test passes or fails by it unless something hangs.
const patience = 2 * time.Minute

// process is a purser in a process of its own.
type process struct {
	tb         testing.TB
	cmd        *exec.Cmd
	api, admin string // addresses, once it listens

	listening chan struct{} // closed when the addresses are known
	exited    chan struct{} // closed when it has ended; code is known then
	code      int           // exit code, -1 when a signal ended it

	mu     sync.Mutex
	stderr strings.Builder
}

// listenAnywhere are the flags of a server that picks its ports.
var listenAnywhere = []string{"--api-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--raft-listen=127.0.0.1:0"}

// launch starts purser with args, and ends it with the test at the latest.
func launch(tb testing.TB, args ...string) *process {
	tb.Helper()
	return launchWith(tb, nil, args...)
}

// launchWith is launch with further variables in the environment.
func launchWith(tb testing.TB, env []string, args ...string) *process {
	tb.Helper()
	p := &process{tb: tb, listening: make(chan struct{}), exited: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], args...)
	p.cmd.Env = append(append(os.Environ(), childVariable+"=1"), env...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		in := bufio.NewReader(stderr)
		for {
			text, err := in.ReadString('\n')
			p.line(text)
			if err != nil {
				break
			}
		}
		_ = p.cmd.Wait() // the code says it all
		p.code = p.cmd.ProcessState.ExitCode()
	}()
	tb.Cleanup(func() {
		if tb.Failed() {
			p.dump()
		}
		p.kill()
		if tb.Failed() {
			tb.Logf("standard error of purser %s:\n%s", strings.Join(args, " "), p.said())
		}
	})
	return p
}

// serve starts a server on dir with further flags, and returns when it is ready.
func serve(tb testing.TB, dir string, flags ...string) *process {
	tb.Helper()
	args := append([]string{"server", "--data-dir", dir, "--min-free-bytes=0"}, listenAnywhere...)
	p := launch(tb, append(args, flags...)...)
	p.awaitListening()
	p.awaitReady()
	return p
}

var listeningLine = regexp.MustCompile(`msg=listening api=(\S+) admin=(\S+)`)

func (p *process) line(text string) {
	p.mu.Lock()
	p.stderr.WriteString(text)
	p.mu.Unlock()
	if m := listeningLine.FindStringSubmatch(text); m != nil && p.api == "" {
		p.api, p.admin = m[1], m[2]
		close(p.listening)
	}
}

// said is what the process wrote to standard error so far.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

func (p *process) awaitListening() {
	p.tb.Helper()
	select {
	case <-p.listening:
	case <-p.exited:
		p.tb.Fatalf("the server ended with code %d before it listened", p.code)
	case <-time.After(patience):
		p.tb.Fatal("the server does not listen")
	}
}

func (p *process) awaitReady() {
	p.tb.Helper()
	admin := dial(p.tb, p.admin)
	defer admin.close()
	eventually(p.tb, "the server is ready", func() bool {
		return admin.must(request{method: "GET", path: "/readyz"}).status == 200
	})
}

// kill ends the process as a power cut would, and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// dump has a process that still runs write its stacks to standard error: what a
// test waited for in vain is among them.
func (p *process) dump() {
	if p.cmd.Process.Signal(syscall.SIGQUIT) != nil {
		return // it has ended
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
	}
}

// terminate asks the process to drain.
func (p *process) terminate() {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.tb.Fatal(err)
	}
}

// stop drains the server and fails the test unless it ends well.
func (p *process) stop() {
	p.tb.Helper()
	p.terminate()
	if code := p.exitCode(); code != 0 {
		p.tb.Fatalf("exit code %d after SIGTERM", code)
	}
}

// exitCode waits for the end of the process.
func (p *process) exitCode() int {
	p.tb.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.tb.Fatal("the process does not end")
	}
	return p.code
}

// position is how far a server has applied its log, and to what effect.
type position struct {
	AppliedIndex uint64 `json:"applied_index"`
	Digest       string `json:"digest"`
}

func (p *process) position() (at position) {
	p.tb.Helper()
	p.adminCall("GET", "/admin/v1/status", 200, &at)
	if at.AppliedIndex == 0 || at.Digest == "" {
		p.tb.Fatalf("status says %+v", at)
	}
	return at
}

// verify fails the test unless the books balance.
func (p *process) verify() {
	p.tb.Helper()
	var books struct {
		OK         bool
		Currencies map[string]struct {
			Accounts int
			Sum      string
		}
	}
	p.adminCall("POST", "/admin/v1/verify?deep=true", 200, &books)
	for code, c := range books.Currencies {
		if c.Sum != "0" {
			p.tb.Errorf("all %s add up to %s", code, c.Sum)
		}
	}
	if !books.OK || len(books.Currencies) == 0 {
		p.tb.Fatalf("verify says %+v", books)
	}
}

func (p *process) snapshot() {
	p.tb.Helper()
	p.adminCall("POST", "/admin/v1/snapshots", 201, &struct{}{})
}

func (p *process) adminCall(method, path string, status int, out any) {
	p.tb.Helper()
	admin := dial(p.tb, p.admin)
	defer admin.close()
	a := admin.must(request{method: method, path: path})
	if a.status != status {
		p.tb.Fatalf("%s %s answered %d: %s", method, path, a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), out); err != nil {
		p.tb.Fatalf("%s %s answered %s: %v", method, path, a.body, err)
	}
}

// eventually polls until holds does. What it waits for is bound to happen.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(end) {
			tb.Fatalf("never happened: %s", what)
		}
	}
}
