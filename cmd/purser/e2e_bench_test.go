package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"purser/bench"
)

// benchRun runs `purser bench` with args in this process, and returns its exit
// code and the result that it wrote.
func benchRun(t *testing.T, args ...string) (code int, said string, r bench.Result) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "r.json")
	code, said = runSaying(t, append(append([]string{"bench"}, args...), "--quiet", "--out", out, "-o", "json"))
	if file, err := os.ReadFile(out); err == nil {
		if r, err = bench.ReadResult(bytes.NewReader(file)); err != nil {
			t.Error(err)
		}
	}
	return code, said, r
}

// TestBenchRun puts a load of all kinds on a server, while it takes a snapshot,
// and has the books checked.
func TestBenchRun(t *testing.T) {
	p := serve(t, t.TempDir())
	target := []string{"run", "--target", "http://" + p.api, "--admin", "http://" + p.admin}
	code, said, r := benchRun(t, append(target, "--connections=16", "--requests=6000", "--accounts=1k", "--skew=zipf:0.9",
		"--mix=pay=50,authorize=20,capture=15,void=2,refund=5,read=10", "--duplicates=5%", "--chaos=snapshot@0s")...)
	if code != 0 && r.Verdict.Outcome != bench.OutcomeInvalid { // a busy machine makes it that
		t.Fatalf("exit code %d: %s; %+v", code, said, r.Verdict)
	}
	v := r.Verification
	if v == nil || !v.OK || v.Lost != 0 || v.Acknowledged == 0 || v.Found != v.Acknowledged || len(v.Unchecked) != 0 {
		t.Errorf("verification: %+v", v)
	}
	for _, o := range r.Operations {
		if o.Accepted == 0 {
			t.Errorf("no %s: %+v", o.Kind, r.Operations)
		}
	}
	if d := r.Duplicates; d.Sent == 0 || d.Replayed != d.Sent {
		t.Errorf("duplicates: %+v", d)
	}
	if len(r.Chaos) != 1 || r.Chaos[0].Error != "" {
		t.Errorf("chaos: %+v", r.Chaos)
	}
	if len(r.Nodes) != 1 || r.Nodes[0].Sync.Count == 0 || r.Nodes[0].Commit.P50 <= 0 || r.Nodes[0].Allocations <= 0 {
		t.Errorf("nodes: %+v", r.Nodes)
	}
	code, said, r = benchRun(t, append(target, "--requests=20", "--connections=1", "--slo=p50<1ns,errors<=0")...)
	if code != exitSLO || !strings.Contains(said, "objective p50<1ns missed") || !r.Verdict.SLOs[1].Met {
		t.Errorf("exit code %d: %s; %+v", code, said, r.Verdict)
	}
}

// TestBenchRunWrongBooks falsifies what a server says of its journals: once a line
// occurs twice, once the newest is missing. A verification ends with the exit code
// for that.
func TestBenchRunWrongBooks(t *testing.T) {
	p := serve(t, t.TempDir())
	newest := regexp.MustCompile(`^(\{"entries":\[)(\{[^}]*\}),`)
	for name, test := range map[string]struct{ falsify, want string }{
		"doubled": {`$1$2,$2,`, "does not follow from seq"},
		"missing": {`$1`, "account bench-3 has posted"},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := httptest.NewServer(&httputil.ReverseProxy{
				Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", p.api },
				ModifyResponse: func(r *http.Response) error {
					if r.Request.URL.Path != "/v1/accounts/bench-3/entries" {
						return nil
					}
					body, err := io.ReadAll(r.Body)
					body = newest.ReplaceAll(body, []byte(test.falsify))
					r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
					r.Header.Set("Content-Length", strconv.Itoa(len(body)))
					return err
				},
			})
			defer proxy.Close()
			code, said, r := benchRun(t, "run", "--target", proxy.URL, "--admin", "http://"+p.admin,
				"--accounts=10", "--connections=4", "--requests=400", "--verify")
			if code != exitBooks || !strings.Contains(said, test.want) || r.Verification.OK {
				t.Errorf("exit code %d, want %d, and %q: %s", code, exitBooks, test.want, said)
			}
		})
	}
}

// TestBenchTable measures a row on a server of its own, which it starts again.
func TestBenchTable(t *testing.T) {
	t.Setenv(childVariable, "1") // for the server, which is this binary
	dir, results := t.TempDir(), t.TempDir()
	code, said := runSaying(t, []string{"bench", "table", "--rows=batch-hot,engine,allocations,restart", "--rounds=1", "--requests=8",
		"--dir", dir, "--results", results, "-o", "json", "--quiet"})
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, said)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	kept, err := os.ReadDir(results)
	if err != nil || len(kept) != 2 {
		t.Fatalf("results: %v, %v", kept, err)
	}
	text := string(mustRead(t, filepath.Join(results, kept[1].Name())))
	for _, want := range []string{"| batch-hot |", "engine alone, payments/s", "| engine |", "| allocations |", "| restart |"} {
		if !strings.Contains(text, want) || strings.Contains(text, "failed") {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
}
