//go:build linux || darwin

package site

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// doomedVariable makes this test binary open a site and die at once.
const doomedVariable = "PURSER_CHAOS_DOOMED"

// binary is the purser that all tests of this package run.
var binary string

func TestMain(m *testing.M) {
	if os.Getenv(doomedVariable) != "" {
		dieWithSite()
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "purser-site-test-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "purser")
	if err := Build(context.Background(), binary); err != nil {
		panic(err)
	}
	return m.Run()
}

// dieWithSite opens a site with all that it can have, leaves it in the worst state,
// and ends as by kill -9.
func dieWithSite() {
	s, err := Open(context.Background(), Config{Binary: os.Getenv(doomedVariable)})
	if err != nil {
		panic(err)
	}
	for _, m := range s.Machines {
		if err := m.Start(); err != nil {
			panic(err)
		}
	}
	if s.CanFreeze() {
		if err := s.Machines[0].Hang(); err != nil {
			panic(err)
		}
	}
	if _, err := os.Stdout.WriteString(s.Dir()); err != nil {
		panic(err)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// open makes a site for the test.
func open(t *testing.T, cfg Config) *Site {
	t.Helper()
	cfg.Binary = binary
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, m := range s.Machines {
				t.Logf("machine %d:\n%s", m.number, m.Tail(40))
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("close the site: %v", err)
		}
		if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", s.Dir(), err)
		}
	})
	if s.Missing != "" {
		t.Log("missing here:", s.Missing)
	}
	return s
}

// eventually polls until holds does. What it waits for is bound to happen.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}
