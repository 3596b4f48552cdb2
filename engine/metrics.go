package engine

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics holds the instruments; Engine collects them.
type metrics struct {
	commands   prometheus.Counter
	entries    prometheus.Counter
	batchSize  prometheus.Histogram
	commitTime prometheus.Histogram
	waitTime   prometheus.Histogram
	refused    *prometheus.CounterVec
	unknown    prometheus.Counter
	parts      []prometheus.Collector

	// The reasons of refused.
	noLeader, storageFull, draining, overloaded prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		commands: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "purser_engine_commands_total",
			Help: "Commands whose log entry has an outcome.",
		}),
		entries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "purser_engine_entries_total",
			Help: "Log entries that have an outcome.",
		}),
		batchSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "purser_engine_entry_commands",
			Help:    "Commands of a log entry.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 14),
		}),
		commitTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "purser_engine_commit_seconds",
			Help:    "Time from proposing a log entry to its outcome.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18),
		}),
		waitTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "purser_engine_queue_seconds",
			Help:    "Time that the first request of a log entry waited for it to be proposed.",
			Buckets: prometheus.ExponentialBuckets(10e-6, 2, 18),
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "purser_engine_refused_total",
			Help: "Commands and reads refused before they were proposed, by reason.",
		}, []string{"reason"}),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "purser_engine_outcome_unknown_total",
			Help: "Commands answered with an unknown outcome because their deadline passed.",
		}),
	}
	m.noLeader = m.refused.WithLabelValues("no_leader")
	m.storageFull = m.refused.WithLabelValues("storage_full")
	m.draining = m.refused.WithLabelValues("draining")
	m.overloaded = m.refused.WithLabelValues("overloaded")
	m.parts = []prometheus.Collector{m.commands, m.entries, m.batchSize, m.commitTime, m.waitTime, m.refused, m.unknown}
	return m
}

func (m *metrics) observe(f inFlight, now time.Time) {
	m.commands.Add(float64(f.batch.count))
	m.entries.Inc()
	m.batchSize.Observe(float64(f.batch.count))
	m.commitTime.Observe(now.Sub(f.sent).Seconds())
	m.waitTime.Observe(f.sent.Sub(f.batch.opened).Seconds())
}

var (
	pendingDesc = prometheus.NewDesc("purser_engine_pending_requests",
		"Commands and reads that wait for an outcome.", nil, nil)
	pendingBytesDesc = prometheus.NewDesc("purser_engine_pending_bytes",
		"Encoded size of the commands that wait for an outcome.", nil, nil)
)

// Describe implements prometheus.Collector.
func (e *Engine) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range e.metrics.parts {
		c.Describe(ch)
	}
	ch <- pendingDesc
	ch <- pendingBytesDesc
}

// Collect implements prometheus.Collector.
func (e *Engine) Collect(ch chan<- prometheus.Metric) {
	for _, c := range e.metrics.parts {
		c.Collect(ch)
	}
	e.mu.Lock()
	pending, bytes := e.pending, e.pendingBytes
	e.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(pending))
	ch <- prometheus.MustNewConstMetric(pendingBytesDesc, prometheus.GaugeValue, float64(bytes))
}
