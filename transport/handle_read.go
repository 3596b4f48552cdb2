package transport

import (
	"strconv"

	"purser/internal/ledger"
	"purser/internal/planted"
)

var (
	readParameters     = []string{"consistency", "min_index"}
	accountsParameters = []string{"consistency", "min_index", "prefix", "limit", "cursor"}
	entriesParameters  = []string{"consistency", "min_index", "order", "limit", "cursor"}
)

// settle waits until a read is allowed to look, and reports whether it is.
func (s *Server) settle(c *call, p *parameters) (ok bool) {
	s.settled(c, p, func(*Server, *call) { ok = true })
	return ok
}

// settled has look called when a read is allowed to look: after everything
// acknowledged before, unless the client takes what this node has; and after
// min_index. It waits as await does. look may block.
func (s *Server) settled(c *call, p *parameters, look func(*Server, *call)) {
	var ok bool
	if c.least, ok = c.minIndex(p); !ok {
		return
	}
	switch {
	case string(p.consistency) == "stale", planted.Is(planted.ReadWithoutBarrier):
		if c.laned {
			c.abandoned = true
		} else if s.reached(c, c.least) {
			look(s, c)
		}
	case p.consistency == nil, string(p.consistency) == "linearizable":
		barrier, err := s.opts.Executor.Barrier()
		if err != nil {
			s.failEarly(c, err)
			return
		}
		c.look = look
		s.await(c, barrier, (*Server).barred)
	default:
		c.invalid("consistency", "must be stale or linearizable")
	}
}

// barred is the end of a read's wait for its barrier.
func (s *Server) barred(c *call) {
	if err := c.pending.Show(c.barrier); err != nil {
		s.failEarly(c, err)
		return
	}
	if c.reflects(c.least) {
		c.look(s, c)
	}
}

func (s *Server) getAccount(c *call) {
	if p, ok := c.parameters(readParameters); ok && c.account() {
		s.settled(c, &p, (*Server).showAccount)
	}
}

func (s *Server) showAccount(c *call) {
	view, found, err := s.opts.Accounts.Account(c.id)
	switch {
	case err != nil:
		s.failRead(c, err)
	case !found:
		c.accountNotFound()
	default:
		c.status = 200
		c.shows(view.Index)
		c.body = appendAccount(c.body, &view)
		c.tag(view.Version)
	}
}

func (c *call) accountNotFound() {
	c.fail(fault{code: codeAccountNotFound, param: []byte("id"), detail: "there is no such account"})
}

func (s *Server) listAccounts(c *call) {
	p, ok := c.parameters(accountsParameters)
	if !ok {
		return
	}
	limit, ok := c.pageLimit(&p)
	if !ok {
		return
	}
	if !validPrefix(p.prefix) {
		c.invalid("prefix", "must be the beginning of an account id")
		return
	}
	var after []byte
	if p.cursor != nil {
		if after, ok = c.openCursor(cursorAccounts, p.prefix, p.cursor); !ok {
			return
		}
	}
	if !s.settle(c, &p) {
		return
	}
	page, err := s.opts.Accounts.Accounts(p.prefix, after, limit)
	if err != nil {
		s.failRead(c, err)
		return
	}
	c.status = 200
	c.shows(page.Index)
	c.body = append(c.body, `{"accounts":[`...)
	for i := range page.Accounts {
		if i > 0 {
			c.body = append(c.body, ',')
		}
		c.body = appendAccount(c.body, &page.Accounts[i])
	}
	c.body = append(c.body, `],"next_cursor":`...)
	if page.More && len(page.Accounts) > 0 {
		last := page.Accounts[len(page.Accounts)-1].ID
		c.body = appendCursor(c.body, cursorAccounts, p.prefix, last)
	} else {
		c.body = append(c.body, "null"...)
	}
	c.body = append(c.body, '}')
}

// validPrefix reports whether prefix can be extended to an account id.
func validPrefix(prefix []byte) bool {
	if len(prefix) == 0 {
		return true
	}
	return ledger.IsWorld(prefix) || ledger.ValidAccountID(prefix)
}

func (s *Server) listEntries(c *call) {
	p, ok := c.parameters(entriesParameters)
	if !ok || !c.account() {
		return
	}
	limit, ok := c.pageLimit(&p)
	if !ok {
		return
	}
	ascending := string(p.order) == "asc"
	if p.order != nil && !ascending && string(p.order) != "desc" {
		c.invalid("order", "must be asc or desc")
		return
	}
	from, ok := c.entriesFrom(&p, ascending)
	if !ok || !s.settle(c, &p) {
		return
	}
	page, found, err := s.opts.Accounts.Entries(c.id, ascending, from, limit)
	switch {
	case err != nil:
		s.failRead(c, err)
	case !found:
		c.accountNotFound()
	default:
		c.entries(&page, ascending)
	}
}

func (c *call) entries(page *ledger.EntriesPage, ascending bool) {
	c.status = 200
	c.shows(page.Index)
	c.body = append(c.body, `{"entries":[`...)
	for i := range page.Entries {
		if i > 0 {
			c.body = append(c.body, ',')
		}
		c.body = appendEntry(c.body, &page.Entries[i])
	}
	c.body = append(c.body, `],"next_cursor":`...)
	if page.More && len(page.Entries) > 0 {
		c.body = c.appendEntriesCursor(c.body, page.Entries[len(page.Entries)-1].Seq, ascending)
	} else {
		c.body = append(c.body, "null"...)
	}
	c.body = append(c.body, '}')
}

func (s *Server) getPayment(c *call) {
	p, ok := c.parameters(readParameters)
	if !ok || !s.settle(c, &p) {
		return
	}
	var view ledger.PaymentView
	found := false
	seq, err := ledger.ParsePaymentID(c.id)
	if err == nil { // a text that is no id names no payment
		if view, found, err = s.opts.Payments.Payment(seq); err != nil {
			s.failRead(c, err)
			return
		}
	}
	if !found {
		c.fail(fault{code: codePaymentNotFound, param: []byte("id"), detail: "there is no such payment"})
		return
	}
	c.status = 200
	c.shows(view.Index)
	c.body = appendPayment(c.body, view.Payment, view.Last)
}

func (s *Server) getKey(c *call) {
	p, ok := c.parameters(readParameters)
	if !ok {
		return
	}
	key, _, ok := parseKey(c.id, nil)
	if !ok {
		c.fail(fault{code: codeKeyInvalid, param: []byte("key"), detail: keyRule})
		return
	}
	if !s.settle(c, &p) {
		return
	}
	view, found, err := s.opts.Payments.Key(key)
	switch {
	case err != nil:
		s.failRead(c, err)
	case !found:
		c.fail(fault{code: codeKeyNotFound, param: []byte("key"), detail: "the key is unknown or expired"})
	default:
		c.status = 200
		c.shows(view.Index)
		c.body = append(c.body, `{"status":`...)
		c.body = strconv.AppendInt(c.body, int64(recordStatus(view.Record)), 10)
		c.body = append(c.body, `,"body":`...)
		c.body = appendRecord(c.body, view.Record, c.requestID)
		c.body = append(c.body, `,"created_at":`...)
		c.body = appendTime(c.body, view.Record.Time)
		c.body = append(c.body, `,"expires_at":`...)
		c.body = appendTime(c.body, view.ExpiresAt)
		c.body = append(c.body, '}')
	}
}
