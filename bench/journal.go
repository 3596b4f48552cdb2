package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
)

// The part of the audit that reads accounts and their journals.

const pageLimit = 500 // the most that the API lists at once

// accountState is what an account says of itself.
type accountState struct {
	ID      string `json:"id"`
	Posted  string `json:"posted"`
	Held    string `json:"held"`
	Updated string `json:"updated_at"`
}

// books are the accounts of a pattern as the server lists them.
type books struct {
	pattern      pattern
	posted, held []int64  // by the account's number
	touched      []uint32 // numbers of the accounts that changed since the mark
}

// readBooks checks all accounts of the run.
func (a *audit) readBooks(ctx context.Context, acknowledged uint64) error {
	if err := a.settle(ctx); err != nil {
		return err
	}
	source, destination := newPattern(a.cfg.Source, a.cfg.Accounts), newPattern(a.cfg.Destination, a.cfg.Accounts)
	patterns := []pattern{source}
	if !destination.world() && destination != source {
		patterns = append(patterns, destination)
	}
	for _, p := range patterns {
		b, err := a.list(ctx, p)
		if err != nil {
			return fmt.Errorf("list accounts: %w", err)
		}
		if err := a.readJournals(ctx, b, a.firstPage(acknowledged)); err != nil {
			return fmt.Errorf("entries of %s: %w", p, err)
		}
	}
	return nil
}

// settle finds the index that all reads have to reflect.
func (a *audit) settle(ctx context.Context) error {
	resp, err := a.client.do(ctx, http.MethodGet, a.cfg.Targets[0]+"/v1/accounts/world:"+a.cfg.Currency, nil)
	if err != nil {
		return err
	}
	a.index, err = strconv.ParseUint(resp.header.Get("Purser-Index"), 10, 64)
	if err != nil {
		return fmt.Errorf("status %d without an index: %w", resp.status, err)
	}
	return nil
}

// path adds to a path what makes a read reflect all that was acknowledged, on
// whichever node, without bothering the log.
func (a *audit) path(path string, query url.Values) string {
	query.Set("consistency", "stale")
	query.Set("min_index", strconv.FormatUint(a.index, 10))
	return path + "?" + query.Encode()
}

// list reads the balances of all accounts of a pattern. Accounts that nothing
// happened to since the mark are not touched: log time never goes back.
func (a *audit) list(ctx context.Context, p pattern) (*books, error) {
	want := p.count(a.cfg.Accounts)
	b := &books{pattern: p, posted: make([]int64, want), held: make([]int64, want)}
	var page struct {
		Accounts []accountState
		Next     string `json:"next_cursor"`
	}
	listed, next := 0, 0
	query := url.Values{"prefix": {p.prefix}, "limit": {strconv.Itoa(pageLimit)}}
	for more := true; more; {
		page.Accounts, page.Next = page.Accounts[:0], ""
		if err := a.client.call(ctx, http.MethodGet, a.cfg.Targets[0]+a.path("/v1/accounts", query), nil, &page); err != nil {
			return nil, err
		}
		for _, account := range page.Accounts {
			n, ok := p.number(account.ID)
			if !ok || n >= want {
				continue
			}
			if n < next {
				a.fault("account %s is listed after a later one, or twice", account.ID)
			}
			next = n + 1
			listed++
			b.posted[n], b.held[n] = amount([]byte(account.Posted)), amount([]byte(account.Held))
			if account.Updated >= a.mark.Created {
				b.touched = append(b.touched, uint32(n))
			}
		}
		more = page.Next != ""
		query.Set("cursor", page.Next)
	}
	a.v.Accounts += uint64(listed)
	if listed != want {
		a.fault("%d accounts %s, want %d", listed, p, want)
	}
	return b, nil
}

// readJournals checks the journals of the accounts that were touched. The first
// page of each comes through the load generator, which costs a tenth of a general
// client: most have no other.
func (a *audit) readJournals(ctx context.Context, b *books, limit int) error {
	if len(b.touched) == 0 {
		return nil
	}
	addresses, err := a.cfg.addresses()
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var long []*chain
	connections := min(auditConnections, len(b.touched))
	j := &job{
		addresses:   addresses,
		connections: connections,
		threads:     min(a.cfg.Threads, connections),
		payments: payments{
			host:   addresses[0],
			source: b.pattern,
			query:  a.path("", url.Values{"limit": {strconv.Itoa(limit)}}),
		},
		mix:      mix{kinds: []kind{journal}},
		pick:     func(_ *random, n uint64) (source, _ uint64) { return uint64(b.touched[n]), 0 },
		items:    1,
		requests: len(b.touched),
		patience: int64(a.cfg.Patience),
		insists:  true,
		inspect: func(n uint64, r *reply) error {
			c := a.newChain(b, b.touched[n])
			more, err := c.page(r.status, r.body, make([]entryLine, 0, limit))
			if more {
				mu.Lock()
				long = append(long, c)
				mu.Unlock()
			}
			return err
		},
	}
	t, _, err := j.run(ctx, nil)
	if err == nil && t.unresolved > 0 {
		err = fmt.Errorf("%d reads were not answered", t.unresolved)
	}
	if err = errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	return a.readOn(ctx, long)
}

// readOn reads the journals that are longer than a page to their ends.
func (a *audit) readOn(ctx context.Context, long []*chain) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan *chain)
	var wait sync.WaitGroup
	for i := range min(auditReaders, len(long)) {
		target := a.cfg.Targets[i%len(a.cfg.Targets)]
		wait.Go(func() {
			var lines []entryLine
			for c := range work {
				if err := c.readOn(ctx, target, &lines); err != nil {
					cancel(fmt.Errorf("%s: %w", c.id, err))
				}
			}
		})
	}
	for _, c := range long {
		work <- c
	}
	close(work)
	wait.Wait()
	return context.Cause(ctx)
}

// firstPage is how many entries of an account to ask for at first: what it has
// on the average, and some.
func (a *audit) firstPage(acknowledged uint64) int {
	const legs = 2
	return int(min(pageLimit, 8+2*legs*acknowledged/uint64(a.cfg.Accounts)))
}

// note takes what an account's journal has of the run.
func (a *audit) note(lines []entryLine) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.v.Entries += uint64(len(lines))
	for _, line := range lines {
		twice := false
		debit, credit := string(line.direction) == "debit", string(line.direction) == "credit"
		switch {
		case debit:
			twice = !a.debits.add(line.seq)
		case credit:
			twice = !a.credits.add(line.seq)
		}
		switch kind := string(line.kind); { // on the side of the payment's source
		case kind == "payment" && debit, kind == "authorize":
			twice = !a.found.add(line.seq) || twice
		case kind == "capture" && debit, kind == "void", kind == "refund" && credit:
			a.events = append(a.events, eventHash(kind, string(line.payment)))
		}
		if twice {
			a.v.Twice++
		}
	}
}
