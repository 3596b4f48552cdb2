package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

func TestRequestText(t *testing.T) {
	p := payments{
		host: "h:1", keyPrefix: "k", source: newPattern("a-{n}-x", 1000), destination: newPattern("world:USD", 1000),
		amount: 125, currency: "USD", batch: 1,
	}
	build := func(k kind, numbers ...uint64) *request { // numbers: key, source, destination of each item
		r := p.request(k, len("pay_42"))
		for i := 0; i < len(numbers); i += 3 {
			r.patch(i/3, numbers[i], numbers[i+1], numbers[i+2])
		}
		copy(r.buf[r.target.at:], "pay_42"[:r.target.width])
		return r
	}
	single, hold := build(pay, 7, 31, 999), build(authorize, 8, 32, 0)
	captured, voided, refunded := build(capture, 9, 0, 0), build(void, 9, 0, 0), build(refund, 10, 0, 0)
	looked := build(read, 11, 12, 13)
	p.batch = 2
	batch := build(pay, 999999999999, 0, 0, 8, 999, 0)
	p.destination = newPattern("a-{n}", 11)
	account := build(create, 5, 6, 7)
	const payment = `"destination":"world:USD","amount":"125","currency":"USD"`
	for _, test := range []struct {
		request    *request
		line, key  string
		body, keys string
	}{
		{single, "POST /v1/payments", "k-000000000007", `{"source":"a-031-x",` + payment + `}`, "[000000000007]"},
		{hold, "POST /v1/payments", "k-000000000008", `{"source":"a-032-x",` + payment + `,"capture":false}`, "[000000000008]"},
		{captured, "POST /v1/payments/pay_42/capture", "k-000000000009", `{}`, "[000000000009]"},
		{voided, "POST /v1/payments/pay_42/void", "k-000000000009", `{}`, "[000000000009]"},
		{refunded, "POST /v1/payments/pay_42/refund", "k-000000000010", `{}`, "[000000000010]"},
		{looked, "GET /v1/accounts/a-012-x", "", "", "[]"},
		{
			batch, "POST /v1/payments/batch", "",
			`{"payments":[{"idempotency_key":"k-999999999999","source":"a-000-x",` + payment + `},` +
				`{"idempotency_key":"k-000000000008","source":"a-999-x",` + payment + `}]}`,
			"[999999999999 000000000008]",
		},
		{account, "PUT /v1/accounts/a-07", "", `{"currency":"USD"}`, "[]"},
	} {
		in := bufio.NewReader(bytes.NewReader(test.request.buf))
		r, err := http.ReadRequest(in)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		if line := r.Method + " " + r.URL.Path; line != test.line || r.Host != "h:1" || string(body) != test.body ||
			r.Header.Get("Idempotency-Key") != test.key || len(body) > 0 && r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %v %s", line, r.Host, r.Header, body)
		}
		if in.Buffered() != 0 {
			t.Errorf("%s: %d bytes after the request", test.line, in.Buffered())
		}
		if keys := fmt.Sprint(test.request.keys()); keys != test.keys {
			t.Errorf("%s: keys %s", test.line, keys)
		}
	}
}

// exchangeOnce does all of one request and reply but the system calls.
func exchangeOnce(w *worker, answer []byte, now int64) error {
	if _, err := w.conns[0].reply.feed(answer); err != nil {
		return err
	}
	_, err := w.answered(0, now)
	return err
}

func testWorker(t testing.TB, batch int) (*worker, []byte) {
	cfg := Config{Connections: 1, Batch: batch, Accounts: 1000, Destination: "bench-{n}", Duration: time.Hour}.withDefaults()
	j, err := cfg.paymentJob()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(j, 0)
	w.first(0, 0)
	status, body := emptyReply(batch)
	return w, []byte(httpReply(status, string(body), ""))
}

func TestRequestAllocatesNothing(t *testing.T) {
	for _, batch := range []int{1, 100} {
		w, answer := testWorker(t, batch)
		var now int64
		allocs := testing.AllocsPerRun(100, func() {
			now += 1000
			if err := exchangeOnce(w, answer, now); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("batch %d: %v allocations per request", batch, allocs)
		}
		if w.tally.requests[pay] == 0 || w.tally.measured[statusCreated] != w.tally.requests[pay]*uint64(batch) {
			t.Errorf("batch %d: %d requests, %d payments", batch, w.tally.requests[pay], w.tally.measured[statusCreated])
		}
	}
}

// BenchmarkRequest is what a request costs the generator besides the kernel.
func BenchmarkRequest(b *testing.B) {
	w, answer := testWorker(b, 1)
	b.ReportAllocs()
	var now int64
	for b.Loop() {
		now += 1000
		if err := exchangeOnce(w, answer, now); err != nil {
			b.Fatal(err)
		}
	}
}
