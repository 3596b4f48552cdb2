//go:build linux || darwin

package site

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Machine is where a node runs: an address, a disk and, while it is up, a process.
type Machine struct {
	site   *Site
	number int // from 1
	dir    string
	disk   disk

	// The addresses stay the same, whatever node runs here.
	api, admin, raft string

	mu      sync.Mutex // one action at a time
	id      string
	process *process     // nil while it is down
	ease    func() error // ends the slowness of the disk, nil for none
	hung    bool         // the disk hangs
}

// equip gives the machine a disk and the first node.
func (m *Machine) equip(ctx context.Context) (err error) {
	if m.site.network != nil {
		ip := m.site.network.ip(m.number)
		m.api, m.admin, m.raft = ip+":8080", ip+":8081", ip+":8082"
	}
	if m.site.loop {
		if err := m.disk.mount(ctx); err != nil {
			return err
		}
	}
	m.id, err = m.site.newID(ctx)
	return err
}

// API returns the address of the HTTP API.
func (m *Machine) API() string { return m.api }

// Admin returns the address of the admin listener.
func (m *Machine) Admin() string { return m.admin }

// ID returns the id of the node that runs here, or that is to run at the next start.
func (m *Machine) ID() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id
}

// Up reports whether a process runs.
func (m *Machine) Up() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.alive()
}

func (m *Machine) alive() bool {
	if m.process == nil {
		return false
	}
	select {
	case <-m.process.ended:
		return false
	default:
		return true
	}
}

// Start runs the command that is the same at every start, unless it runs already.
// It does not wait until the node is ready.
func (m *Machine) Start() (err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.alive() {
		return nil
	}
	m.note("start")
	m.process, err = spawn(m.command(), m.log(), func(p *process) {
		if !p.doomed.Load() {
			m.site.fault(&EndError{Machine: m.number, Code: p.code, At: time.Now()})
		}
	})
	return err
}

// EndError says that a node ended without being told to.
type EndError struct {
	Machine int // its number
	Code    int // exit code, -1 for a signal
	At      time.Time
}

func (e *EndError) Error() string {
	return fmt.Sprintf("machine %d: the node ended by itself with code %d at %s", e.Machine, e.Code, e.At.Format(time.RFC3339Nano))
}

func (m *Machine) command() *exec.Cmd {
	args := []string{m.site.cfg.Binary, "server", "--node-id", m.id, "--data-dir", filepath.Join(m.disk.dir, "data"), "--min-free-bytes=0",
		"--api-listen", m.api, "--admin-listen", m.admin, "--raft-listen", m.raft, "--peer-tls-dir", m.site.certs(),
		"--join", strings.Join(m.site.raftAddresses(), ","), fmt.Sprintf("--bootstrap-expect=%d", Size)}
	if n := m.site.network; n != nil {
		args = append(n.enter(m.number), append(args, "--allow-unauthenticated-remote")...)
	}
	args = append(args, m.site.cfg.Flags...)
	return exec.Command(args[0], args[1:]...)
}

// Kill ends the process as a power cut would, and makes its disk well: nothing that
// hangs in a write ends before.
func (m *Machine) Kill() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kill()
}

func (m *Machine) kill() error {
	if !m.alive() {
		return m.mend()
	}
	m.note("kill -9")
	m.process.doomed.Store(true)
	return errors.Join(m.process.signal(syscall.SIGKILL), m.mend(), m.process.kill())
}

// Terminate asks the process to drain, and waits until it has ended well.
func (m *Machine) Terminate(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.alive() {
		return nil
	}
	m.note("SIGTERM")
	m.process.doomed.Store(true)
	if err := m.process.signal(syscall.SIGTERM); err != nil {
		return err
	}
	code, err := m.process.await(ctx)
	if err != nil {
		return errors.Join(err, m.process.signal(syscall.SIGQUIT)) // its stacks say where it hangs
	}
	if code != 0 {
		return fmt.Errorf("node %s: exit code %d after SIGTERM", m.id, code)
	}
	return nil
}

// Pause stops the process where it is; its connections stay open. Resume lets it go
// on.
func (m *Machine) Pause() error { return m.send(syscall.SIGSTOP, "SIGSTOP") }

// Resume ends what Pause began.
func (m *Machine) Resume() error { return m.send(syscall.SIGCONT, "SIGCONT") }

func (m *Machine) send(s syscall.Signal, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.alive() {
		return nil
	}
	m.note(name)
	return m.process.signal(s)
}

// Slow makes the disk slow: it hangs and goes on in turns, until Steady. A disk that
// hangs stays as it is.
func (m *Machine) Slow(frozen, thawed time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hung {
		return nil
	}
	err := m.steady()
	m.note("the disk gets slow")
	m.ease = m.disk.slow(frozen, thawed)
	return err
}

// Steady ends what Slow began, and nothing else.
func (m *Machine) Steady() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.steady()
}

func (m *Machine) steady() (err error) {
	if m.ease != nil {
		m.note("the disk is not slow any more")
		err = m.ease()
		m.ease = nil
	}
	return err
}

// Hang has every write to the disk hang until Mend. The process may end itself for
// that.
func (m *Machine) Hang() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.steady(); err != nil {
		return err
	}
	m.note("the disk hangs")
	if m.process != nil {
		m.process.doomed.Store(true)
	}
	m.hung = true
	return m.disk.freeze()
}

// Mend makes the disk well.
func (m *Machine) Mend() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mend()
}

func (m *Machine) mend() error {
	m.hung = false
	return errors.Join(m.steady(), m.disk.thaw())
}

// AwaitEnd waits until the process has ended by itself, and returns its exit code.
func (m *Machine) AwaitEnd(ctx context.Context) (int, error) {
	m.mu.Lock()
	p := m.process
	m.mu.Unlock()
	if p == nil {
		return 0, fmt.Errorf("site: no process ran on machine %d", m.number)
	}
	return p.await(ctx)
}

// Wipe kills the process, and replaces the machine: an empty disk, and a new id for
// the node that is started next.
func (m *Machine) Wipe(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.kill(); err != nil {
		return err
	}
	if err := m.disk.wipe(ctx); err != nil {
		return err
	}
	id, err := m.site.newID(ctx)
	if err != nil {
		return err
	}
	m.note("the disk is empty; the next node is " + id)
	m.id = id
	return nil
}

func (m *Machine) log() string { return filepath.Join(m.dir, "log") }

// note writes a line into the log, between those of the processes.
func (m *Machine) note(what string) {
	line := fmt.Sprintf("%s === %s %s\n", time.Now().Format(time.RFC3339Nano), m.id, what)
	f, err := os.OpenFile(m.log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err == nil {
		_, err = f.WriteString(line)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		m.site.fault(fmt.Errorf("note in the log: %w", err))
	}
}

// Count returns how often text is in the log.
func (m *Machine) Count(text string) (int, error) {
	log, err := os.ReadFile(m.log())
	return bytes.Count(log, []byte(text)), err
}

// Said reports whether the process that was started last has written text to its
// log.
func (m *Machine) Said(text string) (bool, error) {
	m.mu.Lock()
	p := m.process
	m.mu.Unlock()
	log, err := os.ReadFile(m.log())
	if p == nil || err != nil {
		return false, err
	}
	return bytes.Contains(log[p.from:], []byte(text)), nil
}

// Tail returns the last lines of the log.
func (m *Machine) Tail(lines int) string {
	log, err := os.ReadFile(m.log())
	if err != nil {
		return err.Error()
	}
	all := strings.SplitAfter(string(log), "\n")
	return strings.Join(all[max(0, len(all)-lines-1):], "")
}

// races returns an error if the race detector spoke.
func (m *Machine) races() error {
	log, err := os.ReadFile(m.log())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if at := bytes.Index(log, []byte("WARNING: DATA RACE")); at >= 0 {
		return fmt.Errorf("machine %d: %.4000s", m.number, log[at:])
	}
	return err
}
