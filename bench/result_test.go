package bench

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestResultForms(t *testing.T) {
	f := startFake(t)
	f.status = func(pay) int { return 402 }
	r, err := Run(t.Context(), Config{Target: f.target(), Connections: 1, Requests: 3})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.JSON(&out); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Throughput *float64
		Codes      map[string]int
		Latency    map[string]float64 `json:"latency_us"`
		Machine    struct{ CPUs int }
		Config     struct{ Connections int }
	}
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back.Throughput == nil || back.Codes["402"] != 3 || back.Latency["p50"] <= 0 || back.Machine.CPUs < 1 || back.Config.Connections != 1 {
		t.Errorf("JSON: %s", &out)
	}
	out.Reset()
	if err := r.Text(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"throughput  0 payments/s", "status 402  3", `{"status":402`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("text lacks %q:\n%s", want, &out)
		}
	}
}
