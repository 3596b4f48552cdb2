package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"purser/bench"
)

func TestProgress(t *testing.T) {
	warming := bench.Progress{Second: bench.Second{At: 0, Accepted: 5}, Of: 3 * time.Second, Warming: true}
	last := bench.Progress{Second: bench.Second{At: 2, Accepted: 20_013, Errors: 7, P50: 410, P99: 2130}, Of: 3 * time.Second}
	if got := progressLine(bench.Progress{Verifying: true, Entries: 9}); got != "checking the books: 9 entries" {
		t.Errorf("verifying: %q", got)
	}
	for _, test := range []struct {
		terminal bool
		want     string
	}{
		{false, "   1s         5/s  p50    0.00 ms  p99    0.00 ms  errors 0  warming up  2s left\n" +
			"   3s     20013/s  p50    0.41 ms  p99    2.13 ms  errors 7\n"},
		{true, "\r\x1b[K   1s         5/s  p50    0.00 ms  p99    0.00 ms  errors 0  warming up  2s left" +
			"\r\x1b[K   3s     20013/s  p50    0.41 ms  p99    2.13 ms  errors 7\n"},
	} {
		file, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		p := newProgress(file)
		if p.terminal {
			t.Error("a file is no terminal")
		}
		p.terminal = test.terminal
		p.show(warming)
		p.show(last)
		p.end()
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		if got := string(mustRead(t, file.Name())); got != test.want {
			t.Errorf("terminal %t:\n%q, want\n%q", test.terminal, got, test.want)
		}
	}
}
