package engine

import (
	"errors"
	"fmt"
	"time"

	"purser/internal/ledger"
)

// Log is the replicated log that the engine proposes to.
type Log interface {
	// Propose hands over one entry and returns at once. From then on entry is
	// read by both and changed by nobody. When what came of it is released it is the
	// engine's alone again: it must not be called for what the log still reads.
	Propose(entry []byte) Proposal
	// Ready returns nil while this node may propose, or the reason why not.
	Ready() error
	// NextDue is the log time at which the earliest open hold lapses; ok is false
	// when there is none.
	NextDue() (due ledger.Micros, ok bool)
}

// Proposal is an entry on its way.
type Proposal interface {
	// Wait blocks until the entry is applied or its fate is known as well as it
	// will ever be. Its errors are ledger.ErrNoLeader and ledger.ErrOverloaded
	// (certainly not applied) and ledger.ErrOutcomeUnknown. An applied entry has
	// one result for each of its commands.
	Wait() (*ledger.Applied, error)
}

// Options configures an Engine. The zero value of a field means its default.
type Options struct {
	// Log is required.
	Log Log
	// Format is the newest format of log entries that every node of the cluster
	// reads, asked for each entry. Default: ledger.NewestFormat, always.
	Format func() int
	// Now reads the wall clock for the stamps; default time.Now.
	Now func() time.Time
	// MaxInFlight bounds the entries proposed and not yet applied. Default 3.
	MaxInFlight int
	// MinPipelined is how many commands and reads a batch must have to be proposed
	// while another entry is in flight; default 1000. A smaller one grows meanwhile:
	// one entry costs about 0.1 ms of processor time, whatever is in it, which is more
	// than the log being written and applied at the same time gains. With entries of
	// 1000 and more it gains 8% (the engine alone) or 2% (over HTTP).
	MinPipelined int
	// MaxBatch bounds the commands of one entry; default 4096. One call of
	// ExecuteAll stays together even when it is larger.
	MaxBatch int
	// MaxPending bounds the commands and reads that wait for an outcome, all
	// entries together; default 16384, a fifth of a second of single payments. Beyond
	// it, work is refused. As many retries of requests in doubt may wait besides.
	MaxPending int
	// MaxPendingBytes bounds their encoded size in bytes; default 64 MiB. One call
	// may exceed it.
	MaxPendingBytes int
	// Deadline is the longest that a request waits for its outcome, counted from
	// the first request of its entry; default 10 s. A retry of a request in doubt
	// may wait as long again for that one, before it is proposed.
	Deadline time.Duration
	// PulseEvery is how often an idle engine looks for overdue holds; default
	// 100 ms. While many are overdue, it proposes one entry each time.
	PulseEvery time.Duration
}

func (o Options) withDefaults() Options {
	if o.Format == nil {
		o.Format = func() int { return ledger.NewestFormat }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.MaxInFlight, 3)
	def(&o.MinPipelined, 1000)
	def(&o.MaxBatch, 4096)
	def(&o.MaxPending, 16384)
	def(&o.MaxPendingBytes, 64<<20)
	if o.Deadline == 0 {
		o.Deadline = 10 * time.Second
	}
	if o.PulseEvery == 0 {
		o.PulseEvery = 100 * time.Millisecond
	}
	return o
}

// Validate returns every fault of the options.
func (o Options) Validate() error {
	var faults []error
	if o.Log == nil {
		faults = append(faults, errors.New("engine: Log is required"))
	}
	positive := func(name string, v int64) {
		if v < 0 {
			faults = append(faults, fmt.Errorf("engine: %s is negative: %d", name, v))
		}
	}
	positive("MaxInFlight", int64(o.MaxInFlight))
	positive("MinPipelined", int64(o.MinPipelined))
	positive("MaxBatch", int64(o.MaxBatch))
	positive("MaxPending", int64(o.MaxPending))
	positive("MaxPendingBytes", int64(o.MaxPendingBytes))
	positive("Deadline", int64(o.Deadline))
	positive("PulseEvery", int64(o.PulseEvery))
	return errors.Join(faults...)
}
