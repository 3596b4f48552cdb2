package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"purser/bench"
)

// writeResult writes a result with this throughput.
func writeResult(t *testing.T, name string, throughput float64, change func(r *bench.Result)) {
	t.Helper()
	r := bench.Result{
		Format:     1,
		Verdict:    bench.Verdict{Outcome: bench.OutcomeOK},
		Loop:       "closed",
		Throughput: throughput,
		Elapsed:    10,
		Response:   bench.Latency{Count: 1, Min: 1, P50: 1e6 / throughput, P90: 1e7 / throughput, P99: 2e7 / throughput, P999: 3e7 / throughput, Max: 4e7 / throughput},
		Machine:    bench.Machine{CPUs: 2},
		Config:     bench.Config{Connections: 256},
	}
	if change != nil {
		change(&r)
	}
	if err := writeFile(name, r.JSON); err != nil {
		t.Fatal(err)
	}
}

// saying is what a command writes to standard output.
func saying(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := rootCommand()
	root.SetOut(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestBenchCompareFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	for i, throughput := range []float64{1000, 1010, 990, 1005} {
		writeResult(t, fmt.Sprintf("before-%d.json", i), throughput, nil)
		writeResult(t, fmt.Sprintf("after-%d.json", i), 2*throughput, nil)
	}
	writeResult(t, "other.json", 1000, func(r *bench.Result) { r.Machine.CPUs, r.Config.Connections = 64, 16 })
	for args, want := range map[string]string{
		"before-*.json after-*.json":                                 "BETTER ",
		"after-*.json before-*.json":                                 "WORSE ",
		"before-*.json before-0.json,before-1.json,before-[23].json": "NO DIFFERENCE ",
		"before-0.json after-0.json":                                 "UNDECIDED ",
		"-o json before-*.json after-*.json": `{
  "outcome": "BETTER"`,
		"--force other.json before-0.json": "NO DIFFERENCE  No difference beyond chance and 2%.\ncompared by force: config.connections: 16 against 256",
	} {
		got, err := saying(t, append([]string{"bench", "compare"}, strings.Fields(args)...)...)
		if err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("compare %s: %v\n%s\nwant %s", args, err, got, want)
		}
	}
	_, err := saying(t, "bench", "compare", "before-*.json", "after-0.json,other.json")
	if err == nil || !strings.Contains(err.Error(), "machine.cpus: 2 against 64 (before-0.json, other.json)") {
		t.Errorf("unlike machines: %v", err)
	}
}

// A run leaves a page that tells of its result.
func TestBenchRunLeavesPage(t *testing.T) {
	p := serve(t, t.TempDir())
	file := filepath.Join(t.TempDir(), "r.html")
	code, said, r := benchRun(t, "run", "--target=http://"+p.api, "--admin=http://"+p.admin,
		"--accounts=10", "--connections=4", "--requests=400", "--html="+file)
	if code != 0 && r.Verdict.Outcome != bench.OutcomeInvalid { // a busy machine makes it that
		t.Fatalf("exit code %d: %s", code, said)
	}
	page := string(mustRead(t, file))
	for _, want := range []string{"<h1>" + string(r.Verdict.Outcome) + "</h1>", "<td>" + r.Config.KeyPrefix + "</td>", `id="latency"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %s", want)
		}
	}
}

func TestBenchReportFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	writeResult(t, "a.json", 1000, nil)
	writeResult(t, "b.json", 2000, nil)
	for _, test := range []struct{ args, file, want string }{
		{"a.json", "a.html", "1,000 payments/s accepted"},
		{"a.json b.json", "b.html", "100.0%"},
		{"a.json --out page.html", "page.html", "<!DOCTYPE html>"},
	} {
		if _, err := saying(t, append([]string{"bench", "report"}, strings.Fields(test.args)...)...); err != nil {
			t.Fatal(err)
		}
		if page := string(mustRead(t, test.file)); !strings.Contains(page, test.want) {
			t.Errorf("report %s: no %q in %s", test.args, test.want, test.file)
		}
	}
	page, err := saying(t, "bench", "report", "a.json", "--out=-")
	if err != nil || !strings.HasPrefix(page, "<!DOCTYPE html>") {
		t.Errorf("report on standard output: %v, %.40q", err, page)
	}
	if err := os.WriteFile("no.json", []byte(`{"format":99}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := saying(t, "bench", "report", "no.json"); err == nil || !strings.Contains(err.Error(), "no.json: ") {
		t.Errorf("a format to come: %v", err)
	}
	if left, _ := filepath.Glob("no.html"); left != nil {
		t.Error("a report of nothing was written")
	}
}
