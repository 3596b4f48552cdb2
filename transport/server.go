package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Server serves the public API. Its handlers run on the goroutines that fasthttp
// keeps per connection; the Server starts none of its own.
type Server struct {
	opts    Options
	http    *fasthttp.Server
	calls   sync.Pool
	ids     *requestIDs
	metrics *metrics
	leaving atomic.Bool // Shutdown has begun
}

// New returns a Server that is ready to Serve, or what is wrong with o.
func New(o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	s := &Server{
		opts:    o,
		calls:   sync.Pool{New: func() any { return new(call) }},
		ids:     newRequestIDs(),
		metrics: m,
	}
	s.http = &fasthttp.Server{
		Handler:        s.handle,
		ErrorHandler:   s.unreadable,
		HeaderReceived: limitBody,
		Logger:         quiet{o.Logger},

		ReadTimeout:        o.ReadTimeout,
		WriteTimeout:       o.WriteTimeout,
		IdleTimeout:        o.IdleTimeout,
		ReadBufferSize:     8 << 10, // also the limit of a request's head
		MaxRequestBodySize: maxBody,
		// limitedListener bounds the connections of one address. This bounds all, and
		// leaves room for those that the listener wants refused.
		Concurrency: o.MaxConns + maxTurnedAway,

		CloseOnShutdown:              true,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		SecureErrorLogMessage:        true,
	}
	return s, nil
}

// Serve answers the connections of ln until Shutdown, and then returns nil.
func (s *Server) Serve(ln net.Listener) error {
	limited := newLimitedListener(ln, s.opts.MaxConns, s.opts.MaxConnsPerIP, s.metrics)
	if err := s.http.Serve(limited); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	return nil
}

// limitBody gives a batch its larger limit, before the body is read.
func limitBody(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	path, _ := splitTarget(h.RequestURI())
	if string(path) == paths[resBatch] {
		return fasthttp.RequestConfig{MaxRequestBodySize: maxBatchBody}
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: maxBody}
}

// handle answers one request that was read whole.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	s.metrics.inFlight.Add(1)
	c := s.calls.Get().(*call)
	c.begin(ctx, s.ids)
	op := s.dispatch(c)
	if s.leaving.Load() {
		ctx.SetConnectionClose()
	}
	status := c.status
	c.finish(s.opts.Payments.Applied)
	s.calls.Put(c)
	s.metrics.inFlight.Add(-1)
	s.metrics.done(op, status, time.Since(ctx.Time()))
}

// dispatch finds the operation of c's request and serves it.
func (s *Server) dispatch(c *call) operation {
	h := &c.ctx.Request.Header
	if nc, ok := c.ctx.Conn().(*conn); ok && nc.refusal != noCode {
		c.ctx.Response.SetConnectionClose()
		c.fail(fault{code: nc.refusal, detail: "there are too many connections"})
		return opUnmatched
	}
	if h.ConnectionClose() && framedTwice(h) {
		c.fail(fault{code: codeInvalidRequest, param: []byte("Content-Length"),
			detail: "Content-Length and Transfer-Encoding exclude each other"})
		return opUnmatched
	}
	path, query := splitTarget(h.RequestURI())
	res, part := resolve(path)
	if res == noResource {
		c.fail(fault{code: codeNotFound, detail: "there is nothing at this path"})
		return opUnmatched
	}
	op := pick(res, h.Method())
	if op == opUnmatched {
		c.ctx.Response.Header.Set("Allow", allows[res])
		c.fail(fault{code: codeMethodNotAllowed, detail: "the methods here are " + allows[res]})
		return op
	}
	e := &endpoints[op]
	if s.opts.Gate != nil {
		if err := s.opts.Gate.Admit(h.PeekCanonical(nameAuthorization), e.write); err != nil {
			s.failWrite(c, err)
			return op
		}
	}
	var ok bool
	from := len(c.text)
	if c.text, ok = percentDecode(c.text, part); !ok {
		param := "id"
		if res == resKey {
			param = "key"
		}
		c.invalid(param, "the percent-encoding is malformed")
		return op
	}
	c.id, c.query = c.text[from:len(c.text):len(c.text)], query
	e.serve(s, c)
	return op
}

// unreadable answers a request that fasthttp could not read; it closes the
// connection afterwards.
func (s *Server) unreadable(ctx *fasthttp.RequestCtx, err error) {
	c := s.calls.Get().(*call)
	c.begin(ctx, s.ids)
	var head *fasthttp.ErrSmallBuffer
	var network net.Error
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		c.fail(fault{code: codeBodyTooLarge, detail: "the body is larger than this path takes"})
	case errors.As(err, &head):
		c.fail(fault{code: codeInvalidRequest, detail: "the head of the request is larger than 8 KiB"})
	case errors.As(err, &network) && network.Timeout():
		c.fail(fault{code: codeInvalidRequest, detail: "the request did not arrive in time"})
	default:
		c.fail(fault{code: codeInvalidRequest, detail: "the request is not HTTP/1.1"})
	}
	status := c.status
	c.finish(s.opts.Payments.Applied)
	s.calls.Put(c)
	linger(ctx.Conn())
	s.metrics.done(opUnmatched, status, 0)
}

// quiet passes on what fasthttp says, at the level of something that clients
// cause: it does not log faults of the server.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("http", "event", fmt.Sprintf(format, args...))
}
