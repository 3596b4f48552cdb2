package bench

import (
	"os"
	"strings"
	"testing"
)

func TestWrkRate(t *testing.T) {
	const report = `Running 2s test @ http://127.0.0.1:1
  1 threads and 256 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     6.90ms   12.51ms 182.24ms   88.90%
  158967 requests in 4.10s, 99.15MB read
Requests/sec:  38789.73
Transfer/sec:     24.19MB
`
	if rate, err := wrkRate(report); err != nil || rate != 38789.73 {
		t.Errorf("%v, %v", rate, err)
	}
	for _, bad := range []string{
		"", "unable to connect to 127.0.0.1:1 Connection refused",
		report + "  Socket errors: connect 0, read 3, write 0, timeout 0\n", report + "  Non-2xx or 3xx responses: 7\n",
	} {
		if rate, err := wrkRate(bad); err == nil {
			t.Errorf("rate %v of %q", rate, bad)
		}
	}
}

func TestWrkScript(t *testing.T) {
	path, err := writeScript(Config{KeyPrefix: "k"}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"wrk.method = " + luaString("POST"), "wrk.path = " + luaString("/v1/payments"),
		"wrk.headers[" + luaString("Idempotency-Key") + "] = " + luaString("k-000000000000"),
		luaString(`{"source":"bench-0","destination":"world:USD","amount":"1","currency":"USD"}`),
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("script lacks %s:\n%s", want, text)
		}
	}
	if got := luaString("a\"\n"); got != `"\097\034\010"` {
		t.Errorf("quoted: %s", got)
	}
}
