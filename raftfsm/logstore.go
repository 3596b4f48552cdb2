package raftfsm

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"purser/internal/planted"
)

var (
	// ErrWriteHung says that an append to the log, or a write of the term or the
	// vote, has not returned within the limit: the disk hangs.
	ErrWriteHung = errors.New("a write to the log or of the vote hangs")

	// ErrLogFailed says that an earlier write failed and the log takes no more.
	ErrLogFailed = errors.New("log failed before")
)

// guardConfig configures a guardedLog. Fatal is required.
type guardConfig struct {
	// Limit is how long one write may take. Default 5 s. Notice comes up to a
	// tenth of it later.
	Limit time.Duration

	// Fatal is called with the first failure, once, and should end the process.
	// It runs on the goroutine that failed or on the watchdog's.
	Fatal func(error)

	// Needed returns the index of the first entry that another node has yet to get
	// from this one: from there on, none is deleted to shorten the log. Default:
	// there is no such node.
	Needed func() uint64

	// tick wakes the watchdog. Tests set it. Default: every Limit/looks.
	tick <-chan time.Time
}

// guardedLog makes every failed or hanging write to the log fatal, and with
// guardedStable the writes of the term and the vote that hang.
//
// After an error of StoreLogs raft believes its last log index to be what it
// was before, while the entries may be on disk; and a leader whose disk hangs
// goes on sending heartbeats, so no other takes over (hashicorp/raft#503). In
// both cases the process must end. A hanging append is never answered with a
// timeout: the write may land later.
//
// It is no raft.MonotonicLogStore although the log underneath is one: raft would
// empty that behind a snapshot that it installs, and lose entries which this node
// has acknowledged (hashicorp/raft#697). follow does what is needed instead.
//
// Reads pass through. raft appends from one goroutine at a time and deletes
// from that one and the snapshot's; this holds for guardedLog too.
type guardedLog struct {
	raft.LogStore
	cfg guardConfig

	// writes counts those that began and those that ended: it is odd while one is
	// under way. Written by raft's main goroutine, read by the watchdog.
	writes atomic.Uint64

	failOnce sync.Once
	failed   atomic.Bool // set before Fatal is called, never cleared

	stopOnce sync.Once
	stop     chan struct{} // closed by Close
	stopped  chan struct{} // closed by the watchdog when it ends
}

var _ raft.LogStore = (*guardedLog)(nil)

// newGuardedLog wraps under and starts the watchdog, which Close stops. The
// caller keeps ownership of under and closes it after the guard.
func newGuardedLog(under raft.LogStore, cfg guardConfig) (*guardedLog, error) {
	if cfg.Fatal == nil {
		return nil, errors.New("guarded log: no fatal function")
	}
	if cfg.Limit < 0 {
		return nil, fmt.Errorf("guarded log: limit of %s", cfg.Limit)
	}
	if cfg.Limit == 0 {
		cfg.Limit = 5 * time.Second
	}
	if cfg.Needed == nil {
		cfg.Needed = func() uint64 { return math.MaxUint64 }
	}
	g := &guardedLog{LogStore: under, cfg: cfg, stop: make(chan struct{}), stopped: make(chan struct{})}
	go g.watch()
	return g, nil
}

// StoreLog appends one entry, durably.
func (g *guardedLog) StoreLog(l *raft.Log) error {
	return g.append(func() error { return g.LogStore.StoreLog(l) })
}

// StoreLogs appends entries, durably. An error means that the process is ending.
func (g *guardedLog) StoreLogs(ls []*raft.Log) error {
	return g.append(func() error { return g.LogStore.StoreLogs(ls) })
}

// DeleteRange deletes the entries lo to hi, both included. Where others follow them,
// which is so when raft compacts the log, it deletes only what nobody needs: the
// entry hi can be that of the snapshot, and raft looks nowhere else for its term when
// a leader begins behind it; and see Needed. It may take long and is not watched: it
// does not run on a leader's main goroutine.
func (g *guardedLog) DeleteRange(lo, hi uint64) error {
	if g.failed.Load() {
		return ErrLogFailed
	}
	last, err := g.LastIndex()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	if hi < last {
		keep := min(hi, g.cfg.Needed())
		if lo >= keep {
			return nil
		}
		hi = keep - 1
	}
	if err := g.LogStore.DeleteRange(lo, hi); err != nil {
		err = fmt.Errorf("delete log entries %d to %d: %w", lo, hi, err)
		g.fail(err)
		return err
	}
	return nil
}

// Close stops the watchdog and waits for it. The log underneath stays open.
// Call it after raft's shutdown: later appends are not watched.
func (g *guardedLog) Close() {
	g.stopOnce.Do(func() { close(g.stop) })
	<-g.stopped
}

func (g *guardedLog) append(write func() error) error {
	if g.failed.Load() {
		return ErrLogFailed
	}
	err := g.watched(write)
	if err != nil && !planted.Is(planted.FailedAppendSurvived) {
		err = fmt.Errorf("append to log: %w", err)
		g.fail(err)
	}
	return err
}

// watched lets the watchdog see the write; write does not escape, so this costs two
// atomic additions.
func (g *guardedLog) watched(write func() error) error {
	g.writes.Add(1)
	err := write()
	g.writes.Add(1)
	return err
}

// looks is how often in a row the watchdog has to see the same write under way. It
// counts them instead of the time: a process that was stopped, or whose machine was,
// finds that much time gone by, though its disk is as good as before.
const looks = 10

// watch is the watchdog's goroutine.
func (g *guardedLog) watch() {
	defer close(g.stopped)
	tick := g.cfg.tick
	if tick == nil {
		t := time.NewTicker(max(g.cfg.Limit/looks, time.Millisecond))
		defer t.Stop()
		tick = t.C
	}
	var seen uint64
	for again := 0; ; {
		select {
		case <-g.stop:
			return
		case <-tick:
		}
		now := g.writes.Load()
		if now%2 == 0 || now != seen {
			seen, again = now, 0
			continue
		}
		if again++; again >= looks && !planted.Is(planted.HungAppendTolerated) {
			g.fail(fmt.Errorf("%w for more than %s", ErrWriteHung, g.cfg.Limit))
		}
	}
}

// fail closes the log to writes and reports the first failure.
func (g *guardedLog) fail(err error) {
	g.failOnce.Do(func() {
		g.failed.Store(true)
		g.cfg.Fatal(err)
	})
}

// guardedStable has the watchdog of a log look at the writes of the term and the
// vote, too. raft makes both on its main goroutine, one at a time. A candidate whose
// disk hangs would wait for ever, and the node be neither up nor down.
type guardedStable struct {
	raft.StableStore
	guard *guardedLog
}

// Set stores val under key, durably.
func (s guardedStable) Set(key, val []byte) error {
	return s.guard.watched(func() error { return s.StableStore.Set(key, val) })
}

// SetUint64 stores val under key, durably.
func (s guardedStable) SetUint64(key []byte, val uint64) error {
	return s.guard.watched(func() error { return s.StableStore.SetUint64(key, val) })
}
