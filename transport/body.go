package transport

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"purser/internal/ledger"
)

// Sizes of request bodies, in bytes. One of up to maxBody is read at once,
// whatever it is for. Only a batch may be larger: it is read once it is known to
// be one, if there is room for it.
const (
	maxBody      = 64 << 10
	maxBatchBody = 8 << 20
	minRoom      = 4 << 10 // first buffer for a body of unknown length
)

// chunked is what fasthttp tells as the length of a body that comes in chunks.
const chunked = -1

// budget bounds the bytes of the large bodies that are held at one time. Any
// goroutine may use it.
type budget struct {
	most int64
	held atomic.Int64
}

// has reports whether there is room for n bytes now.
func (b *budget) has(n int) bool { return b.held.Load()+int64(n) <= b.most }

// take takes n bytes unless there is no room for them.
func (b *budget) take(n int) bool {
	for {
		held := b.held.Load()
		if held+int64(n) > b.most {
			return false
		}
		if b.held.CompareAndSwap(held, held+int64(n)) {
			return true
		}
	}
}

func (b *budget) give(n int) { b.held.Add(-int64(n)) }

var (
	faultTooLarge = fault{code: codeBodyTooLarge, detail: "the body is larger than this path takes"}
	faultCrowded  = fault{code: codeOverloaded, detail: ledger.ErrOverloaded.Error()}
	faultNoRoom   = fault{code: codeOverloaded, detail: "too many large bodies are being received"}
)

// receive reads c's body on until it ends, with c.rest false then, or until it is
// known to have more than most bytes.
func (c *call) receive(most int) error {
	body, length := c.ctx.RequestBodyStream(), c.ctx.Request.Header.ContentLength()
	switch {
	case body == nil:
		c.rest = false
		return nil
	case length > most:
		return nil
	case length > cap(c.in):
		c.in = make([]byte, 0, length)
	}
	for len(c.in) <= most {
		if len(c.in) == cap(c.in) {
			c.in = slices.Grow(c.in, max(len(c.in), minRoom))
		}
		n, err := body.Read(c.in[len(c.in):min(cap(c.in), most+1)])
		c.in = c.in[:len(c.in)+n]
		switch {
		case err == nil:
		case err != io.EOF:
			return err
		case length != chunked && len(c.in) < length:
			return io.ErrUnexpectedEOF
		default:
			c.rest = false
			return nil
		}
	}
	return nil
}

// receiveBatch reads what is not yet read of a batch's body, into b's memory. First
// it takes room for it, as much as it can come to when its length is not known.
func (s *Server) receiveBatch(c *call, b *batch) bool {
	if !c.rest {
		return true
	}
	length := c.ctx.Request.Header.ContentLength()
	if length == chunked {
		length = maxBatchBody
	}
	if length > maxBatchBody {
		c.fail(faultTooLarge)
		return false
	}
	if !s.bodies.take(length) {
		s.metrics.refusedBodies.Inc()
		c.fail(faultNoRoom)
		return false
	}
	c.held = length
	c.in = append(b.body, c.in...)
	if err := c.receive(maxBatchBody); err != nil {
		c.fail(unreadable(err))
		return false
	}
	if c.rest {
		c.fail(faultTooLarge)
		return false
	}
	c.began = time.Now()
	return true
}

// crowded reports whether a batch is to be turned away: another node's engine may
// have room.
func (s *Server) crowded() bool {
	if !s.opts.Crowded() {
		return false
	}
	if s.forwarder == nil {
		return true
	}
	return s.forwarder.leads()
}

// turnAway refuses a batch and lets its body pass, so that the connection stays: one
// more handshake would cost more than that. The rest of a body of unknown length is
// not awaited.
func (s *Server) turnAway(c *call) {
	length := c.ctx.Request.Header.ContentLength()
	if length > maxBatchBody {
		c.fail(faultTooLarge)
		return
	}
	if c.rest && length != chunked {
		if err := c.skip(); err != nil {
			c.fail(unreadable(err))
			return
		}
		c.began = time.Now()
	}
	s.metrics.turnedAway.Inc()
	c.fail(faultCrowded)
}

// skip reads c's body, of known length, on until it ends, and keeps nothing of it.
func (c *call) skip() error {
	body, missing := c.ctx.RequestBodyStream(), c.ctx.Request.Header.ContentLength()-len(c.in)
	c.in = slices.Grow(c.in[:0], maxBody)
	for {
		n, err := body.Read(c.in[:cap(c.in)])
		missing -= n
		switch {
		case err == nil:
		case err != io.EOF:
			return err
		case missing > 0:
			return io.ErrUnexpectedEOF
		default:
			c.rest = false
			return nil
		}
	}
}

// expect decides on a request whose client waits for leave to send the body: any
// status but 100 is that of the response, behind which fasthttp closes the
// connection.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	most, length := maxBody, ctx.Request.Header.ContentLength()
	path, _ := splitTarget(ctx.Request.Header.RequestURI())
	if string(path) == paths[resBatch] {
		most = maxBatchBody
	}
	switch {
	case length > most:
		s.refuse(ctx, faultTooLarge)
	case length > maxBody && !s.bodies.has(length):
		s.metrics.refusedBodies.Inc()
		s.refuse(ctx, faultNoRoom)
	case most == maxBatchBody && ctx.IsPost() && s.crowded():
		s.metrics.turnedAway.Inc()
		s.refuse(ctx, faultCrowded)
	default:
		return fasthttp.StatusContinue
	}
	return ctx.Response.StatusCode()
}

// unreadable is the fault of a request that could not be read.
func unreadable(err error) fault {
	var head *fasthttp.ErrSmallBuffer
	var network net.Error
	detail := "the request is not HTTP/1.1"
	switch {
	case errors.As(err, &head):
		detail = "the head of the request is larger than 8 KiB"
	case errors.As(err, &network) && network.Timeout():
		detail = "the request did not arrive in time"
	}
	return fault{code: codeInvalidRequest, detail: detail}
}
