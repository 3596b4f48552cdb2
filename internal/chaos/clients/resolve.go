package clients

import (
	"context"
	"fmt"
	"sync"
)

// resolve finds the outcomes of the commands that are in doubt.
func (l *Load) resolve(ctx context.Context) error {
	var doubts []*operation
	for _, o := range l.history.all() {
		if o.unknown() && (o.kind.moves() || o.kind == batch) {
			doubts = append(doubts, o)
		}
	}
	work := make(chan *operation, len(doubts))
	for _, o := range doubts {
		work <- o
	}
	close(work)
	var wg sync.WaitGroup
	for i := range min(helpers, len(doubts)) {
		c := l.client(l.cfg.Clients + helpers + i)
		wg.Go(func() {
			defer c.close()
			for o := range work {
				c.resolve(ctx, o)
			}
		})
	}
	wg.Wait()
	left := 0
	for _, o := range doubts {
		if o.answer == nil {
			left++
		}
	}
	if left > 0 {
		return fmt.Errorf("%d of %d unknown outcomes were not found: %w", left, len(doubts), ctx.Err())
	}
	return nil
}

// resolve asks what o's keys remember, and then sends o again until it has its
// outcome.
func (c *client) resolve(ctx context.Context, o *operation) {
	again := *o
	again.items = nil
	for _, item := range o.items {
		copied := *item
		again.items = append(again.items, &copied)
	}
	again.commands(func(m *operation) { m.found = c.ask(ctx, m.key) })
	if ctx.Err() == nil {
		c.pursue(ctx, &again, c.node(), true)
	}
	again.client, again.late = o.client, again.answer != nil
	h := c.history
	h.mu.Lock()
	defer h.mu.Unlock()
	*o = again
	h.acknowledge(o)
}

// ask returns what a key remembers, nil for nothing.
func (c *client) ask(ctx context.Context, key string) *answer {
	o := &operation{kind: recall, request: get(keyPath(key))}
	c.pursue(ctx, o, c.node(), true)
	if o.answer == nil || len(o.answer.results) == 0 {
		return nil
	}
	return o.answer.results[0]
}
