package bench

import (
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A run is invalid when its figures would tell about the generator:
const (
	// maxCPU is the share of its threads' time above which it was saturated.
	maxCPU = 0.95
	// A 99th percentile of the lag beyond both of these, the second as a share of
	// the 99th percentile of the response time, which it is a part of, is more
	// than can be overlooked.
	maxLag      = time.Millisecond
	maxLagShare = 0.1
	// Others on the machine used more than this share of it, while the generator
	// waited for a processor for more than this share of its time, and more than
	// twice as long as it computed: it was out of CPU. Without others such waiting
	// is what a busy server on the same machine costs.
	maxOthers = 0.25
	maxWaited = 0.5
)

// outcomes in the order of their severity.
var outcomes = []Outcome{OutcomeOK, OutcomeSLOMissed, OutcomeInvalid, OutcomeBooksWrong}

// worsen makes the outcome at least this, for that reason.
func (v *Verdict) worsen(o Outcome, format string, args ...any) {
	reason := fmt.Sprintf(format, args...)
	if slices.Index(outcomes, o) > slices.Index(outcomes, v.Outcome) {
		v.Outcome = o
		v.Reasons = slices.Insert(v.Reasons, 0, reason)
		return
	}
	v.Reasons = append(v.Reasons, reason)
}

// judge sets the verdict of r, whose response times are given in full.
func (r *Result) judge(objectives []objective, response *hdrhistogram.Histogram) {
	v := &r.Verdict
	*v = Verdict{Outcome: OutcomeOK}
	if n := r.Duplicates.Wrong; n > 0 {
		v.worsen(OutcomeBooksWrong, "%d duplicates were not answered like the first request: %s", n, r.Duplicates.Examples[0])
	}
	if b := r.Verification; b != nil && !b.OK {
		v.worsen(OutcomeBooksWrong, "%s", b.summary())
	}
	r.judgeGenerator()
	if n := r.Unknown.Unresolved; n > 0 && !r.Interrupted {
		v.worsen(OutcomeSLOMissed, "%d requests were never answered", n)
	}
	for _, o := range objectives {
		s := o.judge(r, response)
		v.SLOs = append(v.SLOs, s)
		if !s.Met {
			v.worsen(OutcomeSLOMissed, "objective %s missed: %s", s.Objective, s.Measured)
		}
	}
}

func (r *Result) judgeGenerator() {
	v, g := &r.Verdict, r.Generator
	if r.Requests == 0 {
		v.worsen(OutcomeInvalid, "nothing was answered in the measured time")
	}
	if r.Interrupted {
		v.worsen(OutcomeInvalid, "it was interrupted")
	}
	if g.CPU > maxCPU {
		v.worsen(OutcomeInvalid, "the generator was saturated: it computed for %.0f%% of the time of its %d threads", g.CPU*100, g.Threads)
	}
	if g.Others > maxOthers && g.Waited > maxWaited && g.Waited > 2*g.CPU {
		v.worsen(OutcomeInvalid, "the generator was out of CPU: it waited for a processor for %.0f%% of the time, and computed for %.0f%%; others used %.0f%% of the machine",
			g.Waited*100, g.CPU*100, g.Others*100)
	}
	if lag := g.Lag.P99; lag > float64(maxLag.Microseconds()) && lag > maxLagShare*r.Response.P99 {
		v.worsen(OutcomeInvalid, "the generator lagged: p99 %.0f µs behind its own schedule, response time p99 %.0f µs", lag, r.Response.P99)
	}
	for _, e := range r.Chaos {
		if e.Error != "" {
			v.worsen(OutcomeInvalid, "%s failed: %s", e.Action, e.Error)
		}
	}
}
