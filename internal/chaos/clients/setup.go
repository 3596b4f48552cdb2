package clients

import (
	"context"
	"fmt"
	"strconv"
	"sync"
)

// helpers is how many clients set up accounts, and look for outcomes.
const helpers = 8

// fundingBatch is how many accounts are funded by one request.
const fundingBatch = 16

// setUp creates and funds the accounts.
func (l *Load) setUp(ctx context.Context) error {
	var wg sync.WaitGroup
	faults := make([]error, helpers)
	for i := range helpers {
		c := l.client(l.cfg.Clients + i)
		var mine []holder
		for j := i; j < len(l.bank.holders); j += helpers {
			mine = append(mine, l.bank.holders[j])
		}
		wg.Go(func() {
			defer c.close()
			faults[i] = c.open(ctx, mine)
		})
	}
	wg.Wait()
	for _, err := range faults {
		if err != nil {
			return err
		}
	}
	return nil
}

// open creates and funds accounts.
func (c *client) open(ctx context.Context, holders []holder) error {
	for i := range holders {
		o := &operation{kind: create, request: holders[i].request()}
		if err := c.insist(ctx, o); err != nil {
			return err
		}
	}
	for len(holders) > 0 {
		n := min(fundingBatch, len(holders))
		o := &operation{kind: batch}
		for i := range holders[:n] {
			item := &operation{kind: pay, intent: intent{source: world, destination: holders[i].id, amount: holders[i].funds, floor: -1}}
			item.request = item.asRequest(c.newKey())
			o.items = append(o.items, item)
		}
		o.request = o.asRequest("")
		if err := c.insist(ctx, o); err != nil {
			return err
		}
		holders = holders[n:]
	}
	return nil
}

// insist sends o until it is accepted.
func (c *client) insist(ctx context.Context, o *operation) error {
	c.pursue(ctx, o, c.node(), true)
	c.settle(o)
	if o.answer == nil {
		return fmt.Errorf("%s %s: no outcome, last %s: %w", o.method, o.path, o.tries[len(o.tries)-1].result, ctx.Err())
	}
	if !o.accepted() {
		return fmt.Errorf("%s %s: %v", o.method, o.path, o.answer)
	}
	return nil
}

// request is that for the account h.
func (h *holder) request() request {
	limit := strconv.FormatInt(h.limit, 10)
	if h.unlimited {
		limit = "unlimited"
	}
	return request{
		method: "PUT", path: accountPath(h.id),
		body: fmt.Sprintf(`{"currency":"USD","overdraft_limit":%q}`, limit),
	}
}
