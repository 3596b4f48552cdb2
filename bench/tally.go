package bench

import "github.com/HdrHistogram/hdrhistogram-go"

const (
	statusCreated        = 201
	statusOutcomeUnknown = 504
	statuses             = 1000 // three digits
	shownKeys            = 1000 // unresolved keys that a Result lists
)

// Latencies are recorded in nanoseconds, to three digits, up to five minutes;
// longer ones count as five minutes. One histogram is about 200 KiB.
const (
	minLatency = 100
	maxLatency = 300_000_000_000
)

// tally is what one worker counted. Only its worker touches it during a run.
type tally struct {
	latency  *hdrhistogram.Histogram // of requests answered in the measured time
	requests uint64                  // answered in the measured time
	measured [statuses]uint64        // payments by status in the measured time
	whole    [statuses]uint64        // payments by status in the whole run
	replayed uint64                  // replies with Idempotent-Replayed, whole run
	last     int64                   // when the last answer came, ns since the start

	cut        uint64 // times that a connection broke with a request in flight
	doubted    uint64 // requests that were cut or answered 504 at least once
	resolved   uint64 // of those, answered at last
	unresolved uint64 // requests given up
	keys       []string
	examples   map[int]string // the first refused body of each status
}

func newTally() *tally {
	return &tally{
		latency:  hdrhistogram.New(minLatency, maxLatency, 3),
		examples: make(map[int]string),
	}
}

// merge adds o to t.
func (t *tally) merge(o *tally) {
	t.latency.Merge(o.latency)
	t.requests += o.requests
	for i := range t.measured {
		t.measured[i] += o.measured[i]
		t.whole[i] += o.whole[i]
	}
	t.replayed += o.replayed
	t.last = max(t.last, o.last)
	t.cut += o.cut
	t.doubted += o.doubted
	t.resolved += o.resolved
	t.unresolved += o.unresolved
	t.keys = append(t.keys, o.keys...)
	t.keys = t.keys[:min(len(t.keys), shownKeys)]
	for status, example := range o.examples {
		if _, ok := t.examples[status]; !ok {
			t.examples[status] = example
		}
	}
}

// record notes the latency of one request, in ns.
func (t *tally) record(ns int64) {
	// The value is within the histogram's range, the only error there is.
	_ = t.latency.RecordValue(min(max(ns, minLatency), maxLatency))
}
