package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// chain follows the journal of one account from its newest line back to the mark,
// notes what it finds, and checks that the balance follows from it.
type chain struct {
	audit        *audit
	id           string
	posted, held int64     // the account's
	newer        entryLine // the line before, in the order of reading, without its texts; zero at first
	change       int64     // what that line added
	done         bool      // the mark, or a line before it, was reached
	cursor       string    // of the next page
}

func (a *audit) newChain(b *books, n uint32) *chain {
	return &chain{audit: a, id: b.pattern.id(uint64(n)), posted: b.posted[n], held: b.held[n]}
}

// page takes the answer to a read of the next page, and reports whether there is
// another one to read. lines is room for it.
func (c *chain) page(status int, body []byte, lines []entryLine) (more bool, err error) {
	if status != http.StatusOK {
		return false, fmt.Errorf("status %d: %s", status, body)
	}
	if lines, c.cursor, err = scanEntries(body, lines); err != nil {
		return false, err
	}
	if c.follow(lines) && c.cursor != "" {
		return true, nil
	}
	c.end()
	return false, nil
}

// readOn reads the pages after the first.
func (c *chain) readOn(ctx context.Context, target string, lines *[]entryLine) error {
	if cap(*lines) == 0 {
		*lines = make([]entryLine, 0, pageLimit)
	}
	for more := true; more; {
		query := url.Values{"limit": {strconv.Itoa(pageLimit)}, "cursor": {c.cursor}}
		resp, err := c.audit.client.do(ctx, http.MethodGet, target+c.audit.path("/v1/accounts/"+c.id+"/entries", query), nil)
		if err != nil {
			return err
		}
		if more, err = c.page(resp.status, resp.body, (*lines)[:0]); err != nil {
			return err
		}
	}
	return nil
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
		if c.posted != older.posted || c.held != older.held {
			c.audit.fault("account %s has posted %d and held %d, its journal ends with %d and %d at seq %d",
				c.id, c.posted, c.held, older.posted, older.held, older.seq)
		}
	case older.seq >= c.newer.seq || c.newer.posted != older.posted+c.change:
		c.audit.fault("account %s: seq %d (posted %d, by %+d) does not follow from seq %d (posted %d)",
			c.id, c.newer.seq, c.newer.posted, c.change, older.seq, older.posted)
	}
	c.newer, c.change = *older, older.change()
	c.newer.payment, c.newer.kind, c.newer.direction = nil, nil, nil
}

// end checks the start of a journal that was read to it.
func (c *chain) end() {
	switch {
	case c.done:
	case c.newer.seq == 0 && (c.posted != 0 || c.held != 0):
		c.audit.fault("account %s has posted %d and held %d, and no journal", c.id, c.posted, c.held)
	case c.newer.posted != c.change:
		c.audit.fault("account %s: its journal does not begin with 0: posted %d, by %+d at seq %d",
			c.id, c.newer.posted, c.change, c.newer.seq)
	}
}
