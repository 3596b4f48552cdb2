package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// TestNoDoubleSpend lets many connections pay from one account that has enough
// for half of what they try.
func TestNoDoubleSpend(t *testing.T) {
	const connections, payments, funds = 64, 20_000, 10_000
	p := serve(t, t.TempDir())
	c := dial(t, p.api)
	defer c.close()
	c.create("hot", funds)

	var next atomic.Int64
	var paid, refused atomic.Int64
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			own := dial(t, p.api)
			defer own.close()
			for n := next.Add(1); n <= payments; n = next.Add(1) {
				a, err := own.do(post("/v1/payments", fmt.Sprintf("spend-%d", n), payBody("hot", "world:USD", 1)))
				switch {
				case err != nil:
					t.Error(err)
					return
				case a.status == 201:
					paid.Add(1)
				case a.status == 402 && a.code() == "insufficient_funds":
					refused.Add(1)
				default:
					t.Errorf("payment %d answered %d: %s", n, a.status, a.body)
					return
				}
			}
		})
	}
	wg.Wait()
	if paid.Load() != funds || refused.Load() != payments-funds {
		t.Errorf("%d paid and %d refused, want %d and %d", paid.Load(), refused.Load(), funds, payments-funds)
	}
	if a := c.account("hot"); a.Posted != 0 || a.Held != 0 || a.Available != "0" || a.Version != 2+funds {
		t.Errorf("afterwards the account is %+v", a)
	}
	p.verify()
	p.stop()
}

// TestExpiry shows that an idle server gives a hold back on its own. The polls
// are stale reads: they add nothing to the log.
func TestExpiry(t *testing.T) {
	p := serve(t, t.TempDir())
	c := dial(t, p.api)
	defer c.close()
	c.create("alice", 1000)
	body := payBody("alice", "world:USD", 400, `"capture":false`, `"expires_in":1`)
	held := parse[payment](t, c.expect(201, post("/v1/payments", "hold", body)).body)
	if held.Status != "authorized" || held.SourceBalance.Held != 400 {
		t.Fatalf("authorized: %+v", held)
	}
	eventually(t, "the hold is released", func() bool {
		a := parse[account](t, c.expect(200, get(accountPath("alice")+"?consistency=stale")).body)
		if a.Posted != 1000 || a.Held != 0 && a.Held != 400 {
			t.Fatalf("meanwhile: %+v", a)
		}
		return a.Held == 0 && a.Available == "1000"
	})
	seen := parse[payment](t, c.expect(200, get("/v1/payments/"+held.ID)).body)
	if seen.Status != "expired" || seen.Captured != 0 {
		t.Errorf("the payment is %+v", seen)
	}
	late := c.expect(409, post("/v1/payments/"+held.ID+"/capture", "late", "{}"))
	if late.code() != "payment_not_open" {
		t.Errorf("a late capture was refused with %s", late.body)
	}
	history := c.entries("alice", "asc")
	if last := history[len(history)-1]; last.Kind != "expire" || last.Payment != held.ID || last.Amount != 400 {
		t.Errorf("the last entry is %+v", last)
	}
	p.verify()
	p.stop()
}
