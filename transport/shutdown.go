package transport

import (
	"context"
	"time"
)

// leavePoll is how often Shutdown looks whether the clients have left.
const leavePoll = 5 * time.Millisecond

// Shutdown ends the Server and returns when every request in flight is answered,
// or with ctx's error.
//
// It goes on serving for Options.LeaveTime first, with responses that close their
// connections. Closing idle ones at once would reset those whose next request has
// arrived but not been read: its client could not tell what became of it. Then it
// closes the listeners and the connections that stayed idle.
func (s *Server) Shutdown(ctx context.Context) error {
	s.leaving.Store(true)
	s.stop()
	s.letLeave(ctx)
	err := s.http.ShutdownWithContext(ctx)
	if err == nil {
		err = s.loops.close(ctx)
	}
	if s.forwarder != nil {
		s.forwarder.conns.close()
	}
	return err
}

// letLeave returns when no connection is open any more, after LeaveTime, or when
// ctx is done.
func (s *Server) letLeave(ctx context.Context) {
	over := time.NewTimer(s.opts.LeaveTime)
	defer over.Stop()
	poll := time.NewTicker(leavePoll)
	defer poll.Stop()
	for s.metrics.conns.Load() > 0 {
		select {
		case <-over.C:
			return
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}
