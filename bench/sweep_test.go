package bench

import (
	"bytes"
	"strings"
	"testing"
)

func point(rate, offered, mean float64, o Outcome, skipped uint64) Result {
	return Result{Throughput: rate, Offered: offered, Response: Latency{Mean: mean}, Verdict: Verdict{Outcome: o}, Skipped: skipped}
}

func TestRateKnee(t *testing.T) {
	for want, points := range map[int][]Result{
		-1: {point(9, 10, 1, OutcomeOK, 0), point(20, 20, 1, OutcomeOK, 0)},
		1:  {point(10, 10, 1, OutcomeOK, 0), point(19.7, 20, 1, OutcomeOK, 0), point(20, 30, 1, OutcomeOK, 0)},
		0:  {point(10, 10, 1, OutcomeOK, 0), point(20, 20, 1, OutcomeSLOMissed, 0), point(30, 30, 1, OutcomeOK, 0)},
		2:  {point(1, 1, 1, OutcomeOK, 0), point(2, 2, 1, OutcomeOK, 0), point(3, 3, 1, OutcomeOK, 0), point(4, 4, 1, OutcomeOK, 1)},
	} {
		if got := rateKnee(points); got != want {
			t.Errorf("knee %d, want %d", got, want)
		}
	}
}

func TestPowerKnee(t *testing.T) {
	points := []Result{
		point(5, 5, 1, OutcomeOK, 0), point(60, 60, 2, OutcomeOK, 0), point(70, 70, 5, OutcomeOK, 0), point(900, 900, 1, OutcomeInvalid, 0),
	}
	if got := powerKnee(points); got != 1 {
		t.Errorf("knee %d, want 1", got)
	}
	if got := powerKnee(nil); got != -1 {
		t.Errorf("knee %d of nothing", got)
	}
}

func TestSweep(t *testing.T) {
	f := startFake(t)
	cfg := Config{Targets: []string{f.target()}, Connections: 3, Requests: 30}
	for name, test := range map[string]struct {
		sweep          Sweep
		points, showed int
	}{
		"connections": {Sweep{Connections: []int{1, 2}}, 2, 2},
		"rates":       {Sweep{Rates: []float64{500, 1000}}, 2, 2},
		"parts":       {Sweep{}, len(parts), len(parts) + 1},
	} {
		showed := 0
		r, err := RunSweep(t.Context(), cfg, test.sweep, func(Result) { showed++ })
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Points) != test.points || showed != test.showed || (r.Maximum != nil) != (name == "parts") {
			t.Errorf("%s: %d points, %d shown, maximum %v", name, len(r.Points), showed, r.Maximum)
		}
		for i, p := range r.Points {
			if n := test.sweep.Connections; n != nil && (p.Config.Connections != n[i] || p.Loop != "closed") || n == nil && p.Loop != "open" {
				t.Errorf("%s: point %d: %+v", name, i, p.Config)
			}
		}
		r.Knee = 0 // which one it is depends on the machine
		var out bytes.Buffer
		if err := r.Text(&out); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(out.String(), "\n"); lines != test.showed+2 || strings.Count(out.String(), "<- knee") != 1 {
			t.Errorf("%s:\n%s", name, &out)
		}
	}
}

func TestSweepOfNothing(t *testing.T) {
	f := startFake(t)
	f.status = func(operation) int { return 402 }
	_, err := RunSweep(t.Context(), Config{Targets: []string{f.target()}, Requests: 5}, Sweep{}, func(Result) {})
	if err == nil || !strings.Contains(err.Error(), "nothing was accepted: map[402:5]") {
		t.Errorf("error %v", err)
	}
}
