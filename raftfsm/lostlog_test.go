package raftfsm

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A log's directory keeps its lock file when its segments are gone: that is a
// lost log, not a new one.
func TestLogWithoutSegmentsIsMissing(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{logName, statesName, snapshotsName} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, logName, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("LOCK")
	if _, err := usedBefore(dir); !errors.Is(err, ErrDataMissing) {
		t.Fatalf("without segments: %v, want %v", err, ErrDataMissing)
	}
	write("00000001" + segmentSuffix)
	if used, err := usedBefore(dir); err != nil || !used {
		t.Fatalf("with a segment: used %t, %v", used, err)
	}
}

// A stable store that knows its node and a term belongs to a node that ran: an
// empty directory around it has lost everything else.
func TestTermWithoutLogIsMissing(t *testing.T) {
	stable := openTestStable(t, t.TempDir())
	cfg := Config{NodeID: "n1", Retention: time.Hour}
	for range 2 { // the second one after a crash before the log was made
		if err := claim(stable, cfg, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := stable.SetUint64([]byte(keyCurrentTerm), 1); err != nil {
		t.Fatal(err)
	}
	if err := claim(stable, cfg, false); !errors.Is(err, ErrDataMissing) {
		t.Fatalf("a term without a log: %v, want %v", err, ErrDataMissing)
	}
	if err := claim(stable, cfg, true); err != nil {
		t.Fatalf("a term with a log: %v", err)
	}
	closeStable(t, stable)
}
