package peer

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"purser/internal/nodetls"
)

// Config configures a Port. Its functions are called from many goroutines at
// once and must not block.
type Config struct {
	// Bind is the TCP address to listen on, "host:port". Required. Port 0 lets the
	// system pick one.
	Bind string
	// Advertise is what other nodes dial, "host:port"; the host may be a name.
	// Default: the address bound.
	Advertise string
	// TLS proves who is who. Without it node ids are "", and Bind has to be
	// loopback.
	TLS *nodetls.Config
	// AllowInsecure lets a port without TLS listen on any address: whoever reaches
	// it is then trusted with everything.
	AllowInsecure bool
	// Resolve returns the id of the node that raft means by an address, "" if it is
	// not known. Required with TLS, not used without.
	Resolve func(addr string) (nodeID string)
	// Member reports whether a node is a member: only those may open connections
	// for raft and for forwarded requests. Required with TLS, not used without.
	Member func(nodeID string) bool
	// ArrivalTimeout is how long a new connection has for its handshake and for
	// saying what it is, its control call included. Default 5 s.
	ArrivalTimeout time.Duration
	// Logger takes the connections that were refused, and why. Default: discarded.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.ArrivalTimeout == 0 {
		c.ArrivalTimeout = 5 * time.Second
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
	if c.Advertise != "" {
		faults = append(faults, checkAdvertisable(c.Advertise))
	} else {
		faults = append(faults, checkHost(c.Bind))
	}
	if c.TLS == nil && !c.AllowInsecure && !Loopback(c.Bind) {
		faults = append(faults, fmt.Errorf("%w: %q", ErrInsecure, c.Bind))
	}
	if c.TLS != nil && (c.Resolve == nil || c.Member == nil) {
		faults = append(faults, errors.New("TLS needs Resolve and Member"))
	}
	if c.ArrivalTimeout < 0 {
		faults = append(faults, fmt.Errorf("arrival timeout of %s", c.ArrivalTimeout))
	}
	return errors.Join(faults...)
}
