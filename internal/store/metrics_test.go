package store

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetricsAreCleanAndMove(t *testing.T) {
	s := openMem(t)
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(s.Collector())
	faults, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Errorf("%s: %s", f.Metric, f.Text)
	}
	before := s.values()
	m := newModel()
	m.commit(t, s, create("alice", usd))
	if err := s.WriteCheckpoint(Checkpoint{Meta: []byte("m")}); err != nil {
		t.Fatal(err)
	}
	after := s.values()
	moved := 0
	for i := range metrics {
		for _, name := range []string{"flushes_total", "ingests_total", "disk_bytes"} {
			if !strings.Contains(metrics[i].desc.String(), `"purser_store_`+name+`"`) {
				continue
			}
			if moved++; after[i] <= before[i] {
				t.Errorf("%s stays at %v over a checkpoint", name, after[i])
			}
		}
	}
	if moved != 3 {
		t.Errorf("found %d of 3 metrics", moved)
	}
}
