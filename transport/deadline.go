package transport

import (
	"sync/atomic"
	"time"
)

// coarse is how much earlier than asked for a deadline may strike at most. Moving
// a timer costs as much as decoding a payment, and fasthttp moves three for every
// request; at this grain a busy connection moves each once a second.
const coarse = time.Second

// grainOf is coarse, or half of the shortest timeout of o if that is less.
func grainOf(o Options) time.Duration {
	return min(coarse, o.ReadTimeout/2, o.WriteTimeout/2, o.IdleTimeout/2)
}

// deadline is one direction's deadline of a connection, as wanted and as the
// connection has it. The zero value is no deadline.
type deadline struct {
	wanted atomic.Int64 // nanoseconds since the Unix epoch, 0 for none
	armed  atomic.Int64
}

// want notes the deadline t for the next call. fasthttp sets deadlines between
// calls, never to end one under way.
func (d *deadline) want(t time.Time) {
	at := int64(0)
	if !t.IsZero() {
		at = t.UnixNano()
	}
	d.wanted.Store(at)
}

// due reports whether what is wanted has to be armed before the next call, and
// takes it as armed.
func (d *deadline) due(grain time.Duration) (t time.Time, arm bool) {
	wanted, armed := d.wanted.Load(), d.armed.Load()
	if wanted == armed || armed != 0 && wanted > armed && wanted-armed < int64(grain) {
		return time.Time{}, false
	}
	d.armed.Store(wanted)
	if wanted == 0 {
		return time.Time{}, true
	}
	return time.Unix(0, wanted), true
}

// SetReadDeadline takes effect at the next Read, up to a grain early.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.reading.want(t)
	return nil
}

// SetWriteDeadline takes effect at the next Write, up to a grain early.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writing.want(t)
	return nil
}

// SetDeadline sets both.
func (c *conn) SetDeadline(t time.Time) error {
	c.reading.want(t)
	c.writing.want(t)
	return nil
}

func (c *conn) armRead() error {
	if t, arm := c.reading.due(c.limits.grain); arm {
		return c.Conn.SetReadDeadline(t)
	}
	return nil
}

func (c *conn) armWrite() error {
	if t, arm := c.writing.due(c.limits.grain); arm {
		return c.Conn.SetWriteDeadline(t)
	}
	return nil
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if c.idle && c.looped != nil && !c.looped.Pending() {
		c.rested.Store(true)
		return 0, errRests
	}
	if err := c.armRead(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.armWrite(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
