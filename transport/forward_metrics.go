package transport

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// forwardMetrics counts the requests that were not for this node to serve, each
// once.
type forwardMetrics struct {
	answered  prometheus.Counter // by the leader
	retried   prometheus.Counter // by a leader, at the second try
	lost      prometheus.Counter // with an outcome that nobody knows
	refused   map[code]prometheus.Counter
	durations prometheus.Histogram
}

func newForwardMetrics(r prometheus.Registerer) (*forwardMetrics, error) {
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "purser_http_forwarded_total",
		Help: "Requests for the leader that reached this node, by what became of them.",
	}, []string{"outcome"})
	m := &forwardMetrics{
		answered: total.WithLabelValues("answered"),
		retried:  total.WithLabelValues("retried"),
		lost:     total.WithLabelValues(codeOutcomeUnknown.String()),
		refused:  map[code]prometheus.Counter{},
		durations: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "purser_http_forward_duration_seconds",
			Help:    "Time from a request read to the leader's answer to it.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18), // 50 µs to 6.5 s
		}),
	}
	for _, c := range []code{codeNoLeader, codeOverloaded} {
		m.refused[c] = total.WithLabelValues(c.String())
	}
	return m, errors.Join(r.Register(total), r.Register(m.durations))
}
