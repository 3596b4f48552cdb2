package transport

import (
	"errors"

	"purser/internal/ledger"
)

// failures maps the errors that a request can end in to what the client is told.
var failures = []struct {
	err  error
	code code
}{
	{ledger.ErrNoLeader, codeNoLeader},
	{ledger.ErrOverloaded, codeOverloaded},
	{ledger.ErrDraining, codeDraining},
	{ledger.ErrStorageFull, codeStorageFull},
	{ledger.ErrInProgress, codeInProgress},
	{ledger.ErrOutcomeUnknown, codeOutcomeUnknown},
	{ErrUnauthenticated, codeUnauthenticated},
	{ErrForbidden, codeForbidden},
	{ErrRateLimited, codeRateLimited},
}

// Faults of errors that are none of these.
var (
	// A command may have been executed, so a try with another key could execute it
	// once more.
	faultUnknown = fault{code: codeOutcomeUnknown, detail: "the node failed to answer"}
	// Nothing was executed, and nobody knows what would have to change.
	faultInternal = fault{code: codeInternal, detail: "the node failed; its log says how, under this request id"}
	faultDamaged  = fault{code: codeInternal, detail: "the record is damaged on this node, or cannot be read; the operator's log names it"}
)

// failWrite makes an error of executing a command the response.
func (s *Server) failWrite(c *call, err error) {
	if !c.failKnown(err) {
		s.failOther(c, err, "a command failed", faultUnknown)
	}
}

// failEarly makes an error from before anything was read or executed the response.
func (s *Server) failEarly(c *call, err error) {
	if !c.failKnown(err) {
		s.failOther(c, err, "a request failed", faultInternal)
	}
}

// failRead makes an error of Accounts or Payments the response. One that is not
// known is about the node's files: a row or a table that is damaged, which the
// error names, or that the disk does not give back. It is there at the next try,
// too.
func (s *Server) failRead(c *call, err error) {
	if !c.failKnown(err) {
		s.metrics.damagedReads.Inc()
		s.failOther(c, err, "a read met damaged data", faultDamaged)
	}
}

// failKnown makes err the response if it is one of failures.
func (c *call) failKnown(err error) bool {
	for _, f := range failures {
		if errors.Is(err, f.err) {
			c.fail(fault{code: f.code, detail: f.err.Error()})
			return true
		}
	}
	return false
}

func (s *Server) failOther(c *call, err error, what string, f fault) {
	target := c.target
	if target == nil {
		target = c.ctx.Request.Header.RequestURI()
	}
	s.opts.Logger.Error(what, "request_id", string(c.requestID), "method", c.endpoint.method, "target", string(target), "error", err)
	c.fail(f)
}
