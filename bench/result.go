package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// resultFormat is the version of Result's JSON form. Fields may be added to a
// version; one that changes its meaning or goes makes a new version.
const resultFormat = 1

// Result is what one run measured, and all that is needed to judge it. Its JSON
// form (--out) is read back by ReadResult.
//
// Two spans of time occur. The measured time is Config.Duration after
// Config.Warmup; figures are of it unless they say otherwise. The whole run has
// the warm-up before it and, after it, the answers to what was still in flight.
// Rates and counts are of what was answered in the measured time. So are the
// times in a closed loop; in an open one they, and Offered, Late and Skipped, are
// of the requests that were to start in it, whenever they were answered.
type Result struct {
	// Format is the version of this form, 1.
	Format int `json:"format"`
	// Verdict says in a word, with reasons, what the run is worth.
	Verdict Verdict `json:"verdict"`
	// Loop is "closed": every connection sends its next request when the last
	// one is answered; or "open": requests start by a schedule that knows
	// nothing of answers.
	Loop string `json:"loop"`

	// Throughput is the accepted payments per second of Elapsed: new payments,
	// authorizations, captures, voids and refunds; no reads, no replays.
	Throughput float64 `json:"throughput"`
	// Offered is the operations per second, reads included, that were to start:
	// by the schedule in an open loop, answered in any way in a closed one.
	Offered float64 `json:"offered"`
	// Reads is the reads per second that were answered 200.
	Reads float64 `json:"reads,omitempty"`
	// Accepted counts what Throughput is the rate of.
	Accepted uint64 `json:"accepted"`
	// Requests counts answered HTTP requests.
	Requests uint64 `json:"requests"`
	// Elapsed is the measured time in seconds.
	Elapsed float64 `json:"elapsed_s"`

	// Late counts requests of an open loop that started more than LateAfter
	// behind their schedule because no connection was free, or the generator
	// was slow. Their response times include the wait.
	Late uint64 `json:"late"`
	// Skipped counts requests of an open loop that never started. Each stands in
	// Response with the time that it had waited, a lower bound.
	Skipped uint64 `json:"skipped"`

	// Response is the time from a request's intended start (closed loop: its
	// first sending) to its final answer. Judge a server by this one.
	Response Latency `json:"response_us"`
	// Service is the time from a request's first sending to its final answer. In
	// an open loop it leaves out the wait for a free connection, and so hides
	// what a slow server does to those behind; in a closed loop it is Response.
	Service Latency `json:"service_us"`
	// Refusal is the time from the first sending of a request to its being refused
	// with 503: a server that is asked for too much says so at once.
	Refusal Latency `json:"refusal_us,omitzero"`
	// Operations splits the load by kind of request, in the order of Config.Mix.
	Operations []Operation `json:"operations"`
	// Series has the seconds of the whole run, warm-up and tail included.
	Series []Second `json:"series"`

	// Codes counts the answers for payments and reads by status, without those to
	// duplicates; a batch refused as a whole counts once for each of its payments.
	Codes map[string]uint64 `json:"codes"`
	// Whole counts like Codes over the whole run: it is what the server's books
	// must show.
	Whole map[string]uint64 `json:"whole"`
	// Examples has the start of the first refused body of each status.
	Examples map[string]string `json:"examples,omitempty"`
	// Replayed counts replies marked Idempotent-Replayed, in the whole run.
	Replayed uint64 `json:"replayed"`
	// Duplicates is about Config.Duplicates.
	Duplicates Duplicates `json:"duplicates"`
	// Unknown is about requests without an answer.
	Unknown Unknown `json:"unknown"`
	// Outage is the longest time without an acknowledgement.
	Outage Outage `json:"outage"`
	// Chaos has what was done to the server during the run, in order.
	Chaos []ChaosEvent `json:"chaos,omitempty"`
	// Verification is nil unless Config.Verify was set.
	Verification *Verification `json:"verification,omitempty"`

	// Nodes has what the server's admin listeners said, in the order of
	// Config.Admins; empty if there are none.
	Nodes []Node `json:"nodes,omitempty"`
	// Generator is about the process that made the load.
	Generator Generator `json:"generator"`
	// Interrupted says that the run was ended before its time: what was in flight
	// then is unresolved.
	Interrupted bool `json:"interrupted,omitempty"`
	// Started is when the connections were up, UTC.
	Started time.Time `json:"started"`
	Machine Machine   `json:"machine"`
	Config  Config    `json:"config"`
}

// Verdict is the judgement on a run.
type Verdict struct {
	// Outcome is one of the Outcome constants.
	Outcome Outcome `json:"outcome"`
	// Reasons says why it is not OutcomeOK, the worst first.
	Reasons []string `json:"reasons,omitempty"`
	// SLOs has every objective of Config.SLO with what was measured.
	SLOs []SLOResult `json:"slos,omitempty"`
}

// Outcome is the verdict in a word. When several hold, the verdict is the one
// that stands last in the list of constants.
type Outcome string

// The outcomes. They are ordered by severity.
const (
	// OutcomeOK: a valid measurement; all objectives, if any, were met.
	OutcomeOK Outcome = "OK"
	// OutcomeSLOMissed: a valid measurement that missed an objective, or in which
	// requests were never answered.
	OutcomeSLOMissed Outcome = "SLO MISSED"
	// OutcomeInvalid: the figures tell about the generator, not about the server.
	OutcomeInvalid Outcome = "INVALID"
	// OutcomeBooksWrong: an acknowledged payment is missing, was made twice, or
	// the books contradict themselves.
	OutcomeBooksWrong Outcome = "BOOKS WRONG"
)

// SLOResult is one objective and how the run stands to it.
type SLOResult struct {
	Objective string `json:"objective"` // as given, for example "p99<10ms"
	Measured  string `json:"measured"`  // in the objective's unit
	Met       bool   `json:"met"`
}

// Latency is a distribution of times in microseconds.
type Latency struct {
	Count uint64  `json:"count"`
	Min   float64 `json:"min"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99_9"`
	Max   float64 `json:"max"`
	// Histogram is the whole distribution, in nanoseconds: an HdrHistogram in
	// its V2 compressed form, base64. See Decode.
	Histogram string `json:"histogram,omitempty"`
}

// Operation is one kind of request.
type Operation struct {
	Kind     string  `json:"kind"`     // pay, authorize, capture, void, refund or read
	Requests uint64  `json:"requests"` // answered
	Accepted uint64  `json:"accepted"` // of their payments, or reads
	Response Latency `json:"response_us"`
}

// Second is one second of the run, by the time of the answer.
type Second struct {
	// At is when it began, in seconds since the run's start; the measured time
	// begins at Config.Warmup.
	At       int     `json:"at_s"`
	Accepted uint64  `json:"accepted"` // payments
	Requests uint64  `json:"requests"` // answered
	Errors   uint64  `json:"errors"`   // payments and reads not answered 2xx
	P50      float64 `json:"p50_us"`   // response time; 0 without requests
	P99      float64 `json:"p99_us"`
	Max      float64 `json:"max_us"`
}

// Duplicates counts repetitions of finished requests, under their keys.
type Duplicates struct {
	Sent     uint64 `json:"sent"`     // and answered, whole run
	Replayed uint64 `json:"replayed"` // marked so, with the first answer again, byte for byte
	// Wrong were answered otherwise: each makes the books wrong.
	Wrong    uint64   `json:"wrong"`
	Examples []string `json:"examples,omitempty"` // of the wrong, at most 10
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

// Outage is the longest time in which no payment was acknowledged, within the
// measured time, to a millisecond.
type Outage struct {
	MS   float64 `json:"ms"`
	From float64 `json:"from_s"` // when it began, in seconds since the run's start
}

// ChaosEvent is something that was done to the server.
type ChaosEvent struct {
	Action string  `json:"action"` // transfer-leader or snapshot
	At     float64 `json:"at_s"`   // when it was asked for, in seconds since the run's start
	Took   float64 `json:"took_ms"`
	Detail string  `json:"detail,omitempty"` // what the server said
	Error  string  `json:"error,omitempty"`  // why it failed
	Outage Outage  `json:"outage"`           // the longest between this event and the next
}

// Verification says what was found in the server's books after the run.
type Verification struct {
	OK bool `json:"ok"`
	// Acknowledged counts the acknowledged money movements of the whole run, and
	// Found those that the journals of the accounts have exactly once.
	Acknowledged uint64 `json:"acknowledged"`
	Found        uint64 `json:"found"`
	Lost         uint64 `json:"lost"`    // acknowledged and not in the journal
	Twice        uint64 `json:"twice"`   // more than once in the journal
	Unasked      uint64 `json:"unasked"` // in the journal, made during the run, and acknowledged to nobody
	// ResolvedMade and ResolvedNot count unresolved requests whose keys told
	// that their payments were made, or not.
	ResolvedMade uint64 `json:"resolved_made"`
	ResolvedNot  uint64 `json:"resolved_not"`
	// Accounts is how many accounts' balances were read, and Entries how many rows
	// of the journals of those that took part.
	Accounts uint64 `json:"accounts"`
	Entries  uint64 `json:"entries"`
	// Unchecked says what was not checked, and why; empty if everything was.
	Unchecked []string `json:"unchecked,omitempty"`
	// Faults are in words, at most 100.
	Faults []string `json:"faults,omitempty"`
	Took   float64  `json:"took_s"`
}

// Node is one server as its admin listener tells. Times and counts are
// differences over the measured time.
type Node struct {
	Admin   string `json:"admin"` // base URL
	ID      string `json:"id"`
	Role    string `json:"role"` // after the run
	Version string `json:"version"`
	Shards  int    `json:"shards"`
	// Commit is the time from proposing a log entry to its outcome, Queue that
	// which the entry's first request waited for it, Sync that of one fdatasync.
	// Quantiles are interpolated in the buckets of the server's histograms.
	Commit ServerTime `json:"commit_us"`
	Queue  ServerTime `json:"queue_us"`
	Sync   ServerTime `json:"sync_us"`
	// EntryCommands is the mean number of commands in a log entry.
	EntryCommands float64 `json:"entry_commands"`
	// CPU is the processor seconds per second that the process used.
	CPU float64 `json:"cpu"`
	// Allocations is the heap objects allocated per accepted payment, and
	// CPUPerPayment the processor time in microseconds.
	Allocations   float64 `json:"allocations_per_payment"`
	CPUPerPayment float64 `json:"cpu_us_per_payment"`
	// Resident is the resident memory after the run, in bytes.
	Resident float64 `json:"resident_bytes"`
	// Refused counts refusals before the log, by reason.
	Refused map[string]uint64 `json:"refused,omitempty"`
}

// ServerTime is a distribution of times in microseconds, as a server told.
type ServerTime struct {
	Count uint64  `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
}

// Generator says how the process that made the load was doing.
type Generator struct {
	Version string `json:"version"`
	Threads int    `json:"threads"`
	// CPU is the share of its threads' time that it computed, 0 to 1, in the
	// measured time. Near 1 the generator is what was measured.
	CPU float64 `json:"cpu"`
	// Waited is the share of that time that they were ready to compute and had no
	// processor. Some of it is the price of a server on the same machine.
	Waited float64 `json:"waited"`
	// Others is the share of all processors that neither this process nor the
	// servers used. Both are 0 where the system does not tell, and this one too if
	// servers on this machine do not tell what they use.
	Others float64 `json:"others_cpu"`
	// Lag is how far behind its own schedule an open loop sent requests for
	// which a connection was free.
	Lag Latency `json:"lag_us"`
}

// LateAfter is how far behind its schedule a request is called late.
const LateAfter = time.Millisecond

// ReadResult reads the JSON form of a Result. It refuses a format newer than it
// knows, and what is not a Result.
func ReadResult(r io.Reader) (Result, error) {
	var result Result
	if err := json.NewDecoder(r).Decode(&result); err != nil {
		return Result{}, fmt.Errorf("read result: %w", err)
	}
	switch {
	case result.Format == 0:
		return Result{}, errors.New("read result: not the result of a run")
	case result.Format > resultFormat:
		return Result{}, fmt.Errorf("read result: format %d is newer than this program, which knows %d", result.Format, resultFormat)
	}
	return result, nil
}

// Decode returns the whole distribution, in nanoseconds. It is an error if l
// does not have it.
func (l Latency) Decode() (*hdrhistogram.Histogram, error) {
	if l.Histogram == "" {
		return nil, errors.New("no histogram")
	}
	return hdrhistogram.Decode([]byte(l.Histogram))
}

func newLatency(h *hdrhistogram.Histogram) Latency {
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	l := Latency{
		Count: uint64(h.TotalCount()),
		Min:   us(h.Min()),
		Mean:  h.Mean() / 1e3,
		P50:   us(h.ValueAtQuantile(50)),
		P90:   us(h.ValueAtQuantile(90)),
		P99:   us(h.ValueAtQuantile(99)),
		P999:  us(h.ValueAtQuantile(99.9)),
		Max:   us(h.Max()),
	}
	// The only error is that of a version that the library does not know.
	if text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase); err == nil {
		l.Histogram = string(text)
	}
	return l
}

// JSON writes r as indented JSON.
func (r Result) JSON(w io.Writer) error { return writeJSON(w, r) }

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
