package bench

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// childVariable in the environment makes a process the empty server of a
// ceiling; its value is the batch size of the requests to come.
const childVariable = "PURSER_BENCH_EMPTY_SERVER"

// IsChild reports whether this process was started by Ceiling to serve the
// empty handler. A program that calls Ceiling asks this before anything else
// and, if so, returns what RunChild returns.
func IsChild() bool { return os.Getenv(childVariable) != "" }

// RunChild serves the empty handler on a port of its own choosing, which it
// prints as host:port, until standard input ends, which it does when the
// parent is gone, however it went.
func RunChild() error {
	batch, err := strconv.Atoi(os.Getenv(childVariable))
	if err != nil {
		return fmt.Errorf("%s: %w", childVariable, err)
	}
	e, err := startEmpty(batch)
	if err != nil {
		return err
	}
	fmt.Println(e.address())
	_, err = io.Copy(io.Discard, os.Stdin)
	e.stop()
	return err
}

// empty is an HTTP server that answers every request with the same bytes, as
// many as a payment server would send, and does no work at all.
type empty struct {
	listener net.Listener
	server   *fasthttp.Server
	served   chan error
}

func startEmpty(batch int) (*empty, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("empty server: %w", err)
	}
	status, body := emptyReply(batch)
	e := &empty{
		listener: listener,
		server: &fasthttp.Server{
			NoDefaultServerHeader: true,
			MaxRequestBodySize:    16 << 20,
			Handler: func(ctx *fasthttp.RequestCtx) {
				ctx.SetStatusCode(status)
				ctx.SetContentType("application/json")
				ctx.Response.Header.Set("X-Request-Id", "req_0123456789ab_123456")
				ctx.Response.Header.Set("Purser-Index", "123456789")
				ctx.SetBody(body)
			},
		},
		served: make(chan error, 1),
	}
	go func() { e.served <- e.server.Serve(listener) }()
	return e, nil
}

func (e *empty) address() string { return e.listener.Addr().String() }

// stop closes the server and awaits its goroutines. All connections must have
// been closed by their clients.
func (e *empty) stop() {
	// Both errors are those of closing the listener, which nothing depends on.
	_ = e.server.Shutdown()
	<-e.served
}

// emptyReply is the answer to a request of batch payments: 201 with a payment
// as large as a real one between two accounts (with the header fields, some
// 650 bytes), or 200 with the results of a batch.
func emptyReply(batch int) (status int, body []byte) {
	const payment = `{"id":"pay_0000000017nt9","seq":123456789,"status":"captured",` +
		`"source":"bench-0000000","destination":"bench-0000001","amount":"1","captured":"1","refunded":"0",` +
		`"currency":"USD","reference":null,"metadata":{},` +
		`"created_at":"2026-01-01T00:00:00.000000Z","expires_at":null,` +
		`"source_balance":{"posted":"999999999999","held":"0","available":"999999999999","version":123456789},` +
		`"destination_balance":{"posted":"999999999999","held":"0","available":"999999999999","version":123456789}}`
	if batch == 1 {
		return fasthttp.StatusCreated, []byte(payment)
	}
	result := `{"status":201,"payment":` + payment + `},`
	results := strings.TrimSuffix(strings.Repeat(result, batch), ",")
	return fasthttp.StatusOK, []byte(`{"results":[` + results + `]}`)
}
