package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"
)

// collectors is how many accounts are read at a time.
const collectors = 4

// collector reads the books from the nodes. It is for one goroutine.
type collector struct {
	cfg   Config
	conns []*conn // by node
}

func newCollector(cfg Config) *collector {
	c := &collector{cfg: cfg}
	for _, addr := range cfg.APIs {
		c.conns = append(c.conns, &conn{addr: addr})
	}
	return c
}

func (c *collector) close() {
	for _, conn := range c.conns {
		conn.close()
	}
}

// at has one node answer r, for as long as that takes unless ctx ends.
func (c *collector) at(ctx context.Context, node int, r request, k kind) (*answer, error) {
	last := errors.New("not tried")
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, maxPause) {
		a, err := c.conns[node].do(&r, k, 10*time.Second)
		if err == nil && a.verdict() == decided {
			return a, nil
		}
		if last = err; err == nil {
			last = fmt.Errorf("answered %v", a)
		}
		wait(ctx, pause)
	}
	return nil, fmt.Errorf("%s %s at node %d: %w, last: %w", r.method, r.path, node, ctx.Err(), last)
}

// settle waits until nothing is due any more and each node has everything that
// the log has. All holds of the accounts that are listed lapse within seconds.
func (c *collector) settle(ctx context.Context, listed string) error {
	var index uint64
	for held := true; held; {
		a, err := c.at(ctx, 0, get("/v1/accounts?limit=500&prefix="+listed), list)
		if err != nil {
			return fmt.Errorf("wait for holds to lapse: %w", err)
		}
		index = a.index
		held = slices.ContainsFunc(a.accounts, func(a account) bool { return a.Held > 0 })
		if held {
			wait(ctx, maxPause)
		}
	}
	for node := range c.conns {
		path := fmt.Sprintf("%s?consistency=stale&min_index=%d", accountPath(world), index)
		if _, err := c.at(ctx, node, get(path), read); err != nil {
			return err
		}
	}
	return nil
}

// everywhere asks all nodes the same, returns the first one's answer, and notes
// in b what others answer otherwise.
func (c *collector) everywhere(ctx context.Context, b *books, r request, k kind) (*answer, error) {
	first, err := c.at(ctx, 0, r, k)
	for node := 1; err == nil && node < len(c.conns); node++ {
		var a *answer
		if a, err = c.at(ctx, node, r, raw); err == nil && !a.sameAs(first) {
			b.differ(fmt.Sprintf("%s: node 0 answers %.2000s, node %d %.2000s", r.path, first, node, a))
		}
	}
	return first, err
}

// collect reads the books of a load at rest.
func (l *Load) collect(ctx context.Context) (*books, error) {
	b := &books{journals: map[string][]entry{}, accounts: map[string]state{}}
	c := newCollector(l.cfg)
	defer c.close()
	if err := c.settle(ctx, l.bank.listed()); err != nil {
		return nil, err
	}
	if err := l.collectJournals(ctx, b); err != nil {
		return nil, err
	}
	for node := range c.conns {
		if err := c.balances(ctx, node, b); err != nil {
			return nil, err
		}
	}
	if err := c.memories(ctx, b, l.history.all()); err != nil {
		return nil, err
	}
	return b, c.digests(ctx, b)
}

// collectJournals reads the journals of all accounts, several at a time.
func (l *Load) collectJournals(ctx context.Context, b *books) error {
	ids := make(chan string, len(l.bank.holders)+1)
	ids <- world
	for _, h := range l.bank.holders {
		ids <- h.id
	}
	close(ids)
	faults := make([]error, collectors)
	var wg sync.WaitGroup
	for i := range collectors {
		wg.Go(func() {
			c := newCollector(l.cfg)
			defer c.close()
			for id := range ids {
				if faults[i] = c.journal(ctx, b, id); faults[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(faults...)
}

// journal reads the whole history of an account.
func (c *collector) journal(ctx context.Context, b *books, id string) error {
	var all []entry
	for cursor := ""; ; {
		a, err := c.everywhere(ctx, b, get(entriesPath(id, cursor)), raw)
		if err != nil {
			return err
		}
		var page struct {
			Entries []entry
			Next    string `json:"next_cursor"`
		}
		if err := json.Unmarshal([]byte(a.body), &page); err != nil {
			return fmt.Errorf("entries of %s: %w", id, err)
		}
		all = append(all, page.Entries...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.journals[id] = all
	return nil
}

// balances reads all accounts of a node as they are, and adds them up.
func (c *collector) balances(ctx context.Context, node int, b *books) error {
	var sum int64
	take := func(a account) {
		sum += a.Posted
		if had, ok := b.accounts[a.ID]; ok && had != a.state {
			b.differ(fmt.Sprintf("%s: %+v at node %d, %+v before", a.ID, a.state, node, had))
		}
		b.accounts[a.ID] = a.state
	}
	a, err := c.at(ctx, node, get(accountPath(world)+"?consistency=stale"), read)
	if err != nil {
		return err
	}
	take(*a.account)
	for cursor := ""; ; {
		a, err := c.at(ctx, node, get("/v1/accounts?limit=500&consistency=stale"+cursor), list)
		if err != nil {
			return err
		}
		for _, one := range a.accounts {
			take(one)
		}
		if a.next == "" {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(a.next)
	}
	b.sums = append(b.sums, sum)
	return nil
}
