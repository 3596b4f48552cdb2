package store

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

func TestHooksHearWhatPebbleReports(t *testing.T) {
	var heard []string
	var fatal error
	var log bytes.Buffer
	e := newEvents(Options{
		Fatal:    func(err error) { fatal = err },
		DiskSlow: func(operation string, took time.Duration) { heard = append(heard, operation+" "+took.String()) },
		Stalled:  func(reason string) { heard = append(heard, "stalled: "+reason) },
		Logger:   slog.New(slog.NewTextHandler(&log, nil)),
	})
	l := e.listener()
	l.WriteStallBegin(pebble.WriteStallBeginInfo{Reason: "L0"})
	l.WriteStallEnd()
	e.diskSlow(vfs.DiskSlowInfo{Path: "db/1.sst", OpType: vfs.OpTypeSync, Duration: 7 * time.Second})
	l.DataCorruption(pebble.DataCorruptionInfo{Path: "db/2.sst", Details: errors.New("bad block")})
	if got, want := strings.Join(heard, "; "), "stalled: L0; stalled: ; sync db/1.sst 7s"; got != want {
		t.Errorf("heard %q, want %q", got, want)
	}
	if !strings.Contains(log.String(), "db/2.sst") {
		t.Errorf("the log does not name the damaged table: %s", &log)
	}
	if fatal != nil {
		t.Errorf("fatal: %v", fatal)
	}
	if e.stalls.Load() != 1 || e.slow.Load() != 1 || e.corrupted.Load() != 1 {
		t.Errorf("counted %d %d %d, want 1 each", e.stalls.Load(), e.slow.Load(), e.corrupted.Load())
	}
	cause := errors.New("no space")
	l.BackgroundError(cause)
	if !errors.Is(fatal, cause) {
		t.Errorf("a background error became %v", fatal)
	}
}

// A sync that takes long is reported while it is still going on.
func TestASlowSyncIsReported(t *testing.T) {
	heard := make(chan struct{})
	tell := sync.OnceFunc(func() { close(heard) })
	var slow atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync && slow.CompareAndSwap(true, false) {
			select {
			case <-heard:
			case <-time.After(time.Minute):
				t.Errorf("the sync of %s took a minute, and nobody heard of it", op.Path)
			}
		}
		return nil
	}))
	s, err := Open(Options{FS: fs, Dir: "db", SlowDisk: time.Millisecond, DiskSlow: func(string, time.Duration) { tell() }})
	if err != nil {
		t.Fatal(err)
	}
	slow.Store(true)
	if err := s.WriteCheckpoint(Checkpoint{Meta: []byte("meta")}); err != nil {
		t.Error(err)
	}
	if slow.Load() {
		t.Error("nothing was synced")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Pebble's code behind a Fatalf must not run, even if the hook returns.
func TestFatalfDoesNotReturn(t *testing.T) {
	var told error
	l := logger{out: slog.New(slog.DiscardHandler), fatal: func(err error) { told = err }}
	defer func() {
		if recover() == nil || told == nil || !strings.Contains(told.Error(), "MANIFEST 7") {
			t.Errorf("the hook was told %v", told)
		}
	}()
	l.Fatalf("MANIFEST %d", 7)
}
