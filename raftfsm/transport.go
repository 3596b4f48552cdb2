package raftfsm

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"purser/internal/planted"
)

// TransportConfig configures a Transport.
type TransportConfig struct {
	// Stream carries the connections; its Addr is what peers dial. Required. The
	// Transport closes it.
	Stream raft.StreamLayer

	// MaxPool is how many idle connections are kept per peer. Default 3.
	MaxPool int

	// Timeout bounds the dial and the I/O of one RPC. Default 10 s: an
	// AppendEntries waits for the follower's fsync. A snapshot may take Timeout
	// for each 256 KiB, at least once Timeout.
	Timeout time.Duration

	// Logger takes the transport's messages. Default: discarded.
	Logger hclog.Logger
}

// withDefaults fills the fields that are zero.
func (c TransportConfig) withDefaults() TransportConfig {
	if c.MaxPool == 0 {
		c.MaxPool = 3
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}

// Validate reports all faults of the configuration at once, after defaults.
func (c TransportConfig) Validate() error {
	c = c.withDefaults()
	var errs []error
	if c.Stream == nil {
		errs = append(errs, errors.New("transport: a stream is required"))
	}
	if c.MaxPool < 0 {
		errs = append(errs, fmt.Errorf("transport: pool of %d connections", c.MaxPool))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("transport: timeout of %s", c.Timeout))
	}
	return errors.Join(errs...)
}

// Transport is raft's network transport without its heartbeat fast path and
// without pipelines.
//
// The fast path handles a heartbeat on the connection's goroutine, where it
// changes raft's term and state behind the main goroutine's back; a leader
// deposed in that way can append an entry under a term which it does not lead
// (hashicorp/raft#695). Here a heartbeat takes the Consumer channel like every
// other request. The price: it waits while the follower syncs its log or
// installs a snapshot, so raft's HeartbeatTimeout must be several times the
// worst fsync.
//
// A pipeline to a follower that answers with a newer term is given up by the
// goroutine that reads it, while the one that writes to it waits for room, for
// ever: the leadership that it belongs to never ends, nor does a shutdown
// (hashicorp/raft#612; seen when a leader with requests under way was deposed
// and then stopped). As the engine has one entry in flight, a pipeline would have
// nothing to carry but what a follower missed, which goes in requests of many
// entries.
type Transport struct {
	*raft.NetworkTransport
}

// raft looks for these at run time, so a missing one would go unnoticed:
// without WithPreVote it turns pre-vote off, without WithClose it leaves the
// port open at shutdown.
var (
	_ raft.Transport   = (*Transport)(nil)
	_ raft.WithPreVote = (*Transport)(nil)
	_ raft.WithClose   = (*Transport)(nil)
)

// NewTransport serves peers. Close stops it; raft closes the transport it was
// given when its shutdown is awaited. Errors are faults of the configuration.
func NewTransport(cfg TransportConfig) (*Transport, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Transport{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:          cfg.Stream,
		MaxPool:         cfg.MaxPool,
		MaxRPCsInFlight: 1,
		Timeout:         cfg.Timeout,
		Logger:          cfg.Logger,
		// On the wire between nodes; every release must keep it as it is.
		MsgpackUseNewTimeFormat: true,
	})}, nil
}

// SetHeartbeatHandler does nothing: see Transport.
func (t *Transport) SetHeartbeatHandler(fast func(rpc raft.RPC)) {
	if planted.Is(planted.HeartbeatFastPath) {
		t.NetworkTransport.SetHeartbeatHandler(fast)
	}
}

// Close stops listening and closes the idle connections to peers, which raft's
// own Close leaves open. A second call does nothing.
func (t *Transport) Close() error {
	err := t.NetworkTransport.Close()
	t.CloseStreams()
	return err
}
