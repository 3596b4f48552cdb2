package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// Port is a node's end of all connections between nodes. All methods may be
// called from any goroutine.
type Port struct {
	cfg      Config
	listener net.Listener
	addr     net.Addr // advertised
	metrics  *metrics

	arriving  *connSet // until they have said what they are
	control   *connSet
	raft      *raftLayer
	forwarded *stream
	handler   atomic.Pointer[Handler] // nil until Handle

	// Everything that the port runs or dials ends with ctx; running has its
	// goroutines.
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// Listen binds and serves. Errors: the faults of the configuration, among them
// ErrNotAdvertisable and ErrInsecure, or the failure to bind.
func Listen(cfg Config) (*Port, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	listener, err := net.Listen("tcp", cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	return start(cfg, listener), nil
}

// start serves what listener accepts.
func start(cfg Config, listener net.Listener) *Port {
	p := &Port{
		cfg:      cfg.withDefaults(),
		listener: listener,
		addr:     listener.Addr(),
		metrics:  newMetrics(),
		arriving: newConnSet(maxArriving),
		control:  newConnSet(maxControl),
	}
	if cfg.Advertise != "" {
		p.addr = name(cfg.Advertise)
	}
	p.raft = &raftLayer{stream: newStream(p.addr, maxRaft), port: p}
	p.forwarded = newStream(p.addr, maxForwarded)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	return p
}

// Addr is the address that other nodes are told.
func (p *Port) Addr() net.Addr { return p.addr }

// Raft returns the raft connections of the port, for raft's network transport,
// which closes them. Closing them leaves control calls alone.
func (p *Port) Raft() raft.StreamLayer { return p.raft }

// OpenRaft lets other nodes' raft connections in. Before it they are closed at
// once: a node that is not a member yet must neither vote nor take entries.
func (p *Port) OpenRaft() { p.raft.opened.Store(true) }

// Evict closes the connections for raft and for forwarded requests that were
// accepted from nodes which are members no more. Without TLS it closes none.
func (p *Port) Evict(nodeIDs []string) {
	p.raft.conns.closeOf(nodeIDs)
	p.forwarded.conns.closeOf(nodeIDs)
}

// Close ends every accepted connection and every dial and call under way, and
// returns when the port's goroutines have ended, which includes control handlers.
// raft's transport is to be closed before.
func (p *Port) Close() error {
	p.cancel()
	err := p.listener.Close()
	p.arriving.close()
	p.control.close()
	p.raft.end()
	p.forwarded.end()
	p.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // a second Close
	}
	return err
}

// connect dials a node, with TLS the one with the id expected, and says what
// the connection is for. ctx bounds the attempt.
func (p *Port) connect(ctx context.Context, addr, expectedID, kind string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if p.cfg.TLS != nil {
		secure := tls.Client(conn, p.cfg.TLS.ClientConfig(expectedID))
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close() // the handshake's error is the one that counts
			return nil, err
		}
		conn = secure
	}
	// A few bytes into an empty buffer: this does not wait for the peer.
	if _, err := conn.Write([]byte(kind)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// bounded returns ctx, ending after limit at the latest and with the port.
func (p *Port) bounded(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	stop := context.AfterFunc(p.ctx, cancel)
	if p.ctx.Err() != nil {
		cancel() // as AfterFunc does, only in time
	}
	return ctx, func() {
		stop()
		cancel()
	}
}

// cause returns why something bounded by ctx failed with err: for the end of
// the port or of ctx rather than for what that did to a connection.
func (p *Port) cause(ctx context.Context, err error) error {
	switch {
	case p.ctx.Err() != nil:
		return net.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}
