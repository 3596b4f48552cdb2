package raftfsm

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
)

// raftLogger passes on what raft and its transport say. They report the routine
// of elections and snapshots as information; that is for debugging here.
type raftLogger struct {
	out *slog.Logger

	// alone is set in a cluster of one, where it is no warning that no leader is
	// heard of.
	alone atomic.Bool
}

// electing is raft's warning at the start of an election.
const electing = "heartbeat timeout reached, starting election"

var _ hclog.SinkAdapter = (*raftLogger)(nil)

// named returns the logger for one of raft's parts.
func (l *raftLogger) named(name string) hclog.Logger {
	h := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: name, Level: hclog.Off, Output: io.Discard})
	h.RegisterSink(l)
	return h
}

// Accept takes one message.
func (l *raftLogger) Accept(name string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch {
	case level >= hclog.Error:
		to = slog.LevelError
	case level == hclog.Warn && !(l.alone.Load() && msg == electing):
		to = slog.LevelWarn
	case level == hclog.Trace:
		return
	}
	l.out.Log(context.Background(), to, name+": "+msg, args...)
}
