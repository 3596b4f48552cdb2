package peer

import "github.com/prometheus/client_golang/prometheus"

// Why a connection was refused, as the metric says it.
const (
	reasonTooMany       = "too_many"       // a bound of conns.go
	reasonHandshake     = "handshake"      // TLS failed, or it never said what it is
	reasonKind          = "kind"           // it said something else
	reasonMember        = "not_member"     // raft or forwarded requests, of a node that is not one
	reasonRaftClosed    = "raft_closed"    // raft, before OpenRaft or after it ended
	reasonForwardClosed = "forward_closed" // forwarded requests, after the API ended
	reasonCall          = "call"           // no readable control call, or nobody to take the answer
)

// metrics has what is counted; the rest is read when it is collected.
type metrics struct{ refused *prometheus.CounterVec }

func newMetrics() *metrics {
	m := &metrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "purser_peer_refused_total",
		Help: "Connections to the port for nodes that were refused, by reason.",
	}, []string{"reason"})}
	for _, reason := range []string{reasonTooMany, reasonHandshake, reasonKind, reasonMember, reasonRaftClosed, reasonForwardClosed, reasonCall} {
		m.refused.WithLabelValues(reason)
	}
	return m
}

var (
	connectionsDesc = prometheus.NewDesc("purser_peer_connections",
		"Connections of other nodes that are open.", []string{"kind"}, nil)
	expiryDesc = prometheus.NewDesc("purser_peer_certificate_expiry_timestamp_seconds",
		"When the certificate of the node or of the authority that signed it expires.", []string{"certificate"}, nil)
)

var _ prometheus.Collector = (*Port)(nil)

// Describe implements prometheus.Collector.
func (p *Port) Describe(out chan<- *prometheus.Desc) {
	p.metrics.refused.Describe(out)
	out <- connectionsDesc
	out <- expiryDesc
}

// Collect implements prometheus.Collector.
func (p *Port) Collect(out chan<- prometheus.Metric) {
	p.metrics.refused.Collect(out)
	set := func(d *prometheus.Desc, value float64, label string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, label)
	}
	set(connectionsDesc, float64(p.arriving.size()), "arriving")
	set(connectionsDesc, float64(p.control.size()), "control")
	set(connectionsDesc, float64(p.forwarded.conns.size()), "forward")
	set(connectionsDesc, float64(p.raft.conns.size()), "raft")
	if p.cfg.TLS != nil {
		node, authority := p.cfg.TLS.Expiry()
		set(expiryDesc, float64(node.Unix()), "node")
		set(expiryDesc, float64(authority.Unix()), "authority")
	}
}
