package clients

import (
	"context"
	"encoding/json"
	"fmt"
)

// Bounds of what is asked for again.
const (
	recalledMost = 400 // keys, on each node
	unaskedMost  = 300 // keys of what was answered 503 only
	repeatedMost = 150 // requests
	lookedUpMost = 200 // payments, on each node
)

// memories asks the nodes what they remember of the commands in ops: first of
// those that had a hard time, then of a sample.
func (c *collector) memories(ctx context.Context, b *books, ops []*operation) error {
	var hard, easy, unasked, payments []*operation
	for _, o := range ops {
		o.commands(func(m *operation) {
			switch {
			case m.answer == nil && !m.doubtful:
				unasked = append(unasked, m)
			case m.answer == nil:
			case len(o.tries) > 1:
				hard = append(hard, m)
			default:
				easy = append(easy, m)
			}
			if m.accepted() && !m.kind.onPayment() {
				payments = append(payments, m)
			}
		})
	}
	asked := sample(hard, recalledMost/2)
	asked = append(asked, sample(easy, recalledMost-len(asked))...)
	for node := range c.conns {
		for _, o := range asked {
			a, err := c.recall(ctx, node, o.key)
			if err != nil {
				return err
			}
			b.recalled = append(b.recalled, recollection{o, node, a})
		}
	}
	for i, o := range sample(unasked, unaskedMost) {
		node := i % len(c.conns)
		a, err := c.recall(ctx, node, o.key)
		if err != nil {
			return err
		}
		b.unasked = append(b.unasked, recollection{o, node, a})
	}
	for _, o := range sample(payments, lookedUpMost) {
		id := o.answer.payment.ID
		a, err := c.everywhere(ctx, b, get(pathPayments+"/"+id+"?consistency=stale"), lookup)
		if err != nil {
			return err
		}
		b.payments = append(b.payments, recollection{o, 0, a})
	}
	return c.repeat(ctx, b, append(sample(hard, repeatedMost/2), sample(easy, repeatedMost/2)...))
}

// sample returns at most most of all, evenly spread.
func sample(all []*operation, most int) []*operation {
	if len(all) <= most {
		return all
	}
	some := make([]*operation, most)
	for i := range some {
		some[i] = all[i*len(all)/most]
	}
	return some
}

// recall returns what a node itself remembers of a key, nil for nothing.
func (c *collector) recall(ctx context.Context, node int, key string) (*answer, error) {
	a, err := c.at(ctx, node, get(keyPath(key)+"?consistency=stale"), recall)
	if err != nil || len(a.results) == 0 {
		return nil, err
	}
	return a.results[0], nil
}

// repeat sends commands once more, each through one node.
func (c *collector) repeat(ctx context.Context, b *books, ops []*operation) error {
	for i, o := range ops {
		node := i % len(c.conns)
		r := o.request
		a, err := c.at(ctx, node, r, o.kind)
		if err != nil {
			return err
		}
		b.repeated = append(b.repeated, &operation{
			kind: retry, request: r, of: o, answer: a, tries: []try{{node: node}},
		})
	}
	return nil
}

// digests compares what the nodes have computed, as far as their admin listeners
// are known, once they are all at the same index.
func (c *collector) digests(ctx context.Context, b *books) error {
	type status struct {
		Index  uint64 `json:"applied_index"`
		Digest string
	}
	admins := newCollector(Config{APIs: c.cfg.Admins})
	defer admins.close()
	for pause := firstPause; len(admins.conns) > 0; pause = min(2*pause, maxPause) {
		all := make([]status, len(admins.conns))
		together, same := true, true
		for node := range all {
			a, err := admins.at(ctx, node, get("/admin/v1/status"), raw)
			if err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(a.body), &all[node]); err != nil {
				return fmt.Errorf("status of node %d: %w", node, err)
			}
			together = together && all[node].Index == all[0].Index
			same = same && all[node].Digest == all[0].Digest
		}
		if together && !same {
			b.differ(fmt.Sprintf("index and digest: %+v", all))
		}
		if together {
			return nil
		}
		wait(ctx, pause)
	}
	return nil
}
