package clients

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Window sums up the movements of money that were acknowledged in some time.
type Window struct {
	Acknowledged int
	Rate         float64 // per second
	P50, P99     time.Duration
	Gap          time.Duration // the longest time without one
}

// Window returns what was acknowledged from one time to another. A latency is
// that from the first try of a request to the answer with its outcome. With nodes,
// by their place in Config.APIs, only requests count all of whose tries went to
// these.
func (l *Load) Window(from, to time.Time, nodes ...int) Window {
	after, until := int64(from.Sub(l.history.began)), int64(to.Sub(l.history.began))
	var w Window
	var latencies []int64
	at := []int64{after, until}
	l.history.each(0, func(o *operation) {
		n := int(acknowledgements(o))
		if n > 0 && o.ret >= after && o.ret < until && o.onlyAt(nodes) {
			w.Acknowledged += n
			latencies = append(latencies, o.ret-o.call)
			at = append(at, o.ret)
		}
	})
	if seconds := to.Sub(from).Seconds(); seconds > 0 {
		w.Rate = float64(w.Acknowledged) / seconds
	}
	slices.Sort(at)
	for i := range at[1:] {
		w.Gap = max(w.Gap, time.Duration(at[i+1]-at[i]))
	}
	if len(latencies) > 0 {
		slices.Sort(latencies)
		w.P50 = time.Duration(latencies[len(latencies)/2])
		w.P99 = time.Duration(latencies[len(latencies)*99/100])
	}
	return w
}

// onlyAt reports whether all tries of o went to nodes, or nodes is empty.
func (o *operation) onlyAt(nodes []int) bool {
	if len(nodes) == 0 {
		return true
	}
	for i := range o.tries {
		if !slices.Contains(nodes, o.tries[i].node) {
			return false
		}
	}
	return true
}

// awaitPoll is how often AwaitAcknowledgement looks.
const awaitPoll = 2 * time.Millisecond

// AwaitAcknowledgement waits for the first acknowledgement of a movement of money
// by a try that was sent after a moment, and returns the time from that moment to
// it. Requests that were under way at the moment do not count. It returns ctx's
// error, or another if the load was stopped and there is none.
func (l *Load) AwaitAcknowledgement(ctx context.Context, after time.Time) (time.Duration, error) {
	moment := int64(after.Sub(l.history.began))
	first := never
	for next := 0; ; wait(ctx, awaitPoll) {
		stopped := l.stopped.Err() != nil
		next = l.history.each(next, func(o *operation) {
			if acknowledgements(o) > 0 && o.tries[len(o.tries)-1].call >= moment {
				first = min(first, o.ret)
			}
		})
		switch {
		case first < never:
			return time.Duration(first - moment), nil
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case stopped:
			return 0, errors.New("no acknowledgement until the load was stopped")
		}
	}
}
