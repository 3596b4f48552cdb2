package raftfsm

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-metrics"
	compat "github.com/hashicorp/go-metrics/compat"
	"github.com/prometheus/client_golang/prometheus"
)

// ErrMetricsBuildTag says that the program was built without the tag
// hashicorpmetrics: raft then reports to another library, and every series here
// would stay at zero.
var ErrMetricsBuildTag = errors.New("built without the tag hashicorpmetrics")

// InstallMetrics makes raft's metrics available in reg as purser_raft_*.
//
// Call it once per process, before raft starts. go-metrics has one global sink,
// to which all raft instances of the process report; a second call with another
// registry would take the metrics away from the first. Errors:
// ErrMetricsBuildTag, or what reg returns for names it has already.
func InstallMetrics(reg prometheus.Registerer) error {
	if _, ok := any(compat.Default()).(*metrics.Metrics); !ok {
		return ErrMetricsBuildTag
	}
	sink := newMetricsSink()
	if err := reg.Register(sink); err != nil {
		return fmt.Errorf("register raft's metrics: %w", err)
	}
	// No service or host name, no runtime metrics: keys arrive as raft has them,
	// and no goroutine is started.
	_, err := metrics.NewGlobal(&metrics.Config{FilterDefault: true, TimerGranularity: time.Millisecond}, sink)
	if err != nil {
		return fmt.Errorf("install raft's metrics: %w", err)
	}
	return nil
}

// metricsSink takes raft's metrics and is their Prometheus collector. It keeps
// those of its table and drops the rest. A series, once there, stays: the sink
// that comes with go-metrics forgets a series after 60 s without a sample, so
// that rare events (elections, snapshots) vanish between two scrapes.
//
// Safe for concurrent use. A sample costs a walk down the key's parts and one
// atomic update, and allocates nothing unless it has labels.
type metricsSink struct {
	root       *metricsNode
	collectors []prometheus.Collector
}

var (
	_ metrics.MetricSink   = (*metricsSink)(nil)
	_ prometheus.Collector = (*metricsSink)(nil)
)

// metricsNode is a position in the tree of keys. Built once, then read only.
type metricsNode struct {
	next map[string]*metricsNode
	leaf *metricsLeaf
}

// metricsLeaf is one metric. Exactly one of update and updateVec is set.
type metricsLeaf struct {
	label     string // the raft label kept, or ""
	update    func(val float64)
	updateVec func(label string, val float64)
}

// newMetricsSink builds the tree and the collectors of raftMetrics.
func newMetricsSink() *metricsSink {
	s := &metricsSink{root: &metricsNode{}}
	for _, m := range raftMetrics() {
		leaf, c := m.build()
		s.collectors = append(s.collectors, c)
		s.root.insert(m.key, leaf)
	}
	return s
}

// Describe implements prometheus.Collector.
func (s *metricsSink) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range s.collectors {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (s *metricsSink) Collect(ch chan<- prometheus.Metric) {
	for _, c := range s.collectors {
		c.Collect(ch)
	}
}

// SetGauge implements metrics.MetricSink.
func (s *metricsSink) SetGauge(key []string, val float32) { s.take(key, val, nil) }

// SetGaugeWithLabels implements metrics.MetricSink.
func (s *metricsSink) SetGaugeWithLabels(key []string, val float32, labels []metrics.Label) {
	s.take(key, val, labels)
}

// EmitKey implements metrics.MetricSink; raft does not use it.
func (s *metricsSink) EmitKey([]string, float32) {}

// IncrCounter implements metrics.MetricSink.
func (s *metricsSink) IncrCounter(key []string, val float32) { s.take(key, val, nil) }

// IncrCounterWithLabels implements metrics.MetricSink.
func (s *metricsSink) IncrCounterWithLabels(key []string, val float32, labels []metrics.Label) {
	s.take(key, val, labels)
}

// AddSample implements metrics.MetricSink.
func (s *metricsSink) AddSample(key []string, val float32) { s.take(key, val, nil) }

// AddSampleWithLabels implements metrics.MetricSink.
func (s *metricsSink) AddSampleWithLabels(key []string, val float32, labels []metrics.Label) {
	s.take(key, val, labels)
}

// take updates key's metric, if it is in the table. The table says what the
// metric is, not the call: raft reports thread saturation as a sample.
func (s *metricsSink) take(key []string, val float32, labels []metrics.Label) {
	node := s.root
	for _, part := range key {
		if node = node.next[part]; node == nil {
			return
		}
	}
	leaf := node.leaf
	if leaf == nil {
		return
	}
	if leaf.updateVec == nil {
		leaf.update(float64(val))
		return
	}
	for _, l := range labels {
		if l.Name == leaf.label {
			leaf.updateVec(l.Value, float64(val))
			return
		}
	}
}

// insert puts leaf at key below n.
func (n *metricsNode) insert(key []string, leaf *metricsLeaf) {
	for _, part := range key {
		if n.next == nil {
			n.next = map[string]*metricsNode{}
		}
		child := n.next[part]
		if child == nil {
			child = &metricsNode{}
			n.next[part] = child
		}
		n = child
	}
	n.leaf = leaf
}
