package raftfsm

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestNodeMetrics(t *testing.T) {
	n := startNode(t, nodeConfig(t, t.TempDir()))
	var p proposer
	p.pay(t, n, 3)
	registry := prometheus.NewPedanticRegistry() // compares what is described with what is collected
	if err := registry.Register(n); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		"purser_node_leading": 1, "purser_ledger_sequence": 6, "purser_keys_remembered": 3, "purser_store_stalls_total": 0,
	}
	for _, f := range families {
		if value, ok := want[f.GetName()]; ok {
			if got := f.Metric[0].GetGauge().GetValue() + f.Metric[0].GetCounter().GetValue(); got != value {
				t.Errorf("%s is %g, want %g", f.GetName(), got, value)
			}
			delete(want, f.GetName())
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	stopNode(t, n)
	if _, err := registry.Gather(); err != nil { // a late scrape finds no state, and no panic
		t.Error(err)
	}
}
