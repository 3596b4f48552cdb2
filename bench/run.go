package bench

import (
	"context"
	"time"
)

// Run puts the load of cfg on its target and returns what it measured. The
// accounts must exist (Setup). Refused payments are counted, not errors; an
// error is a fault in cfg, a target that cannot be reached at the start, or a
// reply that is not HTTP as a payment server speaks it. When ctx ends early,
// Run returns what was measured until then.
func Run(ctx context.Context, cfg Config) (Result, error) {
	if err := cfg.Validate(); err != nil {
		return Result{}, err
	}
	cfg = cfg.withDefaults()
	j, err := cfg.paymentJob()
	if err != nil {
		return Result{}, err
	}
	started := time.Now()
	t, elapsed, err := j.run(ctx)
	if err != nil {
		return Result{}, err
	}
	return newResult(cfg, t, started, elapsed), nil
}

// paymentJob is the job of a run of c, whose defaults are set.
func (c Config) paymentJob() (*job, error) {
	address, err := c.address()
	if err != nil {
		return nil, err
	}
	p := payments{
		host:        address,
		keyPrefix:   c.KeyPrefix,
		source:      newPattern(c.Source, c.Accounts),
		destination: newPattern(c.Destination, c.Accounts),
		amount:      c.Amount,
		currency:    c.Currency,
		batch:       c.Batch,
	}
	j := &job{
		address:     address,
		connections: c.Connections,
		threads:     c.Threads,
		build:       p.request,
		pick:        uniform(uint64(c.Accounts), c.Hot, c.Source == c.Destination),
		items:       c.Batch,
		requests:    c.Requests,
		warmup:      int64(c.Warmup),
		patience:    int64(c.Patience),
		keyPrefix:   c.KeyPrefix,
		seed:        c.Seed,
	}
	if c.Requests == 0 {
		j.ends = int64(c.Warmup + c.Duration)
	}
	return j, nil
}

// uniform chooses both accounts at random and independently, the source being
// account 0 in a share hot of the payments. With distinct, the two numbers are
// of one family and never equal.
func uniform(accounts uint64, hot float64, distinct bool) picker {
	const scale = 1 << 32
	threshold := uint64(hot * scale)
	return func(state *uint64, _ uint64) (source, destination uint64) {
		if accounts == 1 {
			return 0, 0
		}
		if threshold == 0 || random(state, scale) >= threshold {
			source = random(state, accounts)
		}
		if !distinct {
			return source, random(state, accounts)
		}
		destination = random(state, accounts-1)
		if destination >= source {
			destination++
		}
		return source, destination
	}
}
