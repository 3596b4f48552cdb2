package transport

import (
	"bufio"
	"bytes"
	"time"

	"github.com/valyala/fasthttp"

	"purser/internal/eventloop"
)

// lane is the memory in which requests of many connections are read and answered, one
// after another: it stays in the processor's cache, where buffers of a connection's
// own would not be. DESIGN.md, section 12, has what that gained.
//
// What a lane takes is a plain request that came whole, and that nothing but the log
// keeps waiting. Its handler runs in two parts: up to where the outcome is awaited, on
// the loop's goroutine, and from there on, on that of its crowd. All else, and whatever
// is not as it should be, is left to fasthttp's server: see serveApart.
type lane struct {
	ctx  fasthttp.RequestCtx
	data bytes.Reader
	in   *bufio.Reader
	body []byte
	out  []byte
}

// maxHead is the largest head of a request, in bytes.
const maxHead = 8 << 10

func newLane() any { return &lane{in: bufio.NewReaderSize(nil, 16<<10)} }

// input serves data, which c's client has sent.
func (c *conn) input(data []byte) eventloop.Next {
	s := c.server
	c.looped.SetPatience(s.opts.IdleTimeout)
	if c.refusal == noCode && !s.leaving.Load() && (s.forwarder == nil || s.forwarder.leads()) {
		l := s.lanes.Get().(*lane)
		defer s.lanes.Put(l)
		if next, ok := l.serve(s, c, data); ok {
			return next
		}
	}
	c.looped.Unread(data)
	go s.serveApart(c)
	return eventloop.Busy
}

// serve serves the request in data, and reports whether it does. If it does not,
// nothing has come of it.
func (l *lane) serve(s *Server, nc *conn, data []byte) (next eventloop.Next, ok bool) {
	body, ok := l.read(data)
	if !ok {
		return 0, false
	}
	s.metrics.inFlight.Add(1)
	c := s.calls.Get().(*call)
	c.begin(&l.ctx, nc, s.ids)
	own := c.in
	c.in, c.rest, c.laned, c.began = body, false, true, time.Now()
	c.body = l.body[:0]
	s.dispatch(c)
	c.in = own
	switch {
	case c.abandoned:
		l.body = c.body
		l.ctx.Response.Reset()
		c.letGo()
		s.calls.Put(c)
		s.metrics.inFlight.Add(-1)
		return 0, false
	case c.then != nil:
		c.keep()
		l.body, c.body = c.body, nil
		s.crowds.join(c)
		return eventloop.Busy, true
	}
	return l.answer(s, c), true
}

// read reads the head of the request in data, and returns its body. It is not ok unless
// data is one request, as plain as those of payments are.
func (l *lane) read(data []byte) (body []byte, ok bool) {
	l.data.Reset(data)
	l.in.Reset(&l.data)
	h := &l.ctx.Request.Header
	if h.Read(l.in) != nil {
		return nil, false
	}
	body = data[len(data)-l.in.Buffered():]
	if len(data)-len(body) > maxHead || len(body) > maxBody {
		return nil, false
	}
	length := h.ContentLength()
	if length < 0 && length != chunked {
		length = 0
	}
	ok = length == len(body) && h.IsHTTP11() && !h.ConnectionClose() && !h.IsHead() &&
		len(h.PeekCanonical(nameExpect)) == 0 && isPlainHost(h.Host()) && isPlainPath(h.RequestURI())
	return body, ok
}

var nameExpect = []byte("Expect")

// isPlainPath reports whether target is a path with nothing in it that would have to be
// looked at closer; a query would.
func isPlainPath(target []byte) bool {
	if len(target) == 0 || target[0] != '/' {
		return false
	}
	for _, b := range target {
		if !plainBytes[b] {
			return false
		}
	}
	return true
}

// isPlainHost reports whether host is a name or an IPv4 address, with or without a port.
func isPlainHost(host []byte) bool {
	name, port, _ := bytes.Cut(host, []byte(":"))
	for _, b := range name {
		if b == '/' || !plainBytes[b] {
			return false
		}
	}
	for _, b := range port {
		if b < '0' || b > '9' {
			return false
		}
	}
	return len(name) > 0 && len(port) <= 5
}

var plainBytes = func() (set [256]bool) {
	for _, b := range []byte("-._:/0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		set[b] = true
	}
	return set
}()

// keep makes c's own what of the request is needed behind the wait.
func (c *call) keep() {
	if c.sentID {
		c.idBuf = append(c.idBuf[:0], c.requestID...)
		c.requestID = c.idBuf
	}
	from := len(c.text)
	c.text = append(c.text, c.ctx.Request.Header.RequestURI()...)
	c.target = c.text[from:]
	c.ctx, c.query = nil, nil
}

// resume answers c, whose wait is over.
func (l *lane) resume(s *Server, c *call) {
	looped := c.conn.looped
	c.ctx, c.body = &l.ctx, l.body[:0]
	c.then(s, c)
	if l.answer(s, c) == eventloop.Idle {
		looped.Rest()
	}
}

// answer sends c's response and lets c go. Busy says that the client is slow to take
// it, and that somebody else sees to it.
func (l *lane) answer(s *Server, c *call) eventloop.Next {
	c.head(s.opts.Payments.Applied)
	h := &l.ctx.Response.Header
	leaving := s.leaving.Load()
	if leaving {
		h.SetConnectionClose()
	}
	h.SetContentLength(len(c.body))
	l.out = append(h.AppendBytes(l.out), c.body...)
	l.ctx.Response.Reset()
	nc, op, status, began := c.conn, c.op, c.status, c.began
	l.body = kept(c.body)
	c.letGo()
	s.calls.Put(c)
	s.metrics.inFlight.Add(-1)
	s.metrics.done(op, status, time.Since(began))
	n, err := nc.looped.TryWrite(l.out)
	switch {
	case err != nil || leaving && n == len(l.out):
		nc.Close()
	case n < len(l.out):
		go nc.sendRest(bytes.Clone(l.out[n:]), s.opts.WriteTimeout)
		return eventloop.Busy
	}
	return eventloop.Idle
}

// sendRest sends what the client does not take at once.
func (c *conn) sendRest(rest []byte, timeout time.Duration) {
	c.SetWriteDeadline(time.Now().Add(timeout))
	if _, err := c.Write(rest); err != nil || c.server.leaving.Load() {
		c.Close()
	}
	c.looped.Rest()
}
