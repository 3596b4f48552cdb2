package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"purser/internal/ledger"
)

const (
	serialClients  = 8
	serialAccounts = 3
	serialFunds    = 1_000
)

// TestStrictSerializability lets concurrent clients pay, authorize, capture,
// refund and read on few accounts while an operator freezes and thaws them. What
// they saw must be the log executed by one thread, in an order that agrees with
// real time:
//   - the history of each account, by the clients' clocks alone, is linearizable;
//   - the answers in the order of their seqs are the naive model's;
//   - that order is the order of Purser-Index, and never against real time.
func TestStrictSerializability(t *testing.T) {
	seed := seedOf(t)
	each := 150
	if testing.Short() {
		each = 60
	}
	p := serve(t, t.TempDir(), "--shards=3")
	h := &history{t: t, began: time.Now()}
	setUp := dial(t, p.api)
	defer setUp.close()
	for i := range serialAccounts {
		setUp.create(accountName(i), serialFunds)
	}
	var wg sync.WaitGroup
	var busy atomic.Int64
	busy.Store(serialClients)
	for i := range serialClients {
		wg.Go(func() {
			defer busy.Add(-1)
			c := &serialClient{h: h, id: i, rng: rand.New(rand.NewPCG(seed, uint64(i))), conn: dial(t, p.api)}
			defer c.conn.close()
			for n := 0; n < each && c.step(n); n++ {
			}
		})
	}
	wg.Go(func() { // the operator
		c := &serialClient{h: h, id: serialClients, rng: rand.New(rand.NewPCG(seed, serialClients)), conn: dial(t, p.api)}
		defer c.conn.close()
		for n := 0; busy.Load() > 0 && c.patch(n); n++ {
		}
	})
	wg.Wait()
	if t.Failed() {
		return
	}
	h.locate(setUp)
	h.checkRealTime()
	h.checkAccounts()
	h.checkModel(setUp)
	t.Logf("%d operations", len(h.ops))
	p.verify()
	p.stop()
}

func accountName(i int) string { return fmt.Sprintf("account-%d", i) }

// history is what all clients did and saw.
type history struct {
	t     *testing.T
	began time.Time

	mu   sync.Mutex
	ops  []*operation
	open []uint64 // payments that may still be captured, voided or refunded
}

// operation is one request, when it was sent and answered in nanoseconds since
// the beginning, and what came back.
type operation struct {
	client       int
	command      ledger.Command // zero for a read
	read         string         // account of a read
	call, ret    int64
	answer       *answer
	index, seq   uint64 // of the log; of the ledger, 0 for a read
	payment      payment
	account      account
	source, dest string // accounts of the payment that it is about, if accepted
}

func (o *operation) accepted() bool { return o.answer.status < 300 }

// serialClient sends one request at a time.
type serialClient struct {
	h    *history
	id   int
	rng  *rand.Rand
	conn *conn
}

var usdCurrency, _ = ledger.ParseCurrency([]byte("USD"))

// step sends one request of any kind; false when the test has failed.
func (c *serialClient) step(n int) bool {
	key := fmt.Appendf(nil, "c%d-%d", c.id, n)
	switch pick := c.rng.IntN(20); {
	case pick < 5:
		return c.read(accountName(c.rng.IntN(serialAccounts)))
	case pick < 10:
		return c.send(c.pay(key, ledger.Pay))
	case pick < 14:
		return c.send(c.pay(key, ledger.Authorize))
	case pick < 17:
		return c.onPayment(ledger.Command{Kind: ledger.Capture, Key: key, Amount: c.rng.Int64N(30), Final: c.rng.IntN(2) == 0})
	case pick < 18:
		return c.onPayment(ledger.Command{Kind: ledger.Void, Key: key})
	}
	return c.onPayment(ledger.Command{Kind: ledger.Refund, Key: key, Amount: c.rng.Int64N(30)})
}

// pay draws a payment, at times from or to the outside or under a condition.
func (c *serialClient) pay(key []byte, kind ledger.Kind) ledger.Command {
	i := c.rng.IntN(serialAccounts)
	cmd := ledger.Command{
		Kind: kind, Key: key, Source: []byte(accountName(i)),
		Destination: []byte(accountName((i + 1 + c.rng.IntN(serialAccounts-1)) % serialAccounts)),
		Currency:    usdCurrency, Amount: 1 + c.rng.Int64N(400), ExpiresIn: ledger.DefaultExpiry,
	}
	switch pick := c.rng.IntN(8); {
	case pick == 0:
		cmd.Destination = []byte("world:USD")
	case pick == 1 && kind == ledger.Pay:
		cmd.Source = []byte("world:USD")
	case pick == 2:
		cmd.MinAvailableAfter = ledger.Optional{Set: true, Value: c.rng.Int64N(500)}
	case pick == 3:
		cmd.SourceVersion = ledger.Optional{Set: true, Value: c.rng.Int64N(200)}
	}
	return cmd
}

// onPayment sends a command on a payment that any client may have made.
func (c *serialClient) onPayment(cmd ledger.Command) bool {
	c.h.mu.Lock()
	n := len(c.h.open)
	if n == 0 {
		c.h.mu.Unlock()
		return true
	}
	cmd.Payment = c.h.open[max(0, n-1-c.rng.IntN(12))]
	c.h.mu.Unlock()
	return c.send(cmd)
}

func (c *serialClient) send(cmd ledger.Command) bool {
	return c.record(&operation{command: cmd}, requestOf(&cmd))
}

func (c *serialClient) read(id string) bool {
	return c.record(&operation{read: id}, get(accountPath(id)))
}

// patch freezes or thaws an account.
func (c *serialClient) patch(n int) bool {
	cmd := ledger.Command{
		Kind: ledger.UpdateAccount, Source: []byte(accountName(n % serialAccounts)),
		Sets: ledger.SetsStatus, Status: ledger.Active,
	}
	if c.rng.IntN(3) == 0 {
		cmd.Status = ledger.Frozen
	}
	return c.send(cmd)
}

// requestOf is the HTTP request that asks for cmd.
func requestOf(cmd *ledger.Command) request {
	key := string(cmd.Key)
	fields := map[string]any{}
	if cmd.Amount > 0 {
		fields["amount"] = fmt.Sprint(cmd.Amount)
	}
	path := "/v1/payments"
	switch cmd.Kind {
	case ledger.UpdateAccount:
		body := fmt.Sprintf(`{"status":%q}`, cmd.Status)
		return request{method: "PATCH", path: accountPath(string(cmd.Source)), body: body}
	case ledger.Pay, ledger.Authorize:
		fields["source"], fields["destination"] = string(cmd.Source), string(cmd.Destination)
		fields["currency"], fields["capture"] = cmd.Currency.String(), cmd.Kind == ledger.Pay
		conditions := map[string]any{}
		if cmd.SourceVersion.Set {
			conditions["source_version"] = cmd.SourceVersion.Value
		}
		if cmd.MinAvailableAfter.Set {
			conditions["min_available_after"] = fmt.Sprint(cmd.MinAvailableAfter.Value)
		}
		fields["conditions"] = conditions
	default:
		path = fmt.Sprintf("/v1/payments/%s/%s", ledger.AppendPaymentID(nil, cmd.Payment), cmd.Kind)
	}
	if cmd.Kind == ledger.Capture {
		fields["final"] = cmd.Final
	}
	body, _ := json.Marshal(fields) // strings, numbers and booleans
	return post(path, key, string(body))
}

// record sends r and keeps what came back.
func (c *serialClient) record(o *operation, r request) bool {
	h := c.h
	o.client = c.id
	o.call = int64(time.Since(h.began))
	a, err := c.conn.do(r)
	o.ret = int64(time.Since(h.began))
	if err != nil || a.status == 400 || a.status >= 500 {
		h.t.Errorf("%s %s: %v %+v", r.path, r.body, err, a)
		return false
	}
	o.answer = a
	if _, err := fmt.Sscan(a.header.Get("Purser-Index"), &o.index); err != nil {
		h.t.Errorf("%s: Purser-Index %q", r.path, a.header.Get("Purser-Index"))
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
	if !o.accepted() {
		return true
	}
	into := any(&o.account)
	if o.command.Kind >= ledger.Pay {
		into = &o.payment
	}
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		h.t.Errorf("%s answered %s: %v", r.path, a.body, err)
		return false
	}
	o.source, o.dest = o.payment.Source, o.payment.Destination
	if o.command.Kind == ledger.Authorize || o.command.Kind == ledger.Pay {
		h.open = append(h.open, o.payment.Seq)
	}
	return true
}
