package store

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
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
