package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Server serves the public API: in lanes, which many connections share, where the
// system, the listener and the request allow it, and otherwise on goroutines that
// belong to fasthttp.
type Server struct {
	opts    Options
	http    *fasthttp.Server
	calls   sync.Pool
	batches sync.Pool
	replies *sync.Pool
	bodies  budget
	ids     *requestIDs
	metrics *metrics
	limits  *limits
	leaving atomic.Bool // Shutdown has begun
	loops   *loops
	lanes   sync.Pool
	crowds  crowds

	forwarder *forwarder      // nil on a node that is alone
	serving   context.Context // done once Shutdown has begun
	stop      context.CancelFunc
}

// New returns a Server that is ready to Serve, or what is wrong with o.
func New(o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	s := &Server{
		opts:    o,
		calls:   sync.Pool{New: newCall},
		batches: sync.Pool{New: func() any { return new(batch) }},
		replies: newReplies(),
		bodies:  budget{most: int64(o.MaxBodyBytes)},
		ids:     newRequestIDs(),
	}
	var err error
	if s.metrics, err = newMetrics(o.Registerer, &s.bodies.held); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	s.limits = newLimits(o, s.metrics)
	if o.Cluster != nil {
		if s.forwarder, err = newForwarder(o); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	s.serving, s.stop = context.WithCancel(context.Background())
	s.http = &fasthttp.Server{
		Handler:       s.handle,
		ErrorHandler:  func(ctx *fasthttp.RequestCtx, err error) { s.refuse(ctx, unreadable(err)) },
		ExpectHandler: s.expect,
		Logger:        quiet{o.Logger},
		ConnState:     between,

		// The handler reads the body, and so can refuse it unread. With streams the
		// size is no limit, but how much of the body fasthttp waits for by itself.
		StreamRequestBody:  true,
		MaxRequestBodySize: 1,
		LazyRequestTime:    true, // the time when the body is there, too

		ReadTimeout:    o.ReadTimeout,
		WriteTimeout:   o.WriteTimeout,
		IdleTimeout:    o.IdleTimeout,
		ReadBufferSize: 8 << 10, // also the limit of a request's head
		// limits bound the connections. This leaves room for those that are to be
		// refused.
		Concurrency: o.MaxConns + maxTurnedAway,

		CloseOnShutdown:              true,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		SecureErrorLogMessage:        true,
	}
	s.lanes.New = newLane
	s.crowds.resume = s.resumeAll
	s.loops = &loops{server: s}
	return s, nil
}

// Serve answers the clients that connect to ln until Shutdown, and then returns nil.
func (s *Server) Serve(ln net.Listener) error { return s.serve(ln, false) }

// ServeNodes answers the requests that other nodes forward on the connections of
// ln, until Shutdown, and then returns nil. Only nodes of the cluster may be able
// to open those: that their requests are forwarded is believed, and which of their
// ids are clients'.
func (s *Server) ServeNodes(ln net.Listener) error { return s.serve(ln, true) }

func (s *Server) serve(ln net.Listener, ofNodes bool) error {
	if err := s.http.Serve(&limitedListener{ln, s.limits, ofNodes, s.loops}); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	return nil
}

// handle answers one request whose head was read.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	s.metrics.inFlight.Add(1)
	c := s.begin(ctx)
	err := c.receive(maxBody)
	c.began = ctx.Time()
	if err != nil {
		c.fail(unreadable(err))
	} else {
		s.dispatch(c)
	}
	if c.rest { // nobody knows where the next request begins
		ctx.SetConnectionClose()
		linger(c.conn)
	}
	if s.leaving.Load() {
		ctx.SetConnectionClose()
	}
	op, status, began := c.op, c.status, c.began
	s.end(c)
	s.metrics.inFlight.Add(-1)
	s.metrics.done(op, status, time.Since(began))
}

// begin returns a call for the request in ctx. It takes over the response's body
// buffer; end gives it back.
func (s *Server) begin(ctx *fasthttp.RequestCtx) *call {
	nc, _ := ctx.Conn().(*conn)
	c := s.calls.Get().(*call)
	c.begin(ctx, nc, s.ids)
	c.body = ctx.Response.SwapBody(nil)[:0]
	return c
}

// refuse answers a request that is not served, and whose body nobody has read.
// fasthttp closes the connection.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, f fault) {
	c := s.begin(ctx)
	c.fail(f)
	nc, status := c.conn, c.status
	s.end(c)
	linger(nc)
	s.metrics.done(opUnmatched, status, 0)
}

// end sends c's response and lets everything of the request go.
func (s *Server) end(c *call) {
	c.finish(s.opts.Payments.Applied)
	if c.held > 0 {
		c.in, c.dec = nil, decoder{scratch: kept(c.dec.scratch)}
		s.bodies.give(c.held)
		c.held = 0
	}
	s.calls.Put(c)
}

// dispatch finds the operation of c's request and serves it.
func (s *Server) dispatch(c *call) {
	h := &c.ctx.Request.Header
	if nc := c.conn; nc != nil && nc.refusal != noCode {
		c.ctx.Response.SetConnectionClose()
		c.fail(fault{code: nc.refusal, detail: "there are too many connections"})
		return
	}
	if h.ConnectionClose() && framedTwice(h) {
		c.fail(fault{code: codeInvalidRequest, param: []byte("Content-Length"),
			detail: "Content-Length and Transfer-Encoding exclude each other"})
		return
	}
	if h.ContentLength() == chunked && len(h.PeekTrailerKeys()) > 0 { // fasthttp takes them for headers
		c.fail(fault{code: codeInvalidRequest, param: []byte("Trailer"), detail: "fields behind the body are not supported"})
		return
	}
	path, query := splitTarget(h.RequestURI())
	res, part := resolve(path)
	if res == noResource {
		c.fail(fault{code: codeNotFound, detail: "there is nothing at this path"})
		return
	}
	op := pick(res, h.Method())
	c.op = op
	if op == opUnmatched {
		c.ctx.Response.Header.Set("Allow", allows[res])
		c.fail(fault{code: codeMethodNotAllowed, detail: "the methods here are " + allows[res]})
		return
	}
	if c.rest && op != opBatch {
		c.fail(faultTooLarge)
		return
	}
	e := &endpoints[op]
	c.endpoint = e
	if c.laned && !e.lane {
		c.abandoned = true
		return
	}
	if s.opts.Gate != nil {
		if err := s.opts.Gate.Admit(h.PeekCanonical(nameAuthorization), e.write); err != nil {
			s.failEarly(c, err)
			return
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
		return
	}
	c.id, c.query = c.text[from:len(c.text):len(c.text)], query
	if op != opBatch && s.forwarded(c) { // a batch is not read yet
		return
	}
	e.serve(s, c)
	if c.inDoubt {
		c.settleDoubt()
	}
}

// quiet passes on what fasthttp says, at the level of something that clients
// cause: it does not log faults of the server.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("http", "event", fmt.Sprintf(format, args...))
}
