package transport

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"purser/internal/ledger"
)

// instant is an Executor that has the answer already: what is left to measure is
// the handler.
type instant struct {
	*book
	result ledger.Result
}

func (i *instant) Submit(*ledger.Command, bool) (ledger.Pending, error) {
	return ledger.Pending{Work: i}, nil
}
func (i *instant) Barrier() (ledger.Pending, error) { return ledger.Pending{Work: i}, nil }
func (i *instant) Applied() uint64                  { return 7 }

func (i *instant) Done() <-chan struct{} { return over }
func (i *instant) Show(_ int, use func(ledger.Result, uint64)) error {
	use(i.result, 7)
	return nil
}

// newInstant returns a Server on an Executor that accepts every payment.
func newInstant(tb testing.TB) *Server {
	b := newBook()
	b.accounts["alice"] = &bookAccount{Account: ledger.Account{
		Number: 1, Posted: 1 << 40, Version: 1, Status: ledger.Active, Currency: usd,
	}}
	b.accounts["merchant-7"] = &bookAccount{Account: ledger.Account{
		Number: 2, Version: 1, Status: ledger.Active, Currency: usd,
	}}
	res := b.apply(&ledger.Command{
		Kind: ledger.Pay, Key: []byte("k"), Source: []byte("alice"), Destination: []byte("merchant-7"),
		Amount: 1250, Currency: usd, ExpiresIn: ledger.DefaultExpiry, Reference: []byte("order-991"),
	})
	if res.Record.Code != ledger.OK {
		tb.Fatal(res.Record)
	}
	e := &instant{book: b, result: res}
	s, err := New(Options{Executor: e, Accounts: b, Payments: e, Registerer: prometheus.NewRegistry()})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

var usd = ledger.Currency{'U', 'S', 'D'}

const paymentBody = `{"source":"alice","destination":"merchant-7","amount":"1250","currency":"USD","reference":"order-991"}`

// paymentCtx is the request for a payment; ask has s handle it once more.
func paymentCtx() (ctx *fasthttp.RequestCtx, ask func(s *Server)) {
	ctx = &fasthttp.RequestCtx{}
	ctx.Init(&fasthttp.Request{}, nil, nil)
	h := &ctx.Request.Header
	h.SetMethod("POST")
	h.SetRequestURI("/v1/payments")
	h.SetContentType("application/json")
	h.Set("Idempotency-Key", "0192f0a1-5f6e-7c3b-9d51-6a4c1c3f0e77")
	body := strings.NewReader("")
	return ctx, func(s *Server) {
		body.Reset(paymentBody)
		ctx.Request.SetBodyStream(body, len(paymentBody))
		s.handle(ctx)
	}
}

func BenchmarkHandlePayment(b *testing.B) {
	s := newInstant(b)
	ctx, ask := paymentCtx()
	b.ReportAllocs()
	for b.Loop() {
		ask(s)
	}
	if ctx.Response.StatusCode() != 201 {
		b.Fatal(string(ctx.Response.Body()))
	}
}

func BenchmarkDecodePayment(b *testing.B) {
	var d decoder
	body := []byte(paymentBody)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var c ledger.Command
		d.reset(body)
		decodePayment(&d, &c)
	}
	if d.failed() {
		b.Fatal(d.fault)
	}
}

func BenchmarkRenderPayment(b *testing.B) {
	res := newInstant(b).opts.Executor.(*instant).result
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = appendRecord(dst[:0], res.Record, nil)
	}
}

// TestHandlerAllocatesNothing covers the whole handler of a payment.
func TestHandlerAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("with the race detector, sync.Pool drops some of what it is given")
	}
	s := newInstant(t)
	ctx, ask := paymentCtx()
	ask(s)
	if ctx.Response.StatusCode() != 201 {
		t.Fatal(string(ctx.Response.Body()))
	}
	if n := testing.AllocsPerRun(1000, func() { ask(s) }); n != 0 {
		t.Errorf("%v allocations per payment, want 0", n)
	}
}

// repeated is a connection on which the same request comes n times, and whose
// responses nobody reads.
type repeated struct {
	memoryConn
	request []byte
	n       int
}

func (c *repeated) Read(p []byte) (int, error) {
	if c.n == 0 {
		return 0, io.EOF
	}
	c.n--
	return copy(p, c.request), nil
}

func (c *repeated) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkConn is all that a payment costs on its connection but the socket:
// fasthttp, deadlines, the body, the handler.
func BenchmarkConn(b *testing.B) {
	s := newInstant(b)
	in := &repeated{request: paymentRequest(), n: b.N}
	b.ReportAllocs()
	b.ResetTimer()
	s.http.ServeConn(&conn{Conn: in, limits: s.limits})
	if in.n != 0 {
		b.Fatalf("%d requests were not read", in.n)
	}
}

// paymentRequest is a payment as it is sent. The request id keeps every response
// at one length.
func paymentRequest() []byte {
	return fmt.Appendf(nil, "POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Request-Id: bench\r\n"+
		"Idempotency-Key: 0192f0a1-5f6e-7c3b-9d51-6a4c1c3f0e77\r\nContent-Length: %d\r\n\r\n%s", len(paymentBody), paymentBody)
}

// BenchmarkServe compares a payment with a handler that does nothing, and with a
// payment that a follower forwards, all over loopback TCP with 64 connections, one
// request at a time on each.
func BenchmarkServe(b *testing.B) {
	b.Run("empty", func(b *testing.B) {
		serveBench(b, &fasthttp.Server{Handler: func(*fasthttp.RequestCtx) {}})
	})
	b.Run("payment", func(b *testing.B) { serveBench(b, newInstant(b).http) })
	b.Run("forwarded", func(b *testing.B) {
		leader := newInstant(b)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		go leader.http.Serve(ln)
		defer leader.http.Shutdown()
		o := leader.opts
		o.Cluster, o.Registerer = &peers{addr: ln.Addr().String()}, prometheus.NewRegistry()
		follower, err := New(o)
		if err != nil {
			b.Fatal(err)
		}
		defer follower.forwarder.conns.close()
		serveBench(b, follower.http)
	})
}

func serveBench(b *testing.B, srv *fasthttp.Server) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go srv.Serve(ln)
	defer srv.Shutdown()
	request := paymentRequest()
	size := 0
	dial := func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	first := dial()
	first.Write(request)
	buf := make([]byte, 8192)
	if size, err = first.Read(buf); err != nil {
		b.Fatal(err)
	}
	first.Close()
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c := dial()
		defer c.Close()
		response := make([]byte, size)
		for pb.Next() {
			if _, err := c.Write(request); err != nil {
				b.Error(err)
				return
			}
			if _, err := io.ReadFull(c, response); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
