package transport

import (
	"bytes"
	"context"
	"errors"
	"strconv"

	"purser/internal/ledger"
)

// takesStale reports whether the query asks for what this node has. All else about
// the query is for the handler to judge, here or on the leader.
func (c *call) takesStale() bool {
	for rest := c.query; len(rest) > 0; {
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, []byte("&"))
		if name, value, _ := bytes.Cut(pair, []byte("=")); string(name) == "consistency" {
			from := len(c.text)
			text, ok := percentDecode(c.text, value)
			c.text = text[:from]
			if ok && string(text[from:]) == "stale" {
				return true
			}
		}
	}
	return false
}

// minIndex reads the parameter min_index, 0 if there is none.
func (c *call) minIndex(p *parameters) (index uint64, ok bool) {
	if p.minIndex == nil {
		return 0, true
	}
	v, ok := parseNatural(p.minIndex)
	if !ok {
		c.invalid("min_index", "must be the index of a log entry, as Purser-Index gives it")
	}
	return uint64(v), ok
}

// reached waits until this node has applied the log up to index least, for as long
// as Options.MinIndexTimeout, and reports whether it has.
func (s *Server) reached(c *call, least uint64) bool {
	applied := s.opts.Payments.Applied()
	if applied < least && s.opts.Cluster != nil {
		ctx, cancel := context.WithTimeout(s.serving, s.opts.MinIndexTimeout)
		err := s.opts.Cluster.AwaitApplied(ctx, least)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			if errors.Is(err, context.Canceled) {
				err = ledger.ErrDraining
			}
			s.failEarly(c, err)
			return false
		}
		applied = s.opts.Payments.Applied()
	}
	c.at(applied) // the read that follows reflects at least this index, and says which
	return c.reflects(least)
}

// shows records that a read reflects the log up to index and nothing behind it. So
// a client that asks another node for that index is never shown less.
func (c *call) shows(index uint64) { c.at(max(c.index, index)) }

// reflects checks that c's index is at least least.
func (c *call) reflects(least uint64) bool {
	if c.index >= least {
		return true
	}
	c.fail(fault{code: codeOverloaded, detail: "this node has applied the log up to index " +
		strconv.FormatUint(c.index, 10) + ", index " + strconv.FormatUint(least, 10) + " is wanted"})
	return false
}
