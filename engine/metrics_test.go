package engine

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"purser/internal/ledger"
)

func TestMetrics(t *testing.T) {
	bubble(t, Options{MaxInFlight: 1, MaxPending: 3, Deadline: deadline}, func(t *testing.T, e *Engine, log *fakeLog) {
		reg := prometheus.NewPedanticRegistry()
		reg.MustRegister(e)
		applied := executeAll(e, "a", "b")
		expectProposed(t, log, 1)[0].apply()
		expectErr(t, applied, nil)
		stalled := execute(e, "c")
		expectProposed(t, log, 2)
		read := barrier(e)
		expectWaiting(t, stalled, read)
		expectErr(t, executeAll(e, "d", "e"), ledger.ErrOverloaded)
		log.set(func() { log.refusal = ledger.ErrNoLeader })
		expectErr(t, barrier(e), ledger.ErrNoLeader)
		log.set(func() { log.refusal = nil })
		e.SetStorageFull(true)
		expectErr(t, execute(e, "f"), ledger.ErrStorageFull)
		pass(deadline)
		expectErr(t, read, ledger.ErrOverloaded)
		e.Drain()
		expectErr(t, barrier(e), ledger.ErrDraining)

		want := `
# HELP purser_engine_commands_total Commands whose log entry has an outcome.
# TYPE purser_engine_commands_total counter
purser_engine_commands_total 2
# HELP purser_engine_entries_total Log entries that have an outcome.
# TYPE purser_engine_entries_total counter
purser_engine_entries_total 1
# HELP purser_engine_outcome_unknown_total Commands answered with an unknown outcome because their deadline passed.
# TYPE purser_engine_outcome_unknown_total counter
purser_engine_outcome_unknown_total 1
# HELP purser_engine_pending_bytes Encoded size of the commands that wait for an outcome.
# TYPE purser_engine_pending_bytes gauge
purser_engine_pending_bytes BYTES
# HELP purser_engine_pending_requests Commands and reads that wait for an outcome.
# TYPE purser_engine_pending_requests gauge
purser_engine_pending_requests 1
# HELP purser_engine_refused_total Commands and reads refused before they were proposed, by reason.
# TYPE purser_engine_refused_total counter
purser_engine_refused_total{reason="draining"} 1
purser_engine_refused_total{reason="no_leader"} 1
purser_engine_refused_total{reason="overloaded"} 2
purser_engine_refused_total{reason="storage_full"} 1
`
		want = strings.Replace(want, "BYTES", strconv.Itoa(commandBytes("c")), 1)
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want),
			"purser_engine_commands_total", "purser_engine_entries_total", "purser_engine_outcome_unknown_total",
			"purser_engine_pending_bytes", "purser_engine_pending_requests", "purser_engine_refused_total"); err != nil {
			t.Error(err)
		}
		faults, err := testutil.GatherAndLint(reg)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range faults {
			t.Errorf("%s: %s", f.Metric, f.Text)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	bad := Options{MaxInFlight: -1, MinPipelined: -1, MaxBatch: -1, MaxPending: -1, MaxPendingBytes: -1, Deadline: -1, PulseEvery: -1}
	_, err := New(bad)
	for _, name := range []string{"Log", "MaxInFlight", "MinPipelined", "MaxBatch", "MaxPending", "MaxPendingBytes", "Deadline", "PulseEvery"} {
		if err == nil || !strings.Contains(err.Error(), "engine: "+name+" ") {
			t.Errorf("%s is not among the faults: %v", name, err)
		}
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) != 8 {
		t.Errorf("not one error per fault: %v", err)
	}
	if err := (Options{Log: &fakeLog{}}).Validate(); err != nil {
		t.Error(err)
	}
}
