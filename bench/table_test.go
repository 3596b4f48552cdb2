package bench

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	f := startFake(t)
	admin := startFakeAdmin(t, &fakeAdmin{sum: "0"})
	cfg := Config{
		Targets: []string{f.target()}, Admins: []string{admin}, Dir: t.TempDir(), Syncs: 20, InProcess: true, Connections: 2,
		Requests: 40, Version: "v1",
	}
	restarts, shown := 0, 0
	r, err := MeasureTable(t.Context(), cfg, Table{
		Settle: time.Millisecond,
		Rows:   []string{"restart", "hot", "reads", "batch-hot", "engine"},
		Rounds: 3,
		Engine: func(_ context.Context, load Config) (float64, error) {
			if load.Batch != 1000 || load.Connections != 8 || load.Requests != 40 {
				t.Errorf("load of the engine: %+v", load)
			}
			return 900_000, nil
		},
		Peak: func() float64 { return 77e6 },
		Restart: func(context.Context) (time.Duration, error) {
			restarts++
			return 3 * time.Second, nil
		},
		Show: func(string, int, float64) { shown++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range r.Rows {
		names = append(names, row.Name)
		// A slow machine makes a run invalid; it is measured and shown all the same.
		if row.Error != "" && !strings.Contains(row.Error, "INVALID") || row.Figure != median(row.Rounds, func(x float64) float64 { return x }) {
			t.Errorf("row %+v", row)
		}
	}
	if got := strings.Join(names, " "); got != "hot batch-hot engine reads restart" {
		t.Errorf("rows %s", got)
	}
	if n := len(r.Rows[0].Rounds); n != 3 || restarts != 1 || shown != 13 {
		t.Errorf("%d rounds, %d restarts, %d shown", n, restarts, shown)
	}
	if batch := r.Rows[1]; batch.Goal != 720_000 {
		t.Errorf("goal of batches %v, want 0.8 of the engine", batch.Goal)
	}
	if last := r.Rows[4]; last.Figure != 3 || !last.Met {
		t.Errorf("restart: %+v", last)
	}
	var out bytes.Buffer
	if err := r.Text(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"version v1", "| restart | kill -9 after all that, until ready | 3.00 s | ≤ 10.0 | 3.00 |", "empty handler, payments/s", "| resident MB 77.0 |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("text lacks %q:\n%s", want, &out)
		}
	}
}

// TestSustained: a stall is a missed goal, however fast the last tenth was.
func TestSustained(t *testing.T) {
	r := RowResult{Goal: 0.8, Rounds: []float64{1}, Figures: []Figure{{Name: "stall", Rounds: []float64{200}, AtMost: 250}}}
	r.finish()
	if !r.Met {
		t.Errorf("missed: %+v", r)
	}
	r.Figures[0].Rounds[0] = 251
	r.finish()
	if r.Met || r.figures() != "stall 251 (≤ 250)" {
		t.Errorf("met: %+v", r)
	}
}

// TestOverload offers three times what was accepted before.
func TestOverload(t *testing.T) {
	f := startFake(t)
	cfg := Config{Targets: []string{f.target()}, Dir: t.TempDir(), InProcess: true, Requests: 8}
	r, err := MeasureTable(t.Context(), cfg, Table{Settle: time.Millisecond, Rows: []string{"overload"}, Rounds: 1, Peak: func() float64 { return 77e6 }})
	if err != nil {
		t.Fatal(err)
	}
	if row := r.Rows[0]; row.Error == "" {
		if text := row.figures(); !strings.Contains(text, "overload, resident MB 77.0") || !strings.Contains(text, "503 after, p99 µs 0.00") || row.Figure <= 0 {
			t.Errorf("row %+v", row)
		}
	} else if !strings.Contains(row.Error, "overload: INVALID") { // the machine is busy
		t.Error(row.Error)
	}
}

// TestRefusalTimes has a third of the batches refused.
func TestRefusalTimes(t *testing.T) {
	f := startFake(t)
	refused := 0
	f.misbehave = func(string, int) fault {
		if len(f.seen)%3 == 0 {
			refused++
			return refuse503
		}
		return none
	}
	r, err := Run(t.Context(), Config{Targets: []string{f.target()}, Connections: 2, Requests: 30, Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	if refused == 0 || r.Refusal.Count != uint64(refused) || r.Refusal.P50 <= 0 || r.Response.Count != 30 {
		t.Errorf("%d refused, times %+v of %d", refused, r.Refusal, r.Response.Count)
	}
}

func TestTableFails(t *testing.T) {
	f := startFake(t)
	cfg := Config{Targets: []string{f.target()}, Dir: t.TempDir(), Syncs: 20, InProcess: true, Connections: 2, Requests: 40}
	if _, err := MeasureTable(t.Context(), cfg, Table{Rows: []string{"warm"}}); err == nil || !strings.Contains(err.Error(), `no row "warm"`) {
		t.Errorf("error %v", err)
	}
	accounts := 0
	f.status = func(o operation) int {
		if accounts++; accounts == 1 { // the funding
			return 0
		}
		return 402
	}
	r, err := MeasureTable(t.Context(), cfg, Table{Settle: time.Millisecond, Rows: []string{"single", "restart"}, Rounds: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 1 || !strings.Contains(r.Rows[0].Error, "no payment was accepted") || r.Rows[0].Met {
		t.Errorf("rows %+v", r.Rows)
	}
}

func TestTenths(t *testing.T) {
	var seconds []Second
	for i := range 41 {
		seconds = append(seconds, Second{At: i, Accepted: uint64(100 - i)})
	}
	// The first four have 100+99+98+97, the last four but one 64+63+62+61.
	if got, err := tenths(seconds); err != nil || got != 250.0/394 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := tenths(seconds[:9]); err == nil {
		t.Error("no error for nine seconds")
	}
}

// TestAnyBusy: by the CPU that the servers used between two samples, of those that
// told it twice.
func TestAnyBusy(t *testing.T) {
	at := func(second int, cpu float64) sample {
		return sample{metrics: metrics{"process_cpu_seconds_total": cpu}, at: time.Unix(int64(second), 0)}
	}
	for _, tt := range []struct {
		name          string
		before, after sample
		want          bool
	}{
		{"idle", at(0, 100), at(2, 100.05), false},
		{"busy", at(0, 100), at(2, 100.5), true},
		{"gone", at(0, 100), sample{}, false},
		{"silent at first", sample{}, at(2, 100), false},
	} {
		idle := at(0, 7)
		if got := anyBusy([]sample{idle, tt.before}, []sample{at(2, 7), tt.after}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
