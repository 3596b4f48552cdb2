//go:build linux || darwin

package site

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestNodes does to the nodes what may be done to them, on whatever machines there
// can be, and on plain ones.
func TestNodes(t *testing.T) {
	for name, plain := range map[string]bool{"best": false, "plain": true} {
		t.Run(name, func(t *testing.T) {
			if plain && testing.Short() {
				t.Skip("only the best that this machine can do with -short")
			}
			s := open(t, Config{Plain: plain})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for _, m := range s.Machines {
				if err := m.Start(); err != nil {
					t.Fatal(err)
				}
			}
			lead := func() (leader *Machine) {
				t.Helper()
				eventually(t, "a node leads", func() bool { leader = s.Leader(ctx); return leader != nil })
				return leader
			}
			ready := func() {
				t.Helper()
				for _, m := range s.Machines {
					eventually(t, m.ID()+" is ready", func() bool { return m.Ready(ctx) == nil })
				}
			}
			ready()
			first := lead()
			if err := first.Kill(); err != nil {
				t.Fatal(err)
			}
			var second *Machine
			eventually(t, "another node leads", func() bool { second = s.Leader(ctx); return second != nil && second != first })
			if err := first.Start(); err != nil {
				t.Fatal(err)
			}
			ready()
			if err := second.Pause(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "another node leads than the one that is paused", func() bool { m := s.Leader(ctx); return m != nil && m != second })
			if err := second.Resume(); err != nil {
				t.Fatal(err)
			}
			ready()
			third := lead()
			if err := third.Terminate(ctx); err != nil {
				t.Fatal(err)
			}
			if third.Up() {
				t.Error("a node is up after SIGTERM")
			}
			eventually(t, third.ID()+" is removed", func() bool { // the new leader may not serve yet
				leader := s.Leader(ctx)
				return leader != nil && leader.Remove(ctx, third.ID()) == nil
			})
			if err := third.Wipe(ctx); err != nil {
				t.Fatal(err)
			}
			if third.ID() != "n4" {
				t.Errorf("the new node is %s", third.ID())
			}
			if err := third.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the new node votes", func() bool {
				status, err := third.Status(ctx)
				return err == nil && status.Voters() == Size
			})
			ready()
			if faults := s.Faults(); len(faults) > 0 {
				t.Error(faults)
			}
		})
	}
}

// TestEndsAreNoticed: a node that ends without being told to is a fault.
func TestEndsAreNoticed(t *testing.T) {
	s := open(t, Config{Plain: true, Flags: []string{"--nonsense"}})
	if err := s.Machines[1].Start(); err != nil {
		t.Fatal(err)
	}
	if code, err := s.Machines[1].AwaitEnd(t.Context()); code != 2 || err != nil {
		t.Errorf("ended with %d, %v", code, err)
	}
	var end *EndError
	if faults := s.Faults(); len(faults) != 1 || !errors.As(faults[0], &end) || end.Machine != 2 || end.Code != 2 {
		t.Errorf("the faults are %v", faults)
	}
}

// TestDisk: a disk that hangs does so until it is mended, a slow one goes on, and a
// wiped one is empty.
func TestDisk(t *testing.T) {
	s := open(t, Config{})
	if !s.CanFreeze() {
		t.Skip(s.Missing)
	}
	m := s.Machines[0]
	write := func(name string) error {
		f, err := os.Create(filepath.Join(m.disk.dir, name))
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.WriteString("content"); err != nil {
			return err
		}
		return f.Sync()
	}
	if err := m.Hang(); err != nil {
		t.Fatal(err)
	}
	var mended atomic.Bool
	written := make(chan error)
	go func() {
		err := write("one")
		if !mended.Load() {
			t.Error("a write to a disk that hangs has ended")
		}
		written <- err
	}()
	time.Sleep(50 * time.Millisecond) // gives it time to be wrong
	mended.Store(true)
	if err := m.Mend(); err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if err := m.Slow(20*time.Millisecond, 5*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"two", "three", "four"} {
		if err := write(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(m.disk.dir, "one")); !os.IsNotExist(err) {
		t.Errorf("the file is there after the wipe: %v", err)
	}
}

// TestNothingIsLeft: a process that is killed while its site is in the worst state
// leaves nothing.
func TestNothingIsLeft(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), doomedVariable+"="+binary)
	out, _ := cmd.Output() // it was killed
	dir := string(out)
	if dir == "" {
		t.Fatal("the other process made no site")
	}
	eventually(t, "the directory is gone", func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	})
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil && strings.Contains(string(mounts), dir) {
		t.Errorf("%s is still mounted", dir)
	}
	name := filepath.Base(dir[:strings.LastIndex(dir, "-")])
	for i := range Size + 1 {
		for _, left := range []string{"/sys/class/net/" + name, (&network{name: name}).namespace(i)} {
			if _, err := os.Stat(left); err == nil {
				t.Errorf("%s is left", left)
			}
		}
	}
}
