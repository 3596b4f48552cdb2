package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// setupBatch is the number of accounts funded by one request: the highest
// batch that a server accepts with its default flags.
const setupBatch = 1000

// Setup creates the accounts that cfg names and pays cfg.Fund from outside to
// every source account. Accounts that exist with the same definition stay as
// they are. The funding's idempotency keys are made from cfg.KeyPrefix: Setup
// again with the same prefix does not fund twice.
func Setup(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	source := newPattern(cfg.Source, cfg.Accounts)
	destination := newPattern(cfg.Destination, cfg.Accounts)
	if !source.world() {
		if err := cfg.create(ctx, source); err != nil {
			return err
		}
		if err := cfg.fund(ctx, source); err != nil {
			return err
		}
	}
	if !destination.world() && destination != source {
		return cfg.create(ctx, destination)
	}
	return nil
}

// create PUTs the accounts of p.
func (c Config) create(ctx context.Context, p pattern) error {
	address, err := c.address()
	if err != nil {
		return err
	}
	j := c.setupJob(address, p.count(c.Accounts), 1)
	j.build = func(int) *request { return accountRequest(address, c.Currency, p) }
	j.pick = inTurn(0)
	return j.complete(ctx, "create accounts", http.StatusOK, http.StatusCreated)
}

// fund pays to the accounts of p, in full batches and then one by one.
func (c Config) fund(ctx context.Context, p pattern) error {
	address, err := c.address()
	if err != nil {
		return err
	}
	pay := payments{
		host:        address,
		source:      pattern{prefix: "world:" + c.Currency},
		destination: p,
		amount:      c.Fund,
		currency:    c.Currency,
	}
	accounts := p.count(c.Accounts)
	whole := accounts / setupBatch * setupBatch
	for _, part := range []struct {
		name               string
		first, size, batch int
	}{
		{"batch", 0, whole, setupBatch},
		{"rest", whole, accounts - whole, 1},
	} {
		if part.size == 0 {
			continue
		}
		pay.keyPrefix = c.KeyPrefix + "-fund-" + part.name
		pay.batch = part.batch
		j := c.setupJob(address, part.size/part.batch, part.batch)
		j.build = pay.request
		j.pick = inTurn(uint64(part.first))
		j.keyPrefix = pay.keyPrefix
		if err := j.complete(ctx, "fund accounts", http.StatusCreated); err != nil {
			return err
		}
	}
	return nil
}

// setupJob is a job of a fixed number of requests over at most as many
// connections.
func (c Config) setupJob(address string, requests, items int) *job {
	connections := min(c.Connections, requests)
	return &job{
		address:     address,
		connections: connections,
		threads:     min(c.Threads, connections),
		items:       items,
		requests:    requests,
		patience:    int64(c.Patience),
	}
}

// inTurn names the accounts from first on, one after the other.
func inTurn(first uint64) picker {
	return func(_ *uint64, n uint64) (source, destination uint64) { return 0, first + n }
}

// complete runs j and fails unless every answer has one of the statuses.
func (j *job) complete(ctx context.Context, what string, statuses ...int) error {
	t, _, err := j.run(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	for _, status := range statuses {
		t.whole[status] = 0
	}
	t.whole[statusOutcomeUnknown] = 0 // sent again; unresolved ones are counted
	var faults []error
	for status, n := range t.whole {
		if n > 0 {
			faults = append(faults, fmt.Errorf("%s: status %d, %d times: %s", what, status, n, t.examples[status]))
		}
	}
	if t.unresolved > 0 {
		faults = append(faults, fmt.Errorf("%s: %d requests not answered", what, t.unresolved))
	}
	return errors.Join(faults...)
}
