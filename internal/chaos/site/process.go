//go:build linux || darwin

package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"
)

// process is a purser that was started.
type process struct {
	cmd   *exec.Cmd
	from  int64         // where in the log it begins
	ended chan struct{} // closed at its end, after code is set
	code  int           // exit code, -1 for a signal

	doomed atomic.Bool // it is to end
}

// spawn starts a process that writes its standard error at the end of the file at
// log. onEnd is called at its end.
func spawn(cmd *exec.Cmd, log string, onEnd func(p *process)) (*process, error) {
	f, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the process has it
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, from: info.Size(), ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = f, f
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // the code says it all
		p.code = cmd.ProcessState.ExitCode()
		onEnd(p)
		close(p.ended)
	}()
	return p, nil
}

// signal sends s. A process that has ended already is fine.
func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// await returns the exit code once the process has ended.
func (p *process) await(ctx context.Context) (int, error) {
	select {
	case <-p.ended:
		return p.code, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("process %d does not end: %w", p.cmd.Process.Pid, ctx.Err())
	}
}

// patience bounds what has to happen soon, far above what it takes, also on a
// machine that stands still for a minute.
const patience = 10 * time.Minute

// kill ends the process as a power cut would.
func (p *process) kill() error {
	p.doomed.Store(true)
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := p.await(ctx)
	return err
}
