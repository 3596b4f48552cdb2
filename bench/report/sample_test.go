package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"purser/bench"
	"purser/bench/compare"
)

// newHistogram has the bounds of those in results, in nanoseconds.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(100, 300_000_000_000, 3) }

// secondOfSample invents the second of a run that begins at this one. The leader
// changes in second 31. speed multiplies all times.
func secondOfSample(rng *rand.Rand, at int, speed float64) (bench.Second, *hdrhistogram.Histogram) {
	const shown = 2000 // requests that stand for the second's
	h := newHistogram()
	for range shown {
		ns := speed * 2.4e6 * math.Exp(0.45*rng.NormFloat64())
		if rng.Float64() < 0.004 {
			ns *= 2 + 6*rng.Float64()
		}
		if at == 31 && rng.Float64() < 0.2 {
			ns += 90e6 * rng.Float64()
		}
		_ = h.RecordValue(int64(ns)) // within the range
	}
	requests := uint64(78_000 / speed * (0.97 + 0.06*rng.Float64()))
	switch {
	case at < 3:
		requests = requests * uint64(at+1) / 4
	case at == 31:
		requests = requests * 8 / 10
	case at == 66:
		requests /= 20
	}
	l := latency(h)
	s := bench.Second{At: at, Accepted: requests, Requests: requests, P50: l.P50, P99: l.P99, Max: l.Max}
	if at == 31 {
		s.Errors, s.Accepted = 412, requests-412
	}
	return s, h
}

// sample is a result of 60 seconds after 5 of warm-up, with everything that a
// result can have. Its times are speed times those of an invented server.
func sample(name string, seed uint64, speed float64) compare.Run {
	rng := rand.New(rand.NewPCG(seed, seed))
	var series []bench.Second
	all, accepted := newHistogram(), uint64(0)
	for at := range 67 {
		s, h := secondOfSample(rng, at, speed)
		series = append(series, s)
		if at >= 5 && at < 65 {
			all.Merge(h)
			accepted += s.Accepted
		}
	}
	response := latency(all)
	outage := bench.Outage{MS: 182, From: 31.02}
	return compare.Run{Name: name, Result: bench.Result{
		Format: 1,
		Verdict: bench.Verdict{
			Outcome: bench.OutcomeSLOMissed,
			Reasons: []string{"p99.9<20ms: measured 24.9ms"},
			SLOs: []bench.SLOResult{
				{Objective: "p99<10ms", Measured: "8.77ms", Met: true},
				{Objective: "p99.9<20ms", Measured: "24.9ms", Met: false},
			},
		},
		Loop:       "closed",
		Throughput: float64(accepted) / 60,
		Offered:    float64(accepted+412) / 60,
		Accepted:   accepted,
		Requests:   accepted + 412,
		Elapsed:    60,
		Response:   response,
		Service:    response,
		Operations: []bench.Operation{
			{Kind: "pay", Requests: accepted * 9 / 10, Accepted: accepted * 9 / 10, Response: response},
			{Kind: "refund", Requests: accepted / 10, Accepted: accepted / 10, Response: response},
		},
		Series:     series,
		Codes:      map[string]uint64{"201": accepted, "503": 412},
		Whole:      map[string]uint64{"201": accepted + 9000, "503": 412},
		Examples:   map[string]string{"503": `{"code":"no_leader","title":"<No leader>"}`},
		Duplicates: bench.Duplicates{Sent: 46_000, Replayed: 46_000},
		Unknown:    bench.Unknown{Cut: 12, Requests: 12, Resolved: 12},
		Outage:     outage,
		Chaos: []bench.ChaosEvent{
			{Action: "transfer-leader", At: 31, Took: 171, Detail: "n2 leads term 3", Outage: outage},
			{Action: "snapshot", At: 34.5, Took: 802, Detail: "00000003-000012-1", Outage: bench.Outage{MS: 9, From: 34.6}},
		},
		Verification: &bench.Verification{OK: true, Acknowledged: accepted + 9000, Found: accepted + 9000, Accounts: 1001, Entries: 2 * accepted},
		Nodes: []bench.Node{{
			Admin: "http://127.0.0.1:8081", ID: "n1", Role: "leader", Version: "v0.9." + fmt.Sprint(seed), Shards: 2,
			Commit: bench.ServerTime{Count: 1, Mean: 900, P50: 810, P99: 2400}, Queue: bench.ServerTime{P50: 300, P99: 900},
			Sync: bench.ServerTime{P50: 140, P99: 610}, EntryCommands: 96.4, CPU: 1.21, Allocations: 6.1 * speed, CPUPerPayment: 15.4 * speed,
			Resident: 412 << 20, Refused: map[string]uint64{"no_leader": 412},
		}},
		Generator: bench.Generator{Version: "v0.9.0", Threads: 1, CPU: 0.71, Lag: bench.Latency{}},
		Started:   time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
		Machine: bench.Machine{CPUs: 2, Model: "Example CPU at 2.4 GHz", Memory: 24 << 30, OS: "linux", Arch: "amd64",
			Kernel: "6.18.0", FileSystem: "ext4", Go: "go1.26.8"},
		Config: bench.Config{Connections: 256, Threads: 1, Duration: time.Minute, Warmup: 5 * time.Second, Accounts: 1,
			Source: "hot", Destination: "world:USD", Amount: 1, Currency: "USD", Batch: 1, Seed: seed, KeyPrefix: "bench-" + fmt.Sprint(seed)},
	}}
}

// openSample is a run in which requests waited for connections.
func openSample() compare.Run {
	r := sample("open.json", 3, 1)
	r.Result.Loop = "open"
	r.Result.Verdict = bench.Verdict{Outcome: bench.OutcomeInvalid, Reasons: []string{"the generator used 99% of its threads' time"}}
	r.Result.Offered = 1.1 * r.Result.Throughput
	r.Result.Late, r.Result.Skipped = 1204, 17
	rng := rand.New(rand.NewPCG(3, 3))
	waited := newHistogram()
	for range 100_000 {
		_ = waited.RecordValue(int64(6e6 * math.Exp(0.7*rng.NormFloat64()))) // within the range
	}
	r.Result.Response = latency(waited)
	r.Result.Chaos, r.Result.Outage = nil, bench.Outage{}
	return r
}

// latency is what a result says about a histogram of nanoseconds.
func latency(h *hdrhistogram.Histogram) bench.Latency {
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		panic(err)
	}
	return bench.Latency{
		Count: uint64(h.TotalCount()), Min: us(h.Min()), Mean: h.Mean() / 1e3, P50: us(h.ValueAtQuantile(50)), P90: us(h.ValueAtQuantile(90)),
		P99: us(h.ValueAtQuantile(99)), P999: us(h.ValueAtQuantile(99.9)), Max: us(h.Max()), Histogram: string(text),
	}
}
