package transport

import "errors"

// Gate decides who may enter. It is asked before a request is read any further, on a
// goroutine that other connections wait for, so it must not block. It may be asked
// twice for a request that turns out to have to wait for an earlier one.
type Gate interface {
	// Admit judges the value of the request's Authorization header, empty if there
	// is none; write is set for requests that can change something. It returns nil
	// or one of the errors below. It must not keep authorization.
	Admit(authorization []byte, write bool) error
}

// Errors of a Gate.
var (
	ErrUnauthenticated = errors.New("the caller is unknown")
	ErrForbidden       = errors.New("the caller may not do this")
	ErrRateLimited     = errors.New("the caller sends too much")
)
