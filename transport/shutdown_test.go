package transport

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestShutdownAnswersWhatIsOnItsWay: a connection that is idle when Shutdown
// begins can bring one more request; the response closes it, and the server ends
// without waiting any longer.
func TestShutdownAnswersWhatIsOnItsWay(t *testing.T) {
	b := newBook()
	srv, err := New(Options{
		Executor: b, Accounts: b, Payments: b, Registerer: prometheus.NewRegistry(),
		LeaveTime: time.Hour, IdleTimeout: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	addr, served := serveTCP(t, srv.Serve)
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	in := bufio.NewReader(nc)
	ask := func() *http.Response {
		t.Helper()
		if _, err := nc.Write([]byte("GET /v1/accounts/nobody HTTP/1.1\r\nHost: purser\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Discard(int(resp.ContentLength)); err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if resp := ask(); resp.StatusCode != 404 || resp.Close {
		t.Fatalf("before: %d, close=%t", resp.StatusCode, resp.Close)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Shutdown(context.Background()) }()
	for !srv.leaving.Load() {
		runtime.Gosched()
	}
	if resp := ask(); resp.StatusCode != 404 || !resp.Close {
		t.Errorf("while it shuts down: %d, close=%t", resp.StatusCode, resp.Close)
	}
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
