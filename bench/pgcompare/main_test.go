package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"
)

// reply is what the service answered.
type reply struct {
	status   int
	replayed bool
	body     string
}

// client speaks to a service over a database of its own.
type client struct {
	t      *testing.T
	target string
}

// newClient skips the test where there is no PostgreSQL.
func newClient(t *testing.T) *client {
	t.Helper()
	programs, err := findPrograms("", usualPlaces)
	if errors.Is(err, errNone) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: PostgreSQL's user must get there, by a short path.
	ctx := context.Background()
	db, err := startCluster(ctx, programs, os.TempDir(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.close(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := db.prepare(ctx); err != nil {
		t.Fatal(err)
	}
	s, err := startService(ctx, db.connection, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return &client{t: t, target: s.target()}
}

func (c *client) send(method, path, key, body string) reply {
	c.t.Helper()
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	request.Header.SetMethod(method)
	request.SetRequestURI(c.target + path)
	request.Header.Set("Idempotency-Key", key)
	request.SetBodyString(body)
	request.SetConnectionClose() // so that stop need not wait for idle ones
	if err := fasthttp.Do(request, response); err != nil {
		c.t.Error(err)
	}
	return reply{response.StatusCode(), string(response.Header.Peek("Idempotent-Replayed")) == "true", string(response.Body())}
}

func (c *client) pay(key, source, destination string, amount int) reply {
	c.t.Helper()
	return c.send("POST", "/v1/payments", key,
		fmt.Sprintf(`{"source":%q,"destination":%q,"amount":"%d","currency":"USD"}`, source, destination, amount))
}

func (c *client) want(what string, got reply, status int, replayed bool) reply {
	c.t.Helper()
	if got.status != status || got.replayed != replayed {
		c.t.Fatalf("%s: status %d, replayed %v: %s; want %d, %v", what, got.status, got.replayed, got.body, status, replayed)
	}
	return got
}

// The comparison is worth something only if the other side does the work.
func TestServiceKeepsTheRules(t *testing.T) {
	c := newClient(t)
	for _, id := range []string{"alice", "bob"} {
		c.want("create", c.send("PUT", "/v1/accounts/"+id, "", `{"currency":"USD"}`), 201, false)
		c.want("create again", c.send("PUT", "/v1/accounts/"+id, "", `{"currency":"USD"}`), 200, false)
	}
	c.want("fund", c.pay("k0", "world:USD", "alice", 500), 201, false)

	first := c.want("pay", c.pay("k1", "alice", "bob", 300), 201, false)
	var p struct {
		Status             string                  `json:"status"`
		SourceBalance      struct{ Posted string } `json:"source_balance"`
		DestinationBalance struct{ Posted string } `json:"destination_balance"`
	}
	if err := json.Unmarshal([]byte(first.body), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != "captured" || p.SourceBalance.Posted != "200" || p.DestinationBalance.Posted != "300" {
		t.Fatalf("answer %s", first.body)
	}
	if again := c.want("retry", c.pay("k1", "alice", "bob", 300), 201, true); again.body != first.body {
		t.Fatalf("retry answered %s, first %s", again.body, first.body)
	}
	c.want("key with another amount", c.pay("k1", "alice", "bob", 301), 422, false)
	c.want("more than there is", c.pay("k2", "alice", "bob", 201), 402, false)
	c.want("fund more", c.pay("k3", "bob", "alice", 100), 201, false)
	c.want("retry of a refusal", c.pay("k2", "alice", "bob", 201), 402, true)
	c.want("nobody to pay", c.pay("k4", "alice", "nobody", 1), 404, false)
	c.want("no key", c.pay("", "alice", "bob", 1), 400, false)

	const item = `{"idempotency_key":"%s","source":"alice","destination":"bob","amount":"%d","currency":"USD"}`
	batch := c.want("batch", c.send("POST", "/v1/payments/batch", "",
		fmt.Sprintf(`{"payments":[`+item+`,`+item+`,`+item+`]}`, "b1", 100, "b2", 1000, "b1", 100)), 200, false)
	var results struct {
		Results []struct{ Status int }
	}
	if err := json.Unmarshal([]byte(batch.body), &results); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(results.Results); got != "[{201} {402} {201}]" {
		t.Fatalf("batch answered %s", batch.body)
	}
	c.want("all that is left", c.pay("k5", "alice", "bob", 200), 201, false)
	c.want("not a unit more", c.pay("k6", "alice", "bob", 1), 402, false)
}

// Payments both ways between few accounts neither spend twice nor wait for each
// other in a circle.
func TestServiceSpendsOnce(t *testing.T) {
	c := newClient(t)
	ids := []string{"a", "b", "c"}
	for _, id := range ids {
		c.want("create", c.send("PUT", "/v1/accounts/"+id, "", `{"currency":"USD"}`), 201, false)
	}
	const funds, workers, each = 100, 8, 50
	c.want("fund", c.pay("fund", "world:USD", "a", funds), 201, false)
	var spent [workers]int
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				source, destination := ids[(w+i)%3], ids[(w+2*i+1)%3]
				if source != destination {
					if r := c.pay(fmt.Sprintf("move-%d-%d", w, i), source, destination, 3); r.status != 201 && r.status != 402 {
						t.Errorf("status %d: %s", r.status, r.body)
					}
				}
				switch r := c.pay(fmt.Sprintf("spend-%d-%d", w, i), ids[i%3], "world:USD", 1); r.status {
				case 201:
					spent[w]++
				case 402:
				default:
					t.Errorf("status %d: %s", r.status, r.body)
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range spent {
		sum += n
	}
	left := 0
	for _, id := range ids {
		for i := 0; c.pay(fmt.Sprintf("rest-%s-%d", id, i), id, "world:USD", 1).status == 201; i++ {
			left++
		}
	}
	if sum+left != funds {
		t.Fatalf("%d spent and %d left of %d", sum, left, funds)
	}
}

func TestPostgresIsFoundOrAskedFor(t *testing.T) {
	root := t.TempDir()
	t.Setenv("PATH", root)
	place := filepath.Join(root, "postgresql", "*", "bin")
	if _, err := findPrograms("", []string{place}); !errors.Is(err, errNone) || !strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Fatalf("error %v does not say what to install", err)
	}
	for _, version := range []string{"9", "15", "16"} {
		dir := filepath.Join(root, "postgresql", version, "bin")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"initdb", "postgres"} {
			if version == "16" && name == "postgres" {
				continue // clients alone are no server
			}
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := filepath.Join(root, "postgresql", "15", "bin")
	if got, err := findPrograms("", []string{place}); got != want || err != nil {
		t.Fatalf("found %s, %v; want %s", got, err, want)
	}
	if _, err := findPrograms(root, nil); err == nil {
		t.Fatal("a directory without the programs was taken")
	}
}
