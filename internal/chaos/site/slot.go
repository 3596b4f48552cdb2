//go:build linux || darwin

package site

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// slots is how many sites there can be at a time on one machine. Their names are as
// long as the names of network links may be.
const slots = 100

//go:embed sweep.sh
var sweepScript string

// slot is the number of a site, from which its name and its addresses follow, and
// its directory. The lock on a file that holds the number is the sweeper's, too:
// nobody has the number again before everything is gone.
type slot struct {
	number  int
	name    string
	dir     string
	lock    *os.File
	sweeper *sweeper
}

// claim takes a number that nobody has, and a directory. On the way it takes away
// what is left of sites that died together with their sweepers.
func claim(keep bool) (*slot, error) {
	var mine *slot
	for number := range slots {
		name := fmt.Sprintf("purser-chaos-%d", number)
		left, err := filepath.Glob(filepath.Join(os.TempDir(), name+"-*"))
		if err != nil {
			return nil, err
		}
		if mine != nil && len(left) == 0 {
			continue
		}
		lock := lockFile(filepath.Join(os.TempDir(), name+".lock"))
		if lock == nil {
			continue
		}
		for _, dir := range left {
			if err := sweep(dir, name, lock).finish(); err != nil {
				return nil, errors.Join(err, lock.Close())
			}
		}
		if mine == nil {
			mine = &slot{number: number, name: name, lock: lock}
		} else if err := lock.Close(); err != nil {
			return nil, err
		}
	}
	if mine == nil {
		return nil, fmt.Errorf("site: all %d numbers are taken", slots)
	}
	return mine, mine.furnish(keep)
}

// lockFile returns the file at path, locked; nil if another process has it.
func lockFile(path string) *os.File {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil // another user's
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		return nil
	}
	return f
}

func (s *slot) furnish(keep bool) (err error) {
	pattern := s.name + "-*"
	if keep {
		pattern = s.name + "-kept-*"
	}
	if s.dir, err = os.MkdirTemp("", pattern); err != nil {
		return errors.Join(err, s.lock.Close())
	}
	s.sweeper = sweep(s.dir, s.name, s.lock)
	return s.sweeper.fault
}

// release takes everything away and gives the number back.
func (s *slot) release() error {
	return errors.Join(s.sweeper.finish(), s.lock.Close())
}

// sweeper is a shell that takes away what a site has made.
type sweeper struct {
	cmd   *exec.Cmd
	pipe  io.Closer
	said  bytes.Buffer
	fault error // why it did not start
}

// sweep starts a sweeper. It waits for finish, or for the end of this process.
func sweep(dir, name string, lock *os.File) *sweeper {
	w := &sweeper{cmd: exec.Command("sh", "-c", sweepScript, "sweep", dir, name)}
	w.cmd.ExtraFiles = []*os.File{lock}
	w.cmd.Dir = "/"
	w.cmd.Stdout, w.cmd.Stderr = &w.said, &w.said
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what interrupts the test does not interrupt it
	if w.pipe, w.fault = w.cmd.StdinPipe(); w.fault == nil {
		w.fault = w.cmd.Start()
	}
	return w
}

// finish has the sweeper do its work and waits for it.
func (w *sweeper) finish() error {
	if w.fault != nil {
		return w.fault
	}
	err := errors.Join(w.pipe.Close(), w.cmd.Wait())
	if err != nil {
		return fmt.Errorf("sweep: %w: %s", err, w.said.Bytes())
	}
	return nil
}
