package main

import (
	"fmt"
	"os"
	"time"

	"purser/bench"
)

// progress shows how a run goes: in one line that it writes over on a terminal,
// in a line per second elsewhere.
type progress struct {
	out      *os.File
	terminal bool
	shown    bool
}

func newProgress(out *os.File) *progress {
	info, err := out.Stat()
	return &progress{out: out, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (p *progress) show(s bench.Progress) {
	line := progressLine(s)
	if p.terminal {
		line = "\r\x1b[K" + line
	} else {
		line += "\n"
	}
	p.shown = true
	fmt.Fprint(p.out, line) // a line that nobody sees is no reason to stop
}

// end leaves the line that was written over.
func (p *progress) end() {
	if p.terminal && p.shown {
		fmt.Fprintln(p.out)
	}
}

func progressLine(s bench.Progress) string {
	if s.Verifying {
		return fmt.Sprintf("checking the books: %d entries", s.Entries)
	}
	passed := time.Duration(s.At+1) * time.Second
	line := fmt.Sprintf("%4ds  %8d/s  p50 %10s  p99 %10s  errors %d", s.At+1, s.Accepted, milliseconds(s.P50), milliseconds(s.P99), s.Errors)
	if s.Warming {
		line += "  warming up"
	}
	if s.Of > passed {
		line += fmt.Sprintf("  %v left", (s.Of - passed).Round(time.Second))
	}
	return line
}

func milliseconds(us float64) string { return fmt.Sprintf("%.2f ms", us/1e3) }
