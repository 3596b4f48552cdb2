package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// WrkResult compares this package's generator with wrk, an independent one, on
// the same empty handler, with the same request bytes and as many connections
// and threads.
type WrkResult struct {
	Version string `json:"version"`
	// Throughput and Generator are requests per second, medians of the rounds;
	// Ratio is the median of the rounds' Generator / Throughput.
	Throughput float64    `json:"throughput"`
	Generator  float64    `json:"generator"`
	Ratio      float64    `json:"ratio"`
	Rounds     []WrkRound `json:"rounds"`
}

// WrkRound is one measurement by each generator, back to back.
type WrkRound struct {
	Wrk       float64 `json:"wrk"`
	Generator float64 `json:"generator"`
}

// CompareWrk measures the empty handler under the load of cfg by wrk and by this
// package in turn. It fails if wrk is not installed.
func CompareWrk(ctx context.Context, cfg Config, rounds int) (*WrkResult, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if cfg.Duration == 0 {
		return nil, errors.New("wrk measures by duration")
	}
	binary, err := exec.LookPath("wrk")
	if err != nil {
		return nil, fmt.Errorf("compare with wrk: %w", err)
	}
	r := &WrkResult{Version: wrkVersion(binary)}
	var ratios []float64
	for range rounds {
		var x WrkRound
		if x.Wrk, err = wrkRound(ctx, cfg, binary); err != nil {
			return nil, err
		}
		ours, err := emptyRun(ctx, cfg)
		if err != nil {
			return nil, err
		}
		x.Generator = float64(ours.Requests) / ours.Elapsed
		r.Rounds = append(r.Rounds, x)
		ratios = append(ratios, x.Generator/x.Wrk)
	}
	r.Throughput = median(r.Rounds, func(x WrkRound) float64 { return x.Wrk })
	r.Generator = median(r.Rounds, func(x WrkRound) float64 { return x.Generator })
	r.Ratio = median(ratios, func(x float64) float64 { return x })
	return r, nil
}

// wrkVersion returns the first line that wrk says of itself.
func wrkVersion(binary string) string {
	text, _ := exec.Command(binary, "--version").CombinedOutput() // its exit code is 1
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// wrkRound lets wrk put load on an empty server for the warm-up, and then for
// the measured time.
func wrkRound(ctx context.Context, cfg Config, binary string) (rate float64, err error) {
	c, err := startChild(cfg.Batch)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	script, err := writeScript(cfg)
	if err != nil {
		return 0, err
	}
	defer os.Remove(script)
	for _, span := range []time.Duration{cfg.Warmup, cfg.Duration} {
		if span == 0 {
			continue
		}
		text, err := exec.CommandContext(ctx, binary,
			"--threads", strconv.Itoa(cfg.Threads), "--connections", strconv.Itoa(cfg.Connections),
			"--duration", strconv.Itoa(int(max(1, span.Round(time.Second)/time.Second)))+"s",
			"--script", script, "http://"+c.address).CombinedOutput()
		if err == nil {
			rate, err = wrkRate(string(text))
		}
		if err != nil {
			return 0, fmt.Errorf("wrk: %w: %s", err, text)
		}
	}
	return rate, nil
}

var (
	wrkRateLine  = regexp.MustCompile(`(?m)^Requests/sec:\s*([0-9.]+)$`)
	wrkErrorLine = regexp.MustCompile(`(?m)^\s*(Socket errors|Non-2xx or 3xx responses):.*$`)
)

// wrkRate reads the report of wrk.
func wrkRate(report string) (float64, error) {
	if line := wrkErrorLine.FindString(report); line != "" {
		return 0, errors.New(strings.TrimSpace(line))
	}
	match := wrkRateLine.FindStringSubmatch(report)
	if match == nil {
		return 0, errors.New("no rate in its report")
	}
	return strconv.ParseFloat(match[1], 64)
}

// writeScript writes a program for wrk that sends a payment of cfg, always the
// same. It sets what wrk makes its request of, once; a function per request would
// be a cost that this package's generator does not have.
func writeScript(cfg Config) (path string, err error) {
	j, err := cfg.paymentJob()
	if err != nil {
		return "", err
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(j.payments.request(pay, 0).buf)))
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "wrk.method = %s\nwrk.path = %s\nwrk.body = %s\n", luaString(r.Method), luaString(r.URL.Path), luaString(string(body)))
	for name := range r.Header {
		if name != "Content-Length" { // wrk's own
			fmt.Fprintf(&b, "wrk.headers[%s] = %s\n", luaString(name), luaString(r.Header.Get(name)))
		}
	}
	f, err := os.CreateTemp("", "wrk-*.lua")
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(b.String())
	return f.Name(), errors.Join(err, f.Close())
}

// luaString quotes text for Lua.
func luaString(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(text) {
		fmt.Fprintf(&b, `\%03d`, text[i])
	}
	b.WriteByte('"')
	return b.String()
}
