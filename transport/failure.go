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

// failWrite makes an error of the Executor or the Gate the response. One that is
// none of the sentinels does not tell what became of the command, which is what
// outcome_unknown says.
func (s *Server) failWrite(c *call, err error) { s.failWith(c, err, codeOutcomeUnknown) }

// failRead makes an error of a read the response. Nothing can have changed, so
// one that is none of the sentinels is answered with an invitation to try again.
func (s *Server) failRead(c *call, err error) { s.failWith(c, err, codeOverloaded) }

func (s *Server) failWith(c *call, err error, otherwise code) {
	for _, f := range failures {
		if errors.Is(err, f.err) {
			c.fail(fault{code: f.code, detail: f.err.Error()})
			return
		}
	}
	s.opts.Logger.Error("request failed", "request_id", string(c.requestID), "error", err)
	c.fail(fault{code: otherwise, detail: "the node failed to answer"})
}
