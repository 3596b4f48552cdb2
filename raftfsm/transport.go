package raftfsm

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// ErrNotAdvertisable says that the address which peers would be told to dial
// cannot be dialled: it is unspecified (0.0.0.0, ::), or has no host or no port.
var ErrNotAdvertisable = errors.New("address cannot be advertised to peers")

// TransportConfig configures a Transport. Either Stream or BindAddr is required.
type TransportConfig struct {
	// BindAddr is the TCP address to listen on, "host:port". Ignored with Stream.
	BindAddr string

	// AdvertiseAddr is what peers dial, "host:port"; the host may be a name, which
	// is passed on unresolved so that it may move. Default: the address bound.
	// Ignored with Stream, whose Addr is advertised.
	AdvertiseAddr string

	// Stream carries the connections instead of plain TCP, for mutual TLS. Whoever
	// can reach a plain port is trusted. The Transport closes it.
	Stream raft.StreamLayer

	// MaxPool is how many idle connections are kept per peer. Default 3.
	MaxPool int

	// MaxRPCsInFlight bounds the AppendEntries pipeline to a peer. Default 2: one
	// being answered while the next is sent. More queues in the follower, costs
	// latency, and can starve it (hashicorp/raft#612). 1 turns pipelining off.
	MaxRPCsInFlight int

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
	if c.MaxRPCsInFlight == 0 {
		c.MaxRPCsInFlight = 2
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
	switch {
	case c.Stream != nil:
		errs = append(errs, checkAdvertisable(c.Stream.Addr().String()))
	case c.BindAddr == "":
		errs = append(errs, errors.New("transport: neither bind address nor stream"))
	case c.AdvertiseAddr != "":
		errs = append(errs, checkAdvertisable(c.AdvertiseAddr))
	default:
		errs = append(errs, checkHost(c.BindAddr))
	}
	if c.MaxPool < 0 {
		errs = append(errs, fmt.Errorf("transport: pool of %d connections", c.MaxPool))
	}
	if c.MaxRPCsInFlight < 0 {
		errs = append(errs, fmt.Errorf("transport: %d requests in flight", c.MaxRPCsInFlight))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("transport: timeout of %s", c.Timeout))
	}
	return errors.Join(errs...)
}

// Transport is raft's network transport without its heartbeat fast path.
//
// The fast path handles a heartbeat on the connection's goroutine, where it
// changes raft's term and state behind the main goroutine's back; a leader
// deposed in that way can append an entry under a term which it does not lead
// (hashicorp/raft#695). Here a heartbeat takes the Consumer channel like every
// other request. The price: it waits while the follower syncs its log or
// installs a snapshot, so raft's HeartbeatTimeout must be several times the
// worst fsync.
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

// NewTransport listens and serves peers. Close stops it; raft closes the
// transport it was given when its shutdown is awaited. Errors: a fault of the
// configuration, ErrNotAdvertisable, or the failure to bind.
func NewTransport(cfg TransportConfig) (*Transport, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if cfg.Stream == nil {
		stream, err := listenTCP(cfg.BindAddr, cfg.AdvertiseAddr)
		if err != nil {
			return nil, err
		}
		cfg.Stream = stream
	}
	return &Transport{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:          cfg.Stream,
		MaxPool:         cfg.MaxPool,
		MaxRPCsInFlight: cfg.MaxRPCsInFlight,
		Timeout:         cfg.Timeout,
		Logger:          cfg.Logger,
		// On the wire between nodes; every release must keep it as it is.
		MsgpackUseNewTimeFormat: true,
	})}, nil
}

// SetHeartbeatHandler does nothing: see Transport.
func (t *Transport) SetHeartbeatHandler(func(rpc raft.RPC)) {}

// Close stops listening and closes the idle connections to peers, which raft's
// own Close leaves open. A second call does nothing.
func (t *Transport) Close() error {
	err := t.NetworkTransport.Close()
	t.CloseStreams()
	return err
}

// tcpStream is a raft.StreamLayer over plain TCP.
type tcpStream struct {
	net.Listener
	advertise net.Addr // nil: the listener's
}

var _ raft.StreamLayer = (*tcpStream)(nil)

// listenTCP binds and makes sure that the address bound can be advertised when
// no other is given.
func listenTCP(bind, advertise string) (*tcpStream, error) {
	l, err := net.Listen("tcp", bind)
	if err != nil {
		return nil, fmt.Errorf("listen for peers: %w", err)
	}
	s := &tcpStream{Listener: l}
	if advertise != "" {
		s.advertise = tcpName(advertise)
	}
	if err := checkAdvertisable(s.Addr().String()); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return s, nil
}

// Dial connects to a peer; timeout bounds the attempt.
func (s *tcpStream) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(addr), timeout)
}

// Addr is the address peers are told.
func (s *tcpStream) Addr() net.Addr {
	if s.advertise != nil {
		return s.advertise
	}
	return s.Listener.Addr()
}

// tcpName is a "host:port" whose host may be a name.
type tcpName string

func (n tcpName) Network() string { return "tcp" }
func (n tcpName) String() string  { return string(n) }

// checkAdvertisable refuses an address that a peer on another machine could
// not dial.
func checkAdvertisable(addr string) error {
	if err := checkHost(addr); err != nil {
		return err
	}
	if _, port, _ := net.SplitHostPort(addr); port == "" || port == "0" {
		return fmt.Errorf("%w: %q has no port", ErrNotAdvertisable, addr)
	}
	return nil
}

// checkHost refuses an address without a definite host. Port 0 passes: it may
// be bound, and the port that the system picks be advertised.
func checkHost(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotAdvertisable, err)
	}
	if host == "" {
		return fmt.Errorf("%w: %q has no host", ErrNotAdvertisable, addr)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("%w: %q is unspecified", ErrNotAdvertisable, addr)
	}
	return nil
}
