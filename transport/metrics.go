package transport

import (
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxStatus bounds the statuses that metrics tell apart.
const maxStatus = 600

// metrics counts requests. The series of an operation and a status is resolved
// when the first such request ends and costs one load after that.
type metrics struct {
	requests  *prometheus.CounterVec
	counters  [operations][maxStatus]atomic.Pointer[counter]
	durations [operations]prometheus.Observer
	inFlight  atomic.Int64
	conns     atomic.Int64

	damagedReads   prometheus.Counter // reads that met data which is damaged or cannot be read
	refusedBodies  prometheus.Counter // requests: the bodies of others leave no room for theirs
	turnedAway     prometheus.Counter // batches: as many as can wait do
	refusedTotal   prometheus.Counter // connections: there were too many in all
	refusedAddress prometheus.Counter // connections: there were too many of one address
}

type counter struct{ prometheus.Counter }

// newMetrics registers all metrics. bodyBytes are the large bodies that are held.
func newMetrics(r prometheus.Registerer, bodyBytes *atomic.Int64) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "purser_http_requests_total",
			Help: "Requests answered, by route, method and HTTP status.",
		}, []string{"route", "method", "code"}),
		damagedReads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "purser_http_damaged_reads_total",
			Help: "Reads that met data on this node which is damaged or cannot be read.",
		}),
		refusedBodies: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "purser_http_bodies_refused_total",
			Help: "Requests refused because large bodies being received left no room for theirs.",
		}),
		turnedAway: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "purser_http_batches_turned_away_total",
			Help: "Batches refused undecoded because as many payments as may wait did.",
		}),
	}
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "purser_http_request_duration_seconds",
		Help:    "Time from a request read to its response built, by route and method.",
		Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18), // 50 µs to 6.5 s
	}, []string{"route", "method"})
	for op := range m.durations {
		e := &endpoints[op]
		m.durations[op] = durations.WithLabelValues(paths[e.resource], e.method)
	}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "purser_http_connections_refused_total",
		Help: "Connections refused because there were too many, in all or of one address.",
	}, []string{"limit"})
	m.refusedTotal, m.refusedAddress = refused.WithLabelValues("total"), refused.WithLabelValues("address")
	var faults []error
	for _, c := range []prometheus.Collector{
		m.requests, durations, refused, m.refusedBodies, m.turnedAway, m.damagedReads,
		gauge("purser_http_body_bytes", "Size of the large bodies that are held.", bodyBytes),
		gauge("purser_http_requests_in_flight", "Requests being served.", &m.inFlight),
		gauge("purser_http_connections", "Connections open.", &m.conns),
	} {
		faults = append(faults, r.Register(c))
	}
	return m, errors.Join(faults...)
}

func gauge(name, help string, value *atomic.Int64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
		func() float64 { return float64(value.Load()) })
}

// done counts one answered request.
func (m *metrics) done(op operation, status int, took time.Duration) {
	cell := &m.counters[op][status]
	c := cell.Load()
	if c == nil {
		e := &endpoints[op]
		c = &counter{m.requests.WithLabelValues(paths[e.resource], e.method, strconv.Itoa(status))}
		cell.Store(c)
	}
	c.Inc()
	m.durations[op].Observe(took.Seconds())
}
