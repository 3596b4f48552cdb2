package store

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// events turns what Pebble reports into counters and the caller's hooks.
type events struct {
	opts      Options
	stalls    atomic.Uint64
	slow      atomic.Uint64
	corrupted atomic.Uint64
}

func newEvents(o Options) *events { return &events{opts: o} }

func (e *events) listener() *pebble.EventListener {
	return &pebble.EventListener{
		// A failed flush or compaction, or a failure to read what guides them.
		// Pebble would retry for ever on a disk that has just shown that it loses
		// writes, while commits pile up in memory.
		BackgroundError: func(err error) { e.opts.Fatal(fmt.Errorf("store: background error: %w", err)) },
		// The read that met a damaged table returns an error; one bad page must
		// not take down the whole node, so this does not end the process.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			e.corrupted.Add(1)
			e.opts.Logger.Error("store: damaged table", "details", info.String())
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			e.stalls.Add(1)
			e.stalled(info.Reason)
		},
		WriteStallEnd: func() { e.stalled("") },
	}
}

func (e *events) stalled(reason string) {
	if e.opts.Stalled != nil {
		e.opts.Stalled(reason)
	}
}

func (e *events) diskSlow(info vfs.DiskSlowInfo) {
	e.slow.Add(1)
	if e.opts.DiskSlow != nil {
		e.opts.DiskSlow(fmt.Sprintf("%s %s", info.OpType, info.Path), info.Duration.Round(time.Millisecond))
	}
}

// logger is Pebble's way to speak: Fatalf is how it reports a failed commit or
// manifest write, after which it expects the process to be gone.
type logger struct {
	out   *slog.Logger
	fatal func(error)
}

var _ pebble.Logger = logger{}

func (l logger) Infof(format string, args ...any) {
	l.out.Debug("store: " + fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.out.Error("store: " + fmt.Sprintf(format, args...))
}

func (l logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("store: "+format, args...)
	l.fatal(err)
	panic(err) // Pebble's code behind a Fatalf relies on never being reached
}
