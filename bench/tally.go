package bench

import (
	"strconv"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	statusCreated        = 201
	statusConflict       = 409
	statusTooMany        = 429
	statusUnavailable    = 503
	statusOutcomeUnknown = 504
	statuses             = 1000 // three digits
	shownKeys            = 1000 // unresolved keys that a Result lists
	shownDuplicates      = 10   // wrong duplicates that a Result shows
)

// Latencies are recorded in nanoseconds, to three digits, up to five minutes;
// longer ones count as five minutes. One histogram is about 200 KiB.
const (
	minLatency = 100
	maxLatency = 300_000_000_000
)

// times is a distribution in nanoseconds.
type times struct{ *hdrhistogram.Histogram }

func newTimes() times { return times{hdrhistogram.New(minLatency, maxLatency, 3)} }

func (h times) record(ns int64) {
	// The value is within the histogram's range, the only error there is.
	_ = h.RecordValue(min(max(ns, minLatency), maxLatency))
}

// tally is what one worker counted. Only its worker touches it during a run.
// What is "measured" is of the measured time, the rest of the whole run.
type tally struct {
	response [kinds]times // measured; nil for kinds that the job does not have
	service  times        // measured, of all kinds; nil in a closed loop
	lag      times        // measured; nil in a closed loop
	refusal  times        // measured, of requests answered 503

	requests [kinds]uint64    // measured: answered
	accepted [kinds]uint64    // measured: payments, or reads, answered 2xx
	measured [statuses]uint64 // payments and reads by status
	whole    [statuses]uint64
	offered  uint64 // measured: operations that were to start, in an open loop
	late     uint64 // measured: requests
	skipped  uint64 // measured: requests
	replayed uint64 // replies with Idempotent-Replayed
	last     int64  // when the last answer came, ns since the start
	moments  moments
	acks     acks

	cut        uint64  // times that a connection broke with a request in flight
	doubted    uint64  // requests that were cut or answered 504 at least once
	resolved   uint64  // of those, answered at last
	unresolved uint64  // requests given up
	open       []doubt // the payments of these
	duplicates Duplicates
	examples   map[int]string // the first refused body of each status
}

// newTally makes room for the kinds of a job.
func newTally(has []kind, open bool) *tally {
	t := &tally{examples: make(map[int]string), refusal: newTimes()}
	for _, k := range has {
		t.response[k] = newTimes()
	}
	if open {
		t.service, t.lag = newTimes(), newTimes()
	}
	return t
}

// merge adds o, which has the same kinds, to t.
func (t *tally) merge(o *tally) {
	for k := range t.response {
		if t.response[k].Histogram != nil {
			t.response[k].Merge(o.response[k].Histogram)
		}
		t.requests[k] += o.requests[k]
		t.accepted[k] += o.accepted[k]
	}
	t.refusal.Merge(o.refusal.Histogram)
	if t.service.Histogram != nil {
		t.service.Merge(o.service.Histogram)
		t.lag.Merge(o.lag.Histogram)
	}
	for i := range t.measured {
		t.measured[i] += o.measured[i]
		t.whole[i] += o.whole[i]
	}
	t.offered += o.offered
	t.late += o.late
	t.skipped += o.skipped
	t.replayed += o.replayed
	t.last = max(t.last, o.last)
	t.moments.merge(&o.moments)
	t.acks.merge(&o.acks)
	t.cut += o.cut
	t.doubted += o.doubted
	t.resolved += o.resolved
	t.unresolved += o.unresolved
	t.open = append(t.open, o.open...)
	t.duplicates.merge(&o.duplicates)
	for status, example := range o.examples {
		if _, ok := t.examples[status]; !ok {
			t.examples[status] = example
		}
	}
}

func (d *Duplicates) merge(o *Duplicates) {
	d.Sent += o.Sent
	d.Replayed += o.Replayed
	d.Wrong += o.Wrong
	d.Examples = append(d.Examples, o.Examples...)
	d.Examples = d.Examples[:min(len(d.Examples), shownDuplicates)]
}

// responses returns the response times of all kinds together.
func (t *tally) responses() times {
	all := newTimes()
	for _, h := range t.response {
		if h.Histogram != nil {
			all.Merge(h.Histogram)
		}
	}
	return all
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
