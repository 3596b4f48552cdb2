package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what Run measured.
type Result struct {
	// Throughput is the accepted payments (status 201) per second of Elapsed.
	Throughput float64 `json:"throughput"`
	// Accepted and Requests count payments and answered HTTP requests in the
	// measured time.
	Accepted uint64 `json:"accepted"`
	Requests uint64 `json:"requests"`
	// Elapsed is the measured time in seconds.
	Elapsed float64 `json:"elapsed_s"`
	// Latency is that of requests, from the first sending to the final answer.
	Latency Latency `json:"latency_us"`
	// Codes counts the answers for payments by status in the measured time; a
	// batch refused as a whole counts once for each of its payments.
	Codes map[string]uint64 `json:"codes"`
	// Whole counts like Codes over the whole run: warmup, measured time and
	// the answers that came after it. It is what the server's books must show.
	Whole map[string]uint64 `json:"whole"`
	// Replayed counts replies marked Idempotent-Replayed, in the whole run.
	Replayed uint64  `json:"replayed"`
	Unknown  Unknown `json:"unknown"`
	// Examples has the start of the first refused body of each status.
	Examples map[string]string `json:"examples,omitempty"`
	Started  time.Time         `json:"started"`
	Machine  Machine           `json:"machine"`
	Config   Config            `json:"config"`
}

// Unknown counts requests whose outcome was unknown for a while, whole run.
type Unknown struct {
	// Cut is how often a connection broke with a request in flight.
	Cut uint64 `json:"cut"`
	// Requests were cut or answered 504 at least once, or never answered.
	// Requests = Resolved + Unresolved.
	Requests uint64 `json:"requests"`
	// Resolved were answered when sent again under the same key.
	Resolved uint64 `json:"resolved"`
	// Unresolved were not: their payments may or may not have been made.
	Unresolved uint64 `json:"unresolved"`
	// Keys are the idempotency keys of unresolved payments, at most 1000.
	Keys []string `json:"keys,omitempty"`
}

// Latency is a distribution of latencies in microseconds.
type Latency struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

func newLatency(h *hdrhistogram.Histogram) Latency {
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	return Latency{
		Min:  us(h.Min()),
		Mean: h.Mean() / 1e3,
		P50:  us(h.ValueAtQuantile(50)),
		P90:  us(h.ValueAtQuantile(90)),
		P99:  us(h.ValueAtQuantile(99)),
		P999: us(h.ValueAtQuantile(99.9)),
		Max:  us(h.Max()),
	}
}

// newResult reads the counts of a run of cfg that took elapsed in all.
func newResult(cfg Config, t *tally, started time.Time, elapsed time.Duration) Result {
	switch {
	case cfg.Requests > 0:
		elapsed = time.Duration(t.last)
	case elapsed < cfg.Warmup:
		elapsed = 0 // ended before measuring began
	default:
		elapsed = min(elapsed-cfg.Warmup, cfg.Duration)
	}
	r := Result{
		Accepted: t.measured[statusCreated],
		Requests: t.requests,
		Elapsed:  elapsed.Seconds(),
		Latency:  newLatency(t.latency),
		Codes:    byStatus(&t.measured),
		Whole:    byStatus(&t.whole),
		Replayed: t.replayed,
		Unknown: Unknown{
			Cut:        t.cut,
			Requests:   t.doubted,
			Resolved:   t.resolved,
			Unresolved: t.unresolved,
			Keys:       t.keys,
		},
		Examples: make(map[string]string),
		Started:  started.UTC(),
		Machine:  thisMachine(),
		Config:   cfg,
	}
	if elapsed > 0 {
		r.Throughput = float64(r.Accepted) / r.Elapsed
	}
	for status, example := range t.examples {
		r.Examples[strconv.Itoa(status)] = example
	}
	return r
}

func byStatus(counts *[statuses]uint64) map[string]uint64 {
	codes := make(map[string]uint64)
	for status, n := range counts {
		if n > 0 {
			codes[strconv.Itoa(status)] = n
		}
	}
	return codes
}

// JSON writes r as indented JSON.
func (r Result) JSON(w io.Writer) error { return writeJSON(w, r) }

// Text writes r for people, the figure that matters first.
func (r Result) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "throughput\t%.0f payments/s accepted\n", r.Throughput)
	fmt.Fprintf(t, "latency\tp50 %.0f µs, p90 %.0f, p99 %.0f, p99.9 %.0f, max %.0f\n",
		r.Latency.P50, r.Latency.P90, r.Latency.P99, r.Latency.P999, r.Latency.Max)
	fmt.Fprintf(t, "measured\t%d payments accepted, %d requests, %.2f s\n", r.Accepted, r.Requests, r.Elapsed)
	codes := make([]string, 0, len(r.Codes))
	for code := range r.Codes {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	for _, code := range codes {
		fmt.Fprintf(t, "status %s\t%d\t%s\n", code, r.Codes[code], r.Examples[code])
	}
	if u := r.Unknown; u.Requests > 0 {
		fmt.Fprintf(t, "unknown\t%d requests: %d resolved, %d unresolved; %d connections cut\n",
			u.Requests, u.Resolved, u.Unresolved, u.Cut)
	}
	c := r.Config
	fmt.Fprintf(t, "load\t%d connections, batch %d, %d accounts, %s to %s, seed %d\n",
		c.Connections, c.Batch, c.Accounts, c.Source, c.Destination, c.Seed)
	fmt.Fprintf(t, "machine\t%s\n", r.Machine)
	return t.Flush()
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
