package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"purser/engine"
	"purser/raftfsm"
	"purser/transport"
)

func serverCommand() *cobra.Command {
	var cfg serverConfig
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Serve payments",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := startServer(cfg)
			if err != nil {
				return err
			}
			return s.serveUntil(cmd.Context())
		},
	}
	cfg.bind(cmd)
	cfg.bindCluster(cmd)
	return cmd
}

// server is everything that a running process has, in the order of its start.
type server struct {
	cfg      serverConfig
	floor    []byte // see heapFloor
	log      *slog.Logger
	stack    *stack
	api      *transport.Server
	apiAddr  net.Addr
	admin    *transport.Admin
	adminLn  net.Listener
	draining atomic.Bool
	diskFull atomic.Bool // writes are refused
	failed   chan error  // a listener that ended by itself
	stop     chan struct{}
	stopped  chan struct{} // watch has ended
}

// startServer checks the addresses, opens the data directory and the listeners,
// and starts to serve. Nothing is left running when it fails.
func startServer(cfg serverConfig) (_ *server, err error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	boundHeap(replayGrowth)
	spareProcessor()
	level := slog.LevelInfo
	if cfg.logDebug {
		level = slog.LevelDebug
	}
	s := &server{
		cfg:     cfg,
		floor:   make([]byte, heapFloor),
		log:     slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
		failed:  make(chan error, 3),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	// Listen before anything is opened: a port in use is the most common fault.
	apiLn, err := net.Listen("tcp", cfg.apiListen)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeQuietly(apiLn))
		}
	}()
	if s.adminLn, err = net.Listen("tcp", cfg.adminListen); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeQuietly(s.adminLn))
		}
	}()
	s.apiAddr = apiLn.Addr()
	registry := prometheus.NewRegistry()
	if err := s.open(registry); err != nil {
		return nil, err
	}
	go s.watch()
	go func() { s.failed <- s.api.Serve(apiLn) }()
	go func() { s.failed <- s.api.ServeNodes(s.stack.node.Forwarded()) }()
	go func() { s.failed <- s.admin.Serve(s.adminLn) }()
	return s, nil
}

// heapGrowth is how far the heap may grow before it is collected, in percent of
// what is live. The live heap is large and nearly free of pointers (accounts,
// memtables, the key index), so collecting it twice as often as Go's default
// costs little and keeps the process a quarter smaller.
const heapGrowth = 50

// heapFloor is in bytes what a server's heap begins with: memory that the collector
// counts as live, and that nobody touches, so that the system has to give none for
// it. Without, a server with few accounts would collect its heap of 20 MB every
// second, and marking holds up requests however little there is to mark. It makes the
// process larger by heapGrowth percent of it.
const heapFloor = 64 << 20

// replayGrowth is heapGrowth while a replay fills the memory with garbage on top of
// what is live.
const replayGrowth = 20

// boundHeap sets how far the heap may grow, unless the environment says so.
func boundHeap(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// spareProcessor lets one goroutine more run at a time than there are CPUs, unless
// the environment says how many. A goroutine that comes back from an fdatasync
// queues behind all requests if every processor of the runtime is busy with those;
// the system's scheduler is fairer. On 2 CPUs and one hot account it gained 3%, and a
// quarter of the p99 at half load.
var spareProcessor = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
})

// open builds the server's parts behind the listeners.
func (s *server) open(registry *prometheus.Registry) (err error) {
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := raftfsm.InstallMetrics(registry); errors.Is(err, raftfsm.ErrMetricsBuildTag) {
		s.log.Warn("raft's own metrics are missing", "error", err)
	} else if err != nil {
		return err
	}
	secure, err := s.cfg.peerTLS(s.log)
	if err != nil {
		return err
	}
	s.stack, err = openStack(raftfsm.Config{
		NodeID:        s.cfg.nodeID,
		DataDir:       s.cfg.dataDir,
		RaftListen:    s.cfg.raftListen,
		RaftAdvertise: s.cfg.raftAdvertise,
		APIAddr:       s.cfg.apiAddress(s.apiAddr),
		TLS:           secure,
		AllowInsecure: s.cfg.allowUnauthenticated,
		Join:          s.cfg.join,
		Expect:        s.cfg.expect,
		Shards:        s.cfg.shards,
		Retention:     s.cfg.retention,
		SnapshotBytes: s.cfg.snapshotBytes,
		Fatal:         s.fatal,
		Logger:        s.log,
	}, engine.Options{})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stack.close())
		}
	}()
	for _, c := range []prometheus.Collector{s.stack.node, s.stack.engine} {
		if err := registry.Register(c); err != nil {
			return err
		}
	}
	s.api, err = transport.New(transport.Options{
		Executor:   s.stack.engine,
		Accounts:   s.stack.node.State(),
		Payments:   s.stack.node.State(),
		Cluster:    clusterView{s.stack.node},
		Crowded:    s.stack.engine.Crowded,
		Hold:       s.stack.engine.Hold,
		Release:    s.stack.engine.Release,
		Registerer: registry,
		Logger:     s.log,
		MaxBatch:   s.cfg.maxBatch,
	})
	if err != nil {
		return err
	}
	o := operator{s}
	s.admin, err = transport.NewAdmin(transport.AdminOptions{
		Node: o, Health: o, Snapshots: o, Membership: o, Verifier: o,
		Gatherer: registry,
		Logger:   s.log,
	})
	return err
}

// clusterView shows the API who leads, and connects it.
type clusterView struct{ *raftfsm.Node }

var _ transport.Cluster = clusterView{}

func (c clusterView) Dial(id string, timeout time.Duration) (net.Conn, error) {
	return c.DialLeader(id, timeout)
}

func (c clusterView) AwaitApplied(ctx context.Context, index uint64) error {
	return c.State().AwaitApplied(ctx, index)
}

// fatal ends the process where it stands: after a storage failure nothing that
// an orderly shutdown would write can be trusted.
func (s *server) fatal(err error) {
	s.log.Error("storage failed: the process ends", "error", err)
	os.Exit(exitStorage)
}

// serveUntil serves until ctx is done, then drains: readiness goes to 503, what
// was accepted is answered, and the log and the store are closed.
func (s *server) serveUntil(ctx context.Context) error {
	s.log.Info("listening", "api", s.apiAddr.String(), "admin", s.adminLn.Addr().String(),
		"data", s.cfg.dataDir, "version", buildVersion())
	var cause error
	select {
	case <-ctx.Done():
		s.log.Info("draining")
	case cause = <-s.failed:
		s.log.Error("a listener ended", "error", cause)
	}
	return errors.Join(cause, s.close())
}

// drainTime bounds how long connections may take to end once their requests are
// answered.
const drainTime = 15 * time.Second

func (s *server) close() error {
	s.draining.Store(true)
	s.stack.node.StepDown() // whoever leads next takes the work that is refused here
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	s.stack.engine.Drain()
	err := s.api.Shutdown(ctx)
	close(s.stop)
	<-s.stopped
	err = errors.Join(err, s.stack.close(), s.admin.Shutdown(ctx))
	runtime.KeepAlive(s.floor)
	s.log.Info("closed")
	return err
}

// watch looks every second at the disk and, at first, at the replay.
func (s *server) watch() {
	defer close(s.stopped)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	replaying := true
	for {
		s.watchDisk()
		if leader, behind := (operator{s}).leadership(); replaying && leader == nil && behind == nil {
			replaying = false
			boundHeap(heapGrowth)
			debug.FreeOSMemory() // what the replay took goes back to the system
		}
		select {
		case <-s.stop:
			return
		case <-ticker.C:
		}
	}
}

// watchDisk refuses writes while the disk is nearly full.
func (s *server) watchDisk() {
	usage, err := vfs.Default.GetDiskUsage(filepath.Clean(s.cfg.dataDir))
	if err != nil {
		s.log.Error("cannot tell how full the disk is", "error", err)
		return
	}
	if full := usage.AvailBytes < s.cfg.minFree; full != s.diskFull.Load() {
		s.diskFull.Store(full)
		s.stack.engine.SetStorageFull(full)
		s.log.Warn("disk space", "available", usage.AvailBytes, "writes_refused", full)
	}
}

// closeQuietly closes a listener that its server may have closed already.
func closeQuietly(ln net.Listener) error {
	if err := ln.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
