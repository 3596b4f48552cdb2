//go:build !linux

package eventloop

import (
	"errors"
	"net"
	"time"
)

// Loop is not to be had on this system.
type Loop struct{}

// Conn is not to be had on this system.
type Conn struct{ net.Conn }

// Start fails.
func Start(before, after func()) (*Loop, error) { return nil, errors.ErrUnsupported }

// Adopt fails.
func (*Loop) Adopt(*net.TCPConn) (*Conn, error) { return nil, errors.ErrUnsupported }

// CloseIdle does nothing.
func (*Loop) CloseIdle() {}

// Close does nothing.
func (*Loop) Close() {}

// Start fails.
func (*Conn) Start(time.Duration, func([]byte) Next, func()) error { return errors.ErrUnsupported }

// SetPatience does nothing.
func (*Conn) SetPatience(time.Duration) {}

// Rest does nothing.
func (*Conn) Rest() {}

// Unread does nothing.
func (*Conn) Unread([]byte) {}

// Pending reports true.
func (*Conn) Pending() bool { return true }

// TryWrite writes.
func (c *Conn) TryWrite(p []byte) (int, error) { return c.Write(p) }

// CloseWrite fails.
func (*Conn) CloseWrite() error { return errors.ErrUnsupported }
