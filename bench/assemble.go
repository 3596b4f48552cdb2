package bench

import (
	"strconv"
	"time"
)

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
	latency := newLatency(t.latency)
	r := Result{
		Format:    resultFormat,
		Verdict:   Verdict{Outcome: OutcomeOK},
		Loop:      "closed",
		Accepted:  t.measured[statusCreated],
		Requests:  t.requests,
		Elapsed:   elapsed.Seconds(),
		Response:  latency,
		Service:   latency,
		Codes:     byStatus(&t.measured),
		Whole:     byStatus(&t.whole),
		Examples:  make(map[string]string),
		Replayed:  t.replayed,
		Generator: Generator{Threads: cfg.Threads},
		Unknown: Unknown{
			Cut:        t.cut,
			Requests:   t.doubted,
			Resolved:   t.resolved,
			Unresolved: t.unresolved,
			Keys:       t.keys,
		},
		Started: started.UTC(),
		Machine: thisMachine(cfg.Dir),
		Config:  cfg,
	}
	if elapsed > 0 {
		r.Throughput = float64(r.Accepted) / r.Elapsed
		r.Offered = float64(sum(&t.measured)) / r.Elapsed
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

func sum(counts *[statuses]uint64) (total uint64) {
	for _, n := range counts {
		total += n
	}
	return total
}
