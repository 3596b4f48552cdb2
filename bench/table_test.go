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
		Rows:   []string{"restart", "hot", "reads", "batch-hot"},
		Rounds: 3,
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
	if got := strings.Join(names, " "); got != "hot batch-hot reads restart" {
		t.Errorf("rows %s", got)
	}
	if n := len(r.Rows[0].Rounds); n != 3 || restarts != 1 || shown != 10 {
		t.Errorf("%d rounds, %d restarts, %d shown", n, restarts, shown)
	}
	if last := r.Rows[3]; last.Figure != 3 || !last.Met {
		t.Errorf("restart: %+v", last)
	}
	var out bytes.Buffer
	if err := r.Text(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"version v1", "| restart | kill -9 after all that, until ready | 3.00 s | ≤ 10.0 | 3.00 |", "empty handler, requests/s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("text lacks %q:\n%s", want, &out)
		}
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
	r, err := MeasureTable(t.Context(), cfg, Table{Rows: []string{"single", "restart"}, Rounds: 2})
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
