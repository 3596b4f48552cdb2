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
	single := p.request(42)
	single.patch(0, 7, 31, 999)
	p.batch = 2
	batch := p.request(1)
	batch.patch(0, 999999999999, 0, 0)
	batch.patch(1, 8, 999, 0)
	account := accountRequest("h:1", "USD", newPattern("a-{n}", 11))
	account.patch(0, 5, 6, 7)
	for _, test := range []struct {
		request    *request
		line, key  string
		body, keys string
	}{
		{
			single, "POST /v1/payments", "k-00042-000000000007",
			`{"source":"a-031-x","destination":"world:USD","amount":"125","currency":"USD"}`, "[000000000007]",
		},
		{
			batch, "POST /v1/payments/batch", "",
			`{"payments":[{"idempotency_key":"k-00001-999999999999",` +
				`"source":"a-000-x","destination":"world:USD","amount":"125","currency":"USD"},` +
				`{"idempotency_key":"k-00001-000000000008",` +
				`"source":"a-999-x","destination":"world:USD","amount":"125","currency":"USD"}]}`,
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
			r.Header.Get("Idempotency-Key") != test.key || r.Header.Get("Content-Type") != "application/json" {
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
	c := w.conns[0]
	if _, err := c.reply.feed(answer); err != nil {
		return err
	}
	_, err := w.answered(c, now)
	return err
}

func testWorker(t testing.TB, batch int) (*worker, []byte) {
	cfg := Config{Connections: 1, Batch: batch, Accounts: 1000, Destination: "bench-{n}", Duration: time.Hour}.withDefaults()
	j, err := cfg.paymentJob()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorker(j, []int{0})
	w.next(w.conns[0], 0)
	status, body := emptyReply(batch)
	return w, []byte(answer(status, string(body), ""))
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
		if w.tally.requests == 0 || w.tally.measured[statusCreated] != w.tally.requests*uint64(batch) {
			t.Errorf("batch %d: %d requests, %d payments", batch, w.tally.requests, w.tally.measured[statusCreated])
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
