package bench

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"strconv"
)

const (
	// setupBatch is the number of accounts funded by one request: the highest
	// batch that a server accepts with its default flags.
	setupBatch = 1000
	// markedAccounts is the number of accounts from which on Setup leaves a mark
	// when it is done with them. Fewer are quicker made again than asked for.
	markedAccounts = 1000
)

// Setup creates the accounts that cfg names and pays cfg.Fund from outside to
// every source account. Accounts that exist with the same definition stay as
// they are.
//
// Where the accounts are many, an account of its own, bench-setup:<hash>, says
// that exactly this was done before, and only the hot accounts, which pay most,
// get cfg.Fund again. The funding's idempotency keys are made from that hash, so
// that a setup which was interrupted does not fund twice when it is repeated.
func Setup(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	source := newPattern(cfg.Source, cfg.Accounts)
	destination := newPattern(cfg.Destination, cfg.Accounts)
	accounts := source.count(cfg.Accounts)
	mark, done, err := cfg.marked(ctx)
	if err != nil {
		return err
	}
	if done {
		return cfg.fund(ctx, source, min(cfg.Hot, accounts, setupBatch), cfg.KeyPrefix)
	}
	keys := cfg.KeyPrefix
	if mark != "" {
		keys = mark
	}
	if !source.world() {
		if err := cfg.create(ctx, source, accounts); err != nil {
			return err
		}
		if err := cfg.fund(ctx, source, accounts, keys); err != nil {
			return err
		}
	}
	if !destination.world() && destination != source {
		if err := cfg.create(ctx, destination, destination.count(cfg.Accounts)); err != nil {
			return err
		}
	}
	if mark == "" {
		return nil
	}
	return cfg.create(ctx, pattern{prefix: mark}, 1)
}

// marked returns the id of the account that says that the setup of c was done,
// empty if c leaves no mark, and whether it exists.
func (c Config) marked(ctx context.Context) (mark string, done bool, err error) {
	if c.Accounts < markedAccounts {
		return "", false, nil
	}
	h := fnv.New64a()
	fmt.Fprint(h, c.Source, " ", c.Destination, " ", c.Accounts, c.Currency, c.Fund)
	mark = "bench-setup:" + strconv.FormatUint(h.Sum64(), 36)
	client := newClient(1)
	defer client.close()
	resp, err := client.do(ctx, http.MethodGet, c.Targets[0]+"/v1/accounts/"+mark, nil)
	if err != nil {
		return "", false, fmt.Errorf("look for accounts: %w", err)
	}
	switch resp.status {
	case http.StatusOK:
		return mark, true, nil
	case http.StatusNotFound:
		return mark, false, nil
	}
	return "", false, fmt.Errorf("look for accounts: status %d: %s", resp.status, resp.body)
}

// create PUTs the first accounts of p.
func (c Config) create(ctx context.Context, p pattern, accounts int) error {
	j, err := c.setupJob(accounts, 1)
	if err != nil {
		return err
	}
	j.payments = payments{host: j.addresses[0], destination: p, currency: c.Currency}
	j.mix = mix{kinds: []kind{create}}
	j.pick = inTurn(0)
	return j.complete(ctx, "create accounts", http.StatusOK, http.StatusCreated)
}

// fund pays to the first accounts of p, in full batches and then one by one.
func (c Config) fund(ctx context.Context, p pattern, accounts int, keys string) error {
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
		j, err := c.setupJob(part.size/part.batch, part.batch)
		if err != nil {
			return err
		}
		j.payments = payments{
			host:        j.addresses[0],
			keyPrefix:   keys + "-fund-" + part.name,
			source:      pattern{prefix: "world:" + c.Currency},
			destination: p,
			amount:      c.Fund,
			currency:    c.Currency,
			batch:       part.batch,
		}
		j.mix = mix{kinds: []kind{pay}}
		j.pick = inTurn(uint64(part.first))
		if err := j.complete(ctx, "fund accounts", http.StatusCreated); err != nil {
			return err
		}
	}
	return nil
}

// setupJob is a closed loop of a fixed number of requests, over connections of its
// own number: so many that a server is busy, and in batches not overloaded.
func (c Config) setupJob(requests, items int) (*job, error) {
	const single, batched = 256, 8
	addresses, err := c.addresses()
	connections := min(single, requests)
	if items > 1 {
		connections = min(batched, requests)
	}
	return &job{
		addresses:   addresses,
		connections: connections,
		threads:     min(c.Threads, connections),
		items:       items,
		requests:    requests,
		patience:    int64(c.Patience),
		insists:     true,
	}, err
}

// inTurn names the accounts from first on, one after the other.
func inTurn(first uint64) picker {
	return func(_ *random, n uint64) (source, destination uint64) { return 0, first + n }
}

// complete runs j and fails unless every request is answered with one of the
// statuses in the end.
func (j *job) complete(ctx context.Context, what string, statuses ...int) error {
	t, _, err := j.run(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	for _, status := range statuses {
		t.whole[status] = 0
	}
	for _, status := range []int{statusOutcomeUnknown, statusUnavailable, statusTooMany} {
		t.whole[status] = 0 // sent again; unresolved ones are counted
	}
	var f faults
	for status, n := range t.whole {
		f.check(n == 0, "%s: status %d, %d times: %s", what, status, n, t.examples[status])
	}
	f.check(t.unresolved == 0, "%s: %d requests not answered: %v", what, t.unresolved, t.examples)
	return errors.Join(f...)
}
