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

// readBooks checks all accounts of the run, several at a time, spread over all
// targets.
func (a *audit) readBooks(ctx context.Context, acknowledged uint64) error {
	if err := a.settle(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	accounts := make(chan accountState, pageLimit)
	var wait sync.WaitGroup
	for i := range auditReaders {
		target := a.cfg.Targets[i%len(a.cfg.Targets)]
		wait.Go(func() {
			var lines []entryLine
			for account := range accounts {
				if err := a.checkAccount(ctx, target, account, a.firstPage(acknowledged), &lines); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := a.listAccounts(ctx, accounts)
	close(accounts)
	wait.Wait()
	return errors.Join(err, context.Cause(ctx))
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

// listAccounts sends the accounts of both patterns to the readers.
func (a *audit) listAccounts(ctx context.Context, to chan<- accountState) error {
	source, destination := newPattern(a.cfg.Source, a.cfg.Accounts), newPattern(a.cfg.Destination, a.cfg.Accounts)
	patterns := []pattern{source}
	if !destination.world() && destination != source {
		patterns = append(patterns, destination)
	}
	for _, p := range patterns {
		listed, err := a.list(ctx, p, to)
		if err != nil {
			return err
		}
		a.v.Accounts += uint64(listed)
		if want := p.count(a.cfg.Accounts); listed != want && ctx.Err() == nil {
			a.fault("%d accounts %s, want %d", listed, p, want)
		}
	}
	return nil
}

func (a *audit) list(ctx context.Context, p pattern, to chan<- accountState) (listed int, err error) {
	var page struct {
		Accounts []accountState
		Next     string `json:"next_cursor"`
	}
	query := url.Values{"prefix": {p.prefix}, "limit": {strconv.Itoa(pageLimit)}}
	for {
		page.Accounts, page.Next = page.Accounts[:0], ""
		if err := a.client.call(ctx, http.MethodGet, a.cfg.Targets[0]+a.path("/v1/accounts", query), nil, &page); err != nil {
			return listed, err
		}
		for _, account := range page.Accounts {
			if !p.names(account.ID) {
				continue
			}
			listed++
			select {
			case to <- account:
			case <-ctx.Done():
				return listed, nil // the cause is known to who ended it
			}
		}
		if page.Next == "" {
			return listed, nil
		}
		query.Set("cursor", page.Next)
	}
}

// firstPage is how many entries of an account to ask for at first: what it has
// on the average, and some.
func (a *audit) firstPage(acknowledged uint64) int {
	const legs = 2
	return int(min(pageLimit, 8+2*legs*acknowledged/uint64(a.cfg.Accounts)))
}

// checkAccount reads the journal of an account back to the mark, notes what it
// finds, and checks that the balance follows from it. Accounts that nothing
// happened to since the mark are done with at once: log time never goes back.
// lines is room for a page.
func (a *audit) checkAccount(ctx context.Context, target string, account accountState, limit int, lines *[]entryLine) error {
	if account.Updated < a.mark.Created {
		return nil
	}
	chain := chain{audit: a, account: account}
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	for more := true; more; {
		path := target + a.path("/v1/accounts/"+account.ID+"/entries", query)
		resp, err := a.client.do(ctx, http.MethodGet, path, nil)
		if err == nil && resp.status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", resp.status, resp.body)
		}
		var cursor string
		if err == nil {
			*lines, cursor, err = scanEntries(resp.body, (*lines)[:0])
		}
		if err != nil {
			return fmt.Errorf("entries of %s: %w", account.ID, err)
		}
		more = chain.follow(*lines) && cursor != ""
		query.Set("cursor", cursor)
		query.Set("limit", strconv.Itoa(pageLimit))
	}
	chain.end()
	return nil
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

// chain follows the journal of one account from its newest line back to the mark.
type chain struct {
	audit   *audit
	account accountState
	newer   entryLine // the line before, in the order of reading, without its texts; zero at first
	change  int64     // what that line added
	done    bool      // the mark, or a line before it, was reached
}

// follow takes the next lines and reports whether older ones are wanted.
func (c *chain) follow(lines []entryLine) (more bool) {
	for i := range lines {
		c.link(&lines[i])
		if lines[i].seq <= c.audit.mark.Seq {
			c.done = true
			lines = lines[:i]
			break
		}
	}
	c.audit.note(lines)
	return !c.done
}

// link checks that the line read before follows from this older one, or, at
// first, that the account's balance is that after its newest line.
func (c *chain) link(older *entryLine) {
	switch {
	case c.newer.seq == 0:
		if amount([]byte(c.account.Posted)) != older.posted || amount([]byte(c.account.Held)) != older.held {
			c.audit.fault("account %s has posted %s and held %s, its journal ends with %d and %d at seq %d",
				c.account.ID, c.account.Posted, c.account.Held, older.posted, older.held, older.seq)
		}
	case older.seq >= c.newer.seq || c.newer.posted != older.posted+c.change:
		c.audit.fault("account %s: seq %d (posted %d, by %+d) does not follow from seq %d (posted %d)",
			c.account.ID, c.newer.seq, c.newer.posted, c.change, older.seq, older.posted)
	}
	c.newer, c.change = *older, older.change()
	c.newer.payment, c.newer.kind, c.newer.direction = nil, nil, nil
}

// end checks the start of a journal that was read to it.
func (c *chain) end() {
	switch {
	case c.done:
	case c.newer.seq == 0 && amount([]byte(c.account.Posted)) != 0:
		c.audit.fault("account %s has posted %s and no journal", c.account.ID, c.account.Posted)
	case c.newer.posted != c.change:
		c.audit.fault("account %s: its journal does not begin with 0: posted %d, by %+d at seq %d",
			c.account.ID, c.newer.posted, c.change, c.newer.seq)
	}
}
