package raftfsm

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-metrics"
	compat "github.com/hashicorp/go-metrics/compat"
	stock "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetricsNamesAreClean(t *testing.T) {
	s := newMetricsSink()
	for _, m := range raftMetrics() {
		s.AddSampleWithLabels(m.key, 1, []metrics.Label{{Name: m.label, Value: "x"}})
	}
	problems, err := testutil.CollectAndLint(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if n := testutil.CollectAndCount(s); n != len(raftMetrics()) {
		t.Errorf("%d series of %d metrics: a row is not fed", n, len(raftMetrics()))
	}
}

func TestMetricsArriveFromRaft(t *testing.T) {
	defer metrics.NewGlobal(&metrics.Config{FilterDefault: true}, &metrics.BlackholeSink{})
	reg := prometheus.NewPedanticRegistry()
	if err := InstallMetrics(reg); err != nil {
		t.Fatal(err)
	}
	if err := InstallMetrics(reg); err == nil {
		t.Error("installed twice in one registry")
	}
	compat.IncrCounter([]string{"raft", "apply"}, 2) // by raft's own way
	metrics.IncrCounter([]string{"raft", "apply"}, 3)
	metrics.IncrCounter([]string{"raft", "apply"}, -1)
	metrics.SetGauge([]string{"raft", "leader", "oldestLogAge"}, 1500)
	metrics.AddSample([]string{"raft", "thread", "main", "saturation"}, 0.25)
	metrics.AddSample([]string{"raft", "commitTime"}, 150)
	metrics.IncrCounterWithLabels([]string{"raft", "replication", "appendEntries", "logs"}, 7,
		[]metrics.Label{{Name: "other", Value: "z"}, {Name: "peer_id", Value: "n2"}})
	metrics.IncrCounter([]string{"raft", "replication", "appendEntries", "logs", "n2"}, 7)
	metrics.IncrCounter([]string{"raft", "replication", "appendEntries", "logs"}, 7)
	metrics.IncrCounter([]string{"raft", "unknown"}, 1)
	metrics.IncrCounter([]string{"raft"}, 1)
	metrics.MeasureSince([]string{"raft", "fsm", "apply"}, time.Now())

	want := `
# HELP purser_raft_main_saturation_ratio Share of time in which raft's main goroutine works.
# TYPE purser_raft_main_saturation_ratio gauge
purser_raft_main_saturation_ratio 0.25
# HELP purser_raft_oldest_entry_age_seconds Age of the oldest entry in the leader's log.
# TYPE purser_raft_oldest_entry_age_seconds gauge
purser_raft_oldest_entry_age_seconds 1.5
# HELP purser_raft_proposals_total Entries proposed on this node.
# TYPE purser_raft_proposals_total counter
purser_raft_proposals_total 5
# HELP purser_raft_replicated_entries_total Entries sent to a peer.
# TYPE purser_raft_replicated_entries_total counter
purser_raft_replicated_entries_total{peer_id="n2"} 7
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "purser_raft_proposals_total",
		"purser_raft_oldest_entry_age_seconds", "purser_raft_main_saturation_ratio",
		"purser_raft_replicated_entries_total"); err != nil {
		t.Error(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, f := range families {
		if strings.Contains(f.GetName(), "unknown") {
			t.Errorf("%s is not in the table", f.GetName())
		}
		if f.GetName() == "purser_raft_commit_seconds" {
			if sum := f.GetMetric()[0].GetHistogram().GetSampleSum(); sum < 0.1499 || sum > 0.1501 {
				t.Errorf("150 ms became %v s", sum)
			}
		}
		if h := f.GetMetric()[0].GetHistogram(); h != nil {
			counts[f.GetName()] = h.GetSampleCount()
		}
	}
	if counts["purser_raft_fsm_apply_seconds"] != 1 {
		t.Errorf("samples of fsm.apply: %d, want 1", counts["purser_raft_fsm_apply_seconds"])
	}
}

// TestMetricsNeverExpire lets a day pass, which the sink that comes with
// go-metrics does not survive.
func TestMetricsNeverExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours := newMetricsSink()
		reg := prometheus.NewRegistry()
		theirs, err := stock.NewPrometheusSinkFrom(stock.PrometheusOpts{Expiration: 60 * time.Second, Registerer: reg})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []metrics.MetricSink{ours, theirs} {
			s.IncrCounterWithLabels([]string{"raft", "replication", "appendEntries", "logs"}, 7,
				[]metrics.Label{{Name: "peer_id", Value: "n2"}})
		}
		const name = "purser_raft_replicated_entries_total"
		before, err := testutil.GatherAndCount(reg)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(24 * time.Hour)
		if n := testutil.CollectAndCount(ours, name); n != 1 {
			t.Errorf("%d series after a day, want 1", n)
		}
		if after, err := testutil.GatherAndCount(reg); err != nil || before <= after {
			t.Errorf("the stock sink keeps its series (%d, then %d): use it (%v)", before, after, err)
		}
	})
}

func TestMetricsSampleAllocatesNothing(t *testing.T) {
	s := newMetricsSink()
	known, unknown := []string{"raft", "fsm", "apply"}, []string{"raft", "fsm", "other"}
	if n := testing.AllocsPerRun(100, func() { s.AddSample(known, 1); s.AddSample(unknown, 1) }); n != 0 {
		t.Errorf("%v allocations per sample", n)
	}
}

func BenchmarkMetricsSample(b *testing.B) {
	s := newMetricsSink()
	key := []string{"raft", "rpc", "appendEntries", "storeLogs"}
	for b.Loop() {
		s.AddSample(key, 0.2)
	}
}
