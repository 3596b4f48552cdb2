package bench

import (
	"math"
	"strings"
	"testing"
)

const metricsText = `# HELP purser_engine_commit_seconds Time.
# TYPE purser_engine_commit_seconds histogram
purser_engine_commit_seconds_bucket{le="0.001"} 10
purser_engine_commit_seconds_bucket{le="0.002"} 90
purser_engine_commit_seconds_bucket{le="0.004"} 100
purser_engine_commit_seconds_bucket{le="+Inf"} 100
purser_engine_commit_seconds_sum 0.15
purser_engine_commit_seconds_count 100
purser_engine_entry_commands_sum 5000
purser_engine_entry_commands_count 100
purser_engine_refused_total{reason="overloaded"} 7
purser_engine_refused_total{reason="no_leader"} 0
go_memstats_mallocs_total 1.5e+04
process_cpu_seconds_total 2
`

func TestMetrics(t *testing.T) {
	m := parseMetrics(metricsText)
	var n Node
	n.measure(m, 4e9, 5000)
	want := ServerTime{Count: 100, Mean: 1500, P50: 1500, P99: 3800}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-6*b }
	if c := n.Commit; c.Count != 100 || !near(c.Mean, want.Mean) || !near(c.P50, want.P50) || !near(c.P99, want.P99) {
		t.Errorf("commit %+v, want %+v", c, want)
	}
	if n.Allocations != 3 || n.CPU != 0.5 || n.CPUPerPayment != 400 || n.EntryCommands != 50 {
		t.Errorf("node %+v", n)
	}
	if len(n.Refused) != 1 || n.Refused["overloaded"] != 7 {
		t.Errorf("refused %v", n.Refused)
	}
	if n.Sync.Count != 0 {
		t.Errorf("sync %+v", n.Sync)
	}
	if again := m.since(m)["process_cpu_seconds_total"]; again != 0 {
		t.Errorf("nothing since: %v", again)
	}
	if q := quantile(map[string]float64{"0.1": 0, "+Inf": 5}, 0.5); q != 0.1 {
		t.Errorf("quantile beyond the last bound: %v", q)
	}
}

func TestObjectives(t *testing.T) {
	h := newTimes()
	for us := range int64(1000) {
		h.record(us * 1000)
	}
	r := &Result{Throughput: 500, Codes: map[string]uint64{"201": 98, "402": 1}, Skipped: 1, Config: Config{Batch: 1}}
	for text, met := range map[string]bool{
		"p99<1ms": true, "p99 < 900us": false, "p50<=0.6ms": true, "max<1ms": true, "max<500us": false, "p99.9<2ms": true,
		"errors<2%": false, "errors<=2%": true, "errors<0.03": true, "rate>499": true, "rate>500": false, "rate>=500": true, "p90>1us": true,
	} {
		o, err := parseObjective(text)
		if err != nil {
			t.Error(err)
			continue
		}
		if s := o.judge(r, h.Histogram); s.Met != met || s.Measured == "" {
			t.Errorf("%s: %+v, want met %t", text, s, met)
		}
	}
	for _, text := range []string{"", "p99", "p99=1ms", "p0<1ms", "p101<1ms", "px<1ms", "p99<fast", "speed>1", "errors<2", "errors<x%", "rate>x"} {
		if ParseSLO(text) == nil {
			t.Errorf("%q accepted", text)
		}
	}
}

func TestVerdict(t *testing.T) {
	sound := func() *Result {
		return &Result{Requests: 1000, Throughput: 1, Response: Latency{P99: 20_000}, Generator: Generator{CPU: 0.5, Threads: 1}}
	}
	missed, err := parseObjectives([]string{"rate>5"})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(r *Result)
		want   Outcome
		reason string
	}{
		"sound":            {func(*Result) {}, OutcomeOK, ""},
		"lag beside p99":   {func(r *Result) { r.Generator.Lag.P99 = 1900 }, OutcomeOK, ""},
		"short lag":        {func(r *Result) { r.Generator.Lag.P99, r.Response.P99 = 990, 991 }, OutcomeOK, ""},
		"lag":              {func(r *Result) { r.Generator.Lag.P99 = 2100 }, OutcomeInvalid, "lagged"},
		"saturated":        {func(r *Result) { r.Generator.CPU = 0.97 }, OutcomeInvalid, "saturated"},
		"out of CPU":       {func(r *Result) { r.Generator = Generator{CPU: 0.2, Waited: 0.9, Others: 0.6} }, OutcomeInvalid, "out of CPU"},
		"busy server":      {func(r *Result) { r.Generator = Generator{CPU: 0.2, Waited: 0.9, Others: 0.1} }, OutcomeOK, ""},
		"nothing measured": {func(r *Result) { r.Requests = 0 }, OutcomeInvalid, "nothing was answered"},
		"interrupted":      {func(r *Result) { r.Unknown.Unresolved, r.Interrupted = 2, true }, OutcomeInvalid, "interrupted"},
		"unanswered":       {func(r *Result) { r.Unknown.Unresolved = 2 }, OutcomeSLOMissed, "never answered"},
		"duplicates": {func(r *Result) {
			r.Duplicates = Duplicates{Wrong: 1, Examples: []string{"key k"}}
			r.Generator.CPU = 1
		}, OutcomeBooksWrong, "key k"},
		"books": {func(r *Result) { r.Verification = &Verification{Faults: []string{"lost"}} }, OutcomeBooksWrong, "lost"},
	} {
		r := sound()
		test.change(r)
		r.judge(nil, newTimes().Histogram)
		reasons := strings.Join(r.Verdict.Reasons, "; ")
		if r.Verdict.Outcome != test.want || !strings.Contains(reasons, test.reason) || (reasons == "") != (test.want == OutcomeOK) {
			t.Errorf("%s: %+v", name, r.Verdict)
		}
		r.judge(missed, newTimes().Histogram)
		if test.want == OutcomeOK && r.Verdict.Outcome != OutcomeSLOMissed || test.want != OutcomeOK && r.Verdict.Outcome != test.want {
			t.Errorf("%s, objective missed: %+v", name, r.Verdict)
		}
	}
}
