package clients

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Report sums up a load and its check.
type Report struct {
	Operations   int                       // requests, each counted once however often it was sent
	Acknowledged int64                     // movements of money
	Counts       map[string]map[string]int // operations, by kind and then by outcome
	Tries        map[string]int            // sendings without an outcome, by what came back
	Unknown      int                       // commands whose outcome was in doubt at some time
	ByRetry      int                       // of these, those that a client went on with until it knew
	ByKey        int                       // those that Stop found under their keys
	ByRepeating  int                       // those that no key remembered, and that Stop sent again
	Unresolved   int                       // those whose outcome stays unknown
	Refused      int                       // commands left after answers that say they were not applied
	Replayed     int                       // deliberate retries of finished requests
	Reads        int                       // answered
	LongestGap   time.Duration             // between two acknowledgements
	Entries      int                       // of all journals
	Linearizable map[string]int            // accounts, by what porcupine says
	Collecting   time.Duration             // time taken to read the books
	Checking     time.Duration             // time taken to check them
}

// report counts what the clients did.
func report(ops []*operation) Report {
	r := Report{Counts: map[string]map[string]int{}, Tries: map[string]int{}, Linearizable: map[string]int{}}
	for _, o := range ops {
		r.Operations++
		r.Acknowledged += acknowledgements(o)
		r.count(o)
		for _, t := range o.tries[:len(o.tries)-1] {
			r.Tries[t.result]++
		}
		last := o.tries[len(o.tries)-1]
		if o.answer == nil {
			r.Tries[last.result]++
		}
		switch {
		case o.kind.reads() && o.answer != nil:
			r.Reads++
		case o.kind == retry && o.answer != nil:
			r.Replayed++
		}
		if o.kind.moves() || o.kind == batch {
			r.countDoubt(o)
		}
	}
	return r
}

// count counts o by its outcome; a batch by those of its items.
func (r *Report) count(o *operation) {
	add := func(k kind, outcome string) {
		if r.Counts[string(k)] == nil {
			r.Counts[string(k)] = map[string]int{}
		}
		r.Counts[string(k)][outcome]++
	}
	outcome := func(a *answer) string {
		if a == nil {
			return "none"
		}
		return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, a.code()))
	}
	if len(o.items) == 0 {
		add(o.kind, outcome(o.answer))
	}
	for _, item := range o.items {
		add(batch, outcome(item.answer))
	}
}

func (r *Report) countDoubt(o *operation) {
	if !o.doubtful {
		if o.answer == nil {
			r.Refused++
		}
		return
	}
	r.Unknown++
	found := o.found != nil
	for _, item := range o.items {
		found = found || item.found != nil
	}
	switch {
	case o.answer == nil:
		r.Unresolved++
	case !o.late:
		r.ByRetry++
	case found:
		r.ByKey++
	default:
		r.ByRepeating++
	}
}

// String is the report for people.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests, %d movements acknowledged, longest gap %v\n", r.Operations, r.Acknowledged, r.LongestGap.Round(time.Millisecond))
	for _, k := range slices.Sorted(maps.Keys(r.Counts)) {
		fmt.Fprintf(&b, "  %-10s %s\n", k, tally(r.Counts[k]))
	}
	fmt.Fprintf(&b, "tries without an outcome: %s\n", tally(r.Tries))
	fmt.Fprintf(&b, "unknown outcomes: %d; found by retrying %d, by key %d, by sending again %d, not found %d; not applied and left: %d\n",
		r.Unknown, r.ByRetry, r.ByKey, r.ByRepeating, r.Unresolved, r.Refused)
	fmt.Fprintf(&b, "retries of finished requests: %d; reads: %d; journal entries: %d\n", r.Replayed, r.Reads, r.Entries)
	fmt.Fprintf(&b, "porcupine, accounts: %s; books read in %v, checked in %v\n",
		tally(r.Linearizable), r.Collecting.Round(time.Millisecond), r.Checking.Round(time.Millisecond))
	return b.String()
}

func tally(counts map[string]int) string {
	if len(counts) == 0 {
		return "none"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s: %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}

func (r *Report) linearizable(results map[porcupine.CheckResult]int) {
	for result, n := range results {
		r.Linearizable[string(result)] += n
	}
}
