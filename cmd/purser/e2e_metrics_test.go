package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// TestPromlint lints what a server that has served something shows Prometheus.
func TestPromlint(t *testing.T) {
	p := serve(t, t.TempDir())
	c := dial(t, p.api)
	defer c.close()
	c.create("alice", 100)
	for i := range 20 {
		c.must(post("/v1/payments", fmt.Sprintf("p%d", i), payBody("alice", "world:USD", 7)))
	}
	c.must(post("/v1/payments", "p0", payBody("alice", "world:USD", 7)))
	c.must(post("/v1/payments", "", "{"))
	c.account("alice")
	p.snapshot()
	p.verify()

	admin := dial(t, p.admin)
	defer admin.close()
	text := admin.expect(200, get("/metrics")).body
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
	for _, prefix := range []string{"purser_http_", "purser_engine_", "purser_shard_", "purser_wal_", "purser_raft", "go_", "process_"} {
		if !strings.Contains(text, "\n"+prefix) {
			t.Errorf("no metrics %s*", prefix)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	p.stop()
}
