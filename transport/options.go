package transport

import (
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxBatch is the largest batch that a server can be told to take.
const maxBatch = 10_000

// Options configures a Server.
type Options struct {
	Executor Executor // required
	Accounts Accounts // required
	Payments Payments // required

	// Cluster says who leads: requests that only the leader can serve are sent to it.
	// Default: none, this node is alone and serves everything.
	Cluster Cluster

	// Crowded reports whether the Executor would probably refuse a batch now. One that
	// comes then is answered 503 overloaded without being decoded or kept: what is
	// refused takes little from what is accepted. Default: nobody knows, the Executor is
	// asked with the batch.
	Crowded func() bool

	// Hold and Release are called around the Submits of requests that came at one time:
	// the Executor may take them together. Default: nothing is told.
	Hold, Release func()

	// Registerer takes the purser_http_ metrics. Required.
	Registerer prometheus.Registerer
	// Gate is asked before every request. Default: none, every request may enter.
	Gate Gate
	// Logger takes what cannot be told to a client. Default: slog.Default().
	Logger *slog.Logger

	// MaxBatch is the most payments in one batch. Default 1000, at most 10000.
	MaxBatch int
	// MaxBodyBytes bounds the bodies over 64 KiB, which only batches have, that are
	// held at one time; one more is answered 503 overloaded, unread. A body counts
	// with its declared length from before it is read until it is answered, and one
	// of unknown length with the most that it may have, 8 MiB. Connections are many
	// and slow ones cost nothing else, so without a bound their bodies could take
	// all memory. Default 256 MiB, at least 8 MiB: four times what an engine lets
	// wait, so that a batch is refused here only when many arrive slowly.
	MaxBodyBytes int
	// MaxConns bounds open connections; further ones are answered 503 overloaded
	// and closed. Default 65536.
	MaxConns int
	// MaxConnsPerIP bounds open connections of one address; further ones are
	// answered 429 rate_limited and closed. Gateways and load generators open
	// thousands from one address. Default 16384.
	MaxConnsPerIP int
	// ReadTimeout bounds reading one request. Default 5 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds writing one response. Default 10 s.
	WriteTimeout time.Duration
	// IdleTimeout bounds the wait for the next request of a connection. Default 60 s.
	IdleTimeout time.Duration
	// ForwardTimeout bounds the time that a request may take on its way to the leader
	// and back, a second try included. Default 12 s: the deadline of an engine, 10 s,
	// and a margin, so that the leader is the one that says what it knows.
	ForwardTimeout time.Duration
	// MaxForwarded bounds the requests that are at the leader at one time, and so the
	// connections to it; one more is answered 503 overloaded. Default 4096: four
	// nodes on one machine stay below the leader's MaxConnsPerIP, and at 10 ms each
	// it is several times what a leader can execute.
	MaxForwarded int
	// MinIndexTimeout bounds the wait for the log index that a read asks for.
	// Default 10 s, the deadline of an engine.
	MinIndexTimeout time.Duration
	// LeaveTime is how long Shutdown goes on serving before it closes connections
	// that are idle. Default 250 ms.
	LeaveTime time.Duration
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Crowded == nil {
		o.Crowded = func() bool { return false }
	}
	if o.Hold == nil || o.Release == nil {
		o.Hold, o.Release = func() {}, func() {}
	}
	setDefault(&o.MaxBatch, 1000)
	setDefault(&o.MaxBodyBytes, 256<<20)
	setDefault(&o.MaxConns, 65_536)
	setDefault(&o.MaxConnsPerIP, 16_384)
	setDefault(&o.ReadTimeout, 5*time.Second)
	setDefault(&o.WriteTimeout, 10*time.Second)
	setDefault(&o.IdleTimeout, 60*time.Second)
	setDefault(&o.ForwardTimeout, 12*time.Second)
	setDefault(&o.MaxForwarded, 4096)
	setDefault(&o.MinIndexTimeout, 10*time.Second)
	setDefault(&o.LeaveTime, 250*time.Millisecond)
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate returns all faults of o joined, nil if there are none.
func (o Options) Validate() error {
	var faults []error
	check := func(ok bool, fault string) {
		if !ok {
			faults = append(faults, errors.New("transport: "+fault))
		}
	}
	check(o.Executor != nil, "an Executor is required")
	check(o.Accounts != nil, "Accounts is required")
	check(o.Payments != nil, "Payments is required")
	check(o.Registerer != nil, "a Registerer is required")
	check(o.MaxForwarded >= 0, "MaxForwarded must not be negative")
	check(o.MaxBatch >= 0 && o.MaxBatch <= maxBatch, "MaxBatch must be at most 10000")
	check(o.MaxBodyBytes == 0 || o.MaxBodyBytes >= maxBatchBody, "MaxBodyBytes must have room for one batch, 8 MiB")
	check(o.MaxConns >= 0, "MaxConns must not be negative")
	check(o.MaxConnsPerIP >= 0, "MaxConnsPerIP must not be negative")
	check(o.ReadTimeout >= 0 && o.WriteTimeout >= 0 && o.IdleTimeout >= 0 && o.LeaveTime >= 0 &&
		o.ForwardTimeout >= 0 && o.MinIndexTimeout >= 0, "timeouts must not be negative")
	return errors.Join(faults...)
}
