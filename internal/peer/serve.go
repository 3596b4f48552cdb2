package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// Codes of the refusals that the port itself gives. A handler has its own
// besides.
const (
	CodeNotReady      = "not_ready"      // no handler is set yet: ask again later
	CodeUnknownMethod = "unknown_method" // a handler says it by UnknownMethod
	CodeNewerVersion  = "newer_version"  // the caller's program is newer
	CodeTooLarge      = "too_large"      // the answer is over 1 MiB
	CodeTimeout       = "timeout"        // the handler ran out of the caller's time
	CodeInternal      = "internal"       // the handler's error had no code
)

// RemoteError is the refusal of a control call by the node that was called. A
// handler returns one to choose the code.
type RemoteError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *RemoteError) Error() string { return e.Code + ": " + e.Message }

// UnknownMethod is what a handler returns for a method that it does not have.
func UnknownMethod(method string) error {
	return &RemoteError{CodeUnknownMethod, fmt.Sprintf("no control call is named %q", method)}
}

// Caller says who calls.
type Caller struct {
	NodeID     string // proven by its certificate; "" without TLS
	RemoteAddr string
}

// Handler answers a control call. The result is sent as JSON. An error that is or
// wraps a *RemoteError arrives as that one, any other with CodeInternal. ctx ends
// when the time is over that the caller gave, a minute at most, or with the port.
// Calls come on goroutines of their own, up to 64 at once.
type Handler func(ctx context.Context, caller Caller, method string, body json.RawMessage) (any, error)

// Handle sets what answers control calls. Until then they are refused with
// CodeNotReady.
func (p *Port) Handle(h Handler) { p.handler.Store(&h) }

// serve answers the one call of a connection. An error says that there was none
// to answer, or nobody to take the answer.
func (p *Port) serve(conn net.Conn, caller Caller) error {
	var call request
	var answer response
	err := readFrame(conn, &call)
	switch {
	case errors.Is(err, ErrNewerVersion):
		answer.Error = &RemoteError{CodeNewerVersion, err.Error()}
	case err != nil:
		return err
	default:
		answer = p.answer(call, caller)
	}
	frame, err := appendFrame(nil, answer)
	if errors.Is(err, ErrTooLarge) {
		frame, err = appendFrame(nil, response{Error: &RemoteError{CodeTooLarge, "the answer is over 1 MiB"}})
	}
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(p.cfg.ArrivalTimeout)); err != nil {
		return err
	}
	_, err = conn.Write(frame)
	return err
}

// answer runs the handler.
func (p *Port) answer(call request, caller Caller) response {
	handler := p.handler.Load()
	if handler == nil {
		return response{Error: &RemoteError{CodeNotReady, "this node does not answer control calls yet"}}
	}
	limit := max(0, min(call.TimeoutMS, callLimit.Milliseconds()))
	ctx, cancel := context.WithTimeout(p.ctx, time.Duration(limit)*time.Millisecond)
	defer cancel()
	result, err := (*handler)(ctx, caller, call.Method, call.Body)
	if err != nil {
		return response{Error: asRemote(err)}
	}
	body, err := json.Marshal(result)
	if err != nil {
		return response{Error: asRemote(err)}
	}
	return response{Body: body}
}

func asRemote(err error) *RemoteError {
	if remote, ok := errors.AsType[*RemoteError](err); ok {
		return remote
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &RemoteError{CodeTimeout, err.Error()}
	}
	return &RemoteError{CodeInternal, err.Error()}
}
