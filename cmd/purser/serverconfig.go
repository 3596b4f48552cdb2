package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"purser/internal/nodetls"
	"purser/shard"
	"purser/transport"
)

// serverConfig is what the flags of server and dev say.
type serverConfig struct {
	nodeID, dataDir                    string
	apiListen, adminListen, raftListen string
	shards, maxBatch                   int
	retention                          time.Duration
	minFree                            uint64
	snapshotBytes                      int64
	allowUnauthenticated, logDebug     bool

	// Of a cluster of several nodes.
	join                        []string
	expect                      int
	raftAdvertise, apiAdvertise string
	peerTLSDir                  string
}

func (c *serverConfig) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.nodeID, "node-id", "n1", "name of this node; fixed for a data directory")
	f.StringVar(&c.dataDir, "data-dir", "data", "directory of the log, the state and the snapshots")
	f.StringVar(&c.apiListen, "api-listen", "127.0.0.1:8080", "address of the HTTP API")
	f.StringVar(&c.adminListen, "admin-listen", "127.0.0.1:8081", "address of the admin listener")
	f.StringVar(&c.raftListen, "raft-listen", "127.0.0.1:8082", "address for other nodes")
	f.IntVar(&c.shards, "shards", runtime.GOMAXPROCS(0), "goroutines that own accounts")
	f.IntVar(&c.maxBatch, "max-batch", 1000, "most payments in one batch request, up to 10000")
	f.DurationVar(&c.retention, "idempotency-retention", 24*time.Hour, "how long idempotency keys are remembered; fixed for a data directory")
	f.Int64Var(&c.snapshotBytes, "snapshot-bytes", 128<<20, "size of the log entries after which a snapshot is taken: what a restart may have to replay")
	f.Uint64Var(&c.minFree, "min-free-bytes", 1<<30, "free disk space below which writes are refused")
	f.BoolVar(&c.allowUnauthenticated, "allow-unauthenticated-remote", false,
		"listen on other than loopback addresses although there is no authentication yet")
	f.BoolVar(&c.logDebug, "debug", false, "log more")
}

// bindCluster adds the flags of a node that is not to be alone.
func (c *serverConfig) bindCluster(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&c.join, "join", nil, "raft addresses of the cluster's nodes, separated by commas: those to be asked by a new node, or all that found the cluster")
	f.IntVar(&c.expect, "bootstrap-expect", 0, "number of nodes that found a cluster, all those of --join, this one included; 0 joins only, or is alone without --join")
	f.StringVar(&c.raftAdvertise, "raft-advertise", "", "address that other nodes dial (default: --raft-listen)")
	f.StringVar(&c.apiAdvertise, "api-advertise", "", "address of the API that the status of a cluster shows (default: --api-listen)")
	f.StringVar(&c.peerTLSDir, "peer-tls-dir", "", "directory of ca.pem, <node-id>.pem and <node-id>-key.pem, for mutual TLS between nodes; see cluster certs")
}

// validate returns every fault of the flags that can be told without the data
// directory.
func (c *serverConfig) validate() error {
	var faults []error
	listen := []string{c.apiListen, c.adminListen}
	if c.peerTLSDir == "" {
		listen = append(listen, c.raftListen)
	}
	for _, addr := range listen {
		if err := transport.CheckListenAddress(addr, c.allowUnauthenticated); err != nil {
			faults = append(faults, fmt.Errorf("%w (--allow-unauthenticated-remote)", err))
		}
	}
	if c.shards < 1 || c.shards > shard.MaxShards {
		faults = append(faults, fmt.Errorf("--shards %d is not in 1..%d", c.shards, shard.MaxShards))
	}
	if c.maxBatch < 1 || c.maxBatch > 10_000 {
		faults = append(faults, fmt.Errorf("--max-batch %d is not in 1..10000", c.maxBatch))
	}
	if c.retention < time.Second {
		faults = append(faults, fmt.Errorf("--idempotency-retention %s is under a second", c.retention))
	}
	if c.snapshotBytes < 1 {
		faults = append(faults, fmt.Errorf("--snapshot-bytes %d is under 1", c.snapshotBytes))
	}
	return asUsage(errors.Join(append(faults, c.validateCluster())...))
}

func (c *serverConfig) validateCluster() error {
	var faults []error
	if c.expect < 0 || c.expect != 0 && c.expect != max(len(c.join), 1) {
		faults = append(faults, fmt.Errorf("--bootstrap-expect %d with %d addresses in --join: all nodes that found a cluster are listed there", c.expect, len(c.join)))
	}
	if c.apiAdvertise != "" && !usable(c.apiAdvertise) {
		faults = append(faults, fmt.Errorf("--api-advertise %q is no address that a client could use", c.apiAdvertise))
	}
	return errors.Join(faults...)
}

// usable reports whether addr is a host and a port that can be dialled.
func usable(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	return err == nil && port != "" && port != "0" && !unspecified(addr)
}

// unspecified reports whether addr has no host, or one that means all of them.
func unspecified(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsUnspecified()
}

// apiAddress is what the status of a cluster says of this node's API: "" when it
// listens on all addresses and was not told which to name.
func (c *serverConfig) apiAddress(listening net.Addr) string {
	switch {
	case c.apiAdvertise != "":
		return c.apiAdvertise
	case unspecified(listening.String()):
		return ""
	}
	return listening.String()
}

// peerTLS loads the certificates between nodes; nil without --peer-tls-dir. They
// are read again when the files change.
func (c *serverConfig) peerTLS(log *slog.Logger) (*nodetls.Config, error) {
	if c.peerTLSDir == "" {
		return nil, nil
	}
	secure, err := nodetls.Load(nodetls.NodeFiles(c.peerTLSDir, c.nodeID), c.nodeID, func(err error) {
		if err != nil {
			log.Error("the new certificate is not used", "error", err)
			return
		}
		log.Info("the certificate was renewed")
	})
	if err != nil {
		return nil, fmt.Errorf("--peer-tls-dir: %w", err)
	}
	return secure, nil
}
