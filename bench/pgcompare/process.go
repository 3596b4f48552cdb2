package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience bounds the start and the end of a server. It is far above what
// either takes.
const patience = 2 * time.Minute

// process is a server in a process and a process group of its own: Ctrl-C
// reaches it only through stop.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // of Wait, once exited

	mu   sync.Mutex
	said []string // its last lines on standard error
}

// launch starts cmd. Each line on its standard error goes to watch, too, which
// may be nil.
func launch(cmd *exec.Cmd, watch func(line string)) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{})}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.exited)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.hear(lines.Text())
			if watch != nil {
				watch(lines.Text())
			}
		}
		p.err = cmd.Wait()
	}()
	return p, nil
}

func (p *process) hear(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, line)
	p.said = p.said[max(0, len(p.said)-20):]
}

// fault is err with what the process said last.
func (p *process) fault(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Errorf("%s: %w\n%s", p.cmd.Path, err, strings.Join(p.said, "\n"))
}

// explain adds to err, of a client, what the process said last, if it ended.
func (p *process) explain(err error) error {
	select {
	case <-p.exited:
		return p.fault(fmt.Errorf("ended (%v): %w", p.err, err))
	default:
		return err
	}
}

// await polls until ready returns nil, the process ends or ctx does.
func (p *process) await(ctx context.Context, ready func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; {
		err := ready()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return p.fault(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.exited:
			return p.fault(fmt.Errorf("ended: %v", p.err))
		case <-tick.C:
		}
	}
}

// stop asks the process to end and waits until it has; it is killed if it
// takes too long.
func (p *process) stop(signal os.Signal) {
	_ = p.cmd.Process.Signal(signal) // it may have ended
	late := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	<-p.exited
}
