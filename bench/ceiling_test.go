package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestCeiling(t *testing.T) {
	for _, test := range []struct {
		name      string
		batch     int
		inProcess bool
	}{
		{"child", 50, false},
		{"in process", 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := Config{Connections: 3, Requests: 200, Batch: test.batch, Dir: t.TempDir(), Syncs: 20, InProcess: test.inProcess}
			c, err := Ceiling(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if n := c.HTTP.Codes["201"]; n != uint64(200*test.batch) || len(c.HTTP.Codes) != 1 {
				t.Errorf("codes: %v", c.HTTP.Codes)
			}
			if f := c.Fdatasync; f.Writes != 20 || f.P50 <= 0 || f.P99 < f.P50 || f.Max < f.P99 {
				t.Errorf("fdatasync: %+v", f)
			}
			if left, err := os.ReadDir(cfg.Dir); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			var out bytes.Buffer
			if err := c.JSON(&out); err != nil {
				t.Fatal(err)
			}
			var back struct {
				HTTP      struct{ Throughput float64 }
				Fdatasync struct {
					P50 float64 `json:"p50_us"`
				}
			}
			if err := json.Unmarshal(out.Bytes(), &back); err != nil {
				t.Fatal(err)
			}
			if back.HTTP.Throughput <= 0 || back.Fdatasync.P50 <= 0 {
				t.Errorf("JSON: %s", &out)
			}
		})
	}
}

func TestCeilingBadDir(t *testing.T) {
	_, err := Ceiling(t.Context(), Config{Connections: 1, Requests: 1, Syncs: 20, Dir: t.TempDir() + "/none"})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestEmptyReply(t *testing.T) {
	status, body := emptyReply(1)
	if status != 201 || !json.Valid(body) {
		t.Errorf("payment: %d %s", status, body)
	}
	status, body = emptyReply(3)
	var batch struct{ Results []struct{ Status int } }
	if err := json.Unmarshal(body, &batch); err != nil || status != 200 || len(batch.Results) != 3 || batch.Results[2].Status != 201 {
		t.Errorf("batch: %d %s: %v", status, body, err)
	}
}

func TestRatio(t *testing.T) {
	f := startFake(t)
	cfg := Config{Targets: []string{f.target()}, Connections: 3, Requests: 60, Dir: t.TempDir(), Syncs: 20, InProcess: true}
	r, err := Ratio(t.Context(), cfg, 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.payments) != 3*60 || f.received != 3*60 {
		t.Errorf("server executed %d of %d payments, want 180", len(f.payments), f.received)
	}
	smallest, largest := r.Rounds[0].Ratio, r.Rounds[0].Ratio
	for _, x := range r.Rounds {
		if x.Ratio != x.Run.Throughput/x.Ceiling.HTTP.Throughput || x.Ratio <= 0 {
			t.Errorf("round: %+v", x)
		}
		smallest, largest = min(smallest, x.Ratio), max(largest, x.Ratio)
	}
	if len(r.Rounds) != 3 || r.Ratio < smallest || r.Ratio > largest {
		t.Errorf("ratio %v of %v to %v", r.Ratio, smallest, largest)
	}
	var out bytes.Buffer
	if err := r.Text(&out); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(out.String(), "\n"); len(lines) != 7 || !strings.Contains(lines[0], "of the empty handler") {
		t.Errorf("text:\n%s", &out)
	}
	if _, err := Ratio(t.Context(), cfg, 0); err == nil {
		t.Error("no error for no rounds")
	}
	f.status = func(operation) int { return 404 }
	if _, err := Ratio(t.Context(), cfg, 1); err == nil || !strings.Contains(err.Error(), `no payment was accepted: map[404:60]`) {
		t.Errorf("nothing accepted: error %v", err)
	}
}

func TestMedian(t *testing.T) {
	for want, ratios := range map[float64][]float64{2: {9, 1, 2}, 3: {4, 9, 1, 2}, 7: {7}} {
		if got := median(ratios, func(x float64) float64 { return x }); got != want {
			t.Errorf("median of %v: %v", ratios, got)
		}
	}
}
