package raftfsm

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"purser/internal/ledger"
	"purser/internal/nodetls"
)

// Config configures a Node. The zero value of a field means its default.
type Config struct {
	// NodeID names the node in the cluster. Required, and fixed for a data
	// directory: another id there is refused.
	NodeID string
	// DataDir is the directory of everything that the node keeps, on one file
	// system. Required.
	DataDir string
	// RaftListen is the address for the other nodes. Default 127.0.0.1:8082.
	RaftListen string
	// RaftAdvertise is what the other nodes dial, "host:port". Default: the address
	// bound.
	RaftAdvertise string
	// APIAddr is the address of this node's API, "host:port", for the people who ask
	// for the members. It may be "".
	APIAddr string
	// TLS proves the nodes to each other. Without it the raft address has to be
	// loopback, unless AllowInsecure is set.
	TLS           *nodetls.Config
	AllowInsecure bool
	// Join lists the raft addresses of a cluster to join or to found: of one that
	// is to be founded all of them, this node's included. Empty: a new data
	// directory becomes a cluster of one.
	Join []string
	// Expect is how many nodes, all of Join, found a cluster when there is none. 0
	// joins only.
	Expect int
	// Shards is the number of shards. Default 1. It may change between two starts;
	// results do not depend on it.
	Shards int
	// Retention is how long idempotency keys are remembered, in log time. Default
	// 24 h.
	Retention time.Duration
	// SnapshotBytes is the size of the entries, in bytes, after which a snapshot is
	// taken. It bounds the replay at a restart. Default 128 MiB.
	SnapshotBytes int64
	// TrailingLogs is the number of entries kept in the log behind a snapshot, for
	// followers that lag a little. Default 10,240.
	TrailingLogs uint64
	// SegmentBytes is the size of the log's files. Default 64 MiB.
	SegmentBytes int64
	// AppendLimit is how long an append to the log may take before the process
	// ends itself. Default 5 s.
	AppendLimit time.Duration
	// Fatal is called once something failed after which no answer can be trusted.
	// It must end the process. Required.
	Fatal func(error)
	// Logger takes messages. Default: discarded.
	Logger *slog.Logger

	// newest is the newest format that the node reads and writes. Default
	// ledger.NewestFormat; tests make a node of the next release.
	newest int
}

func (c Config) withDefaults() Config {
	if c.RaftListen == "" {
		c.RaftListen = "127.0.0.1:8082"
	}
	if c.Shards == 0 {
		c.Shards = 1
	}
	if c.Retention == 0 {
		c.Retention = 24 * time.Hour
	}
	if c.SnapshotBytes == 0 {
		c.SnapshotBytes = 128 << 20
	}
	if c.TrailingLogs == 0 {
		c.TrailingLogs = 10_240
	}
	if c.AppendLimit == 0 {
		c.AppendLimit = 5 * time.Second
	}
	if c.newest == 0 {
		c.newest = ledger.NewestFormat
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate returns every fault of the configuration.
func (c Config) Validate() error {
	c = c.withDefaults()
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("node: "+format, args...))
		}
	}
	fault(c.NodeID == "", "node id is required")
	fault(c.DataDir == "", "data directory is required")
	fault(c.Fatal == nil, "Fatal is required")
	fault(c.Expect < 0, "a cluster of %d nodes", c.Expect)
	fault(c.Expect != 0 && c.Expect != max(len(c.Join), 1), "a cluster of %d nodes, but %d addresses of nodes", c.Expect, len(c.Join))
	fault(c.Shards < 1, "%d shards", c.Shards)
	fault(c.Retention < time.Second, "idempotency retention of %s is under a second", c.Retention)
	fault(c.SnapshotBytes < 0, "snapshot after %d bytes", c.SnapshotBytes)
	fault(c.AppendLimit < 0, "append limit of %s", c.AppendLimit)
	return errors.Join(faults...)
}

// micros is d as log time.
func micros(d time.Duration) ledger.Micros { return ledger.Micros(d.Microseconds()) }
