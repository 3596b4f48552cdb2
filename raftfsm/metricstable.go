package raftfsm

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// raftMetric is one row of the table of metrics kept.
type raftMetric struct {
	key   []string // as raft reports it, taken apart at the dots
	name  string   // without the prefix purser_raft_
	help  string
	label string // raft's label to keep, or ""
	scale float64
	kind  metricKind

	buckets []float64 // of a histogram
}

type metricKind int

const (
	gaugeKind metricKind = iota
	counterKind
	histogramKind
)

// raftMetrics is the table: what an operator of purser looks at. raft reports
// times in milliseconds.
func raftMetrics() []raftMetric {
	const peer, rpc = "peer_id", "rpcType"
	return []raftMetric{
		counter("raft.apply", "proposals_total", "Entries proposed on this node."),
		counter("raft.barrier", "barriers_total", "Barriers proposed on this node."),
		counter("raft.restore", "restores_total", "User-triggered restores of a snapshot."),
		counter("raft.state.follower", "became_follower_total", "Transitions to follower."),
		counter("raft.state.candidate", "became_candidate_total", "Transitions to candidate."),
		counter("raft.state.leader", "became_leader_total", "Transitions to leader."),
		counter("raft.transition.heartbeat_timeout", "heartbeat_timeouts_total", "Elections begun because no leader was heard of."),
		counter("raft.transition.leader_lease_timeout", "leader_lease_timeouts_total", "Leaderships given up for want of a quorum."),
		counter("raft.replication.appendEntries.logs", "replicated_entries_total", "Entries sent to a peer.").by(peer),

		gauge("raft.peers", "peers", "Servers in the configuration, as the leader sees it."),
		gauge("raft.commitNumLogs", "last_commit_entries", "Entries in the last group that committed."),
		gauge("raft.leader.dispatchNumLogs", "last_dispatch_entries", "Entries in the last append of the leader."),
		gauge("raft.leader.oldestLogAge", "oldest_entry_age_seconds", "Age of the oldest entry in the leader's log.").ms(),
		gauge("raft.fsm.lastRestoreDuration", "last_restore_seconds", "Time of the last restore of a snapshot.").ms(),
		gauge("raft.thread.main.saturation", "main_saturation_ratio", "Share of time in which raft's main goroutine works."),
		gauge("raft.thread.fsm.saturation", "fsm_saturation_ratio", "Share of time in which the FSM goroutine works."),

		timer("raft.commitTime", "commit_seconds", "From an entry's dispatch to its commit, on the leader."),
		timer("raft.leader.dispatchLog", "leader_append_seconds", "The leader's append to its own log, fsync included."),
		timer("raft.leader.lastContact", "leader_last_contact_seconds", "Age of the last contact with a follower, at each check of the lease."),
		timer("raft.rpc.appendEntries", "follower_append_entries_seconds", "Handling of AppendEntries on a follower."),
		timer("raft.rpc.appendEntries.storeLogs", "follower_append_seconds", "A follower's append to its log, fsync included."),
		timer("raft.rpc.appendEntries.processLogs", "follower_process_seconds", "Hand-over of committed entries to the FSM on a follower."),
		timer("raft.rpc.requestVote", "request_vote_seconds", "Handling of RequestVote and RequestPreVote."),
		timer("raft.rpc.installSnapshot", "install_snapshot_seconds", "Installation of a snapshot on a follower."),
		timer("raft.candidate.electSelf", "request_vote_rpc_seconds", "RequestVote to a peer, with its answer."),
		timer("raft.candidate.preElectSelf", "request_pre_vote_rpc_seconds", "RequestPreVote to a peer, with its answer."),
		timer("raft.replication.appendEntries.rpc", "replication_rpc_seconds", "AppendEntries to a peer, with its answer; not of pipelines.").by(peer),
		timer("raft.replication.heartbeat", "heartbeat_rpc_seconds", "A heartbeat to a peer, with its answer.").by(peer),
		timer("raft.replication.installSnapshot", "replication_snapshot_seconds", "Transfer of a snapshot to a peer.").by(peer),
		timer("raft.net.rpcEnqueue", "rpc_wait_seconds", "Wait of a request for raft's main goroutine.").by(rpc),
		timer("raft.net.rpcRespond", "rpc_answer_seconds", "From a request's hand-over to its answer.").by(rpc),

		timer("raft.fsm.enqueue", "fsm_enqueue_seconds", "Wait of committed entries for a place in the FSM's queue."),
		timer("raft.fsm.apply", "fsm_apply_seconds", "Application of one entry."),
		timer("raft.fsm.applyBatch", "fsm_apply_batch_seconds", "Application of a batch of entries."),
		timer("raft.fsm.snapshot", "fsm_snapshot_seconds", "Freezing of the state for a snapshot, during which nothing is applied."),
		timer("raft.fsm.restore", "fsm_restore_seconds", "Restores of a snapshot into the state machine."),
		sizes("raft.fsm.applyBatchNum", "fsm_apply_batch_entries", "Entries in a batch that was applied."),

		timer("raft.snapshot.create", "snapshot_create_seconds", "Beginning of a snapshot in the store."),
		timer("raft.snapshot.persist", "snapshot_persist_seconds", "Writing of a snapshot."),
		timer("raft.snapshot.takeSnapshot", "snapshot_seconds", "A whole snapshot, truncation of the log included."),
		timer("raft.compactLogs", "log_compaction_seconds", "Truncation of the log behind a snapshot."),
	}
}

func row(kind metricKind, key, name, help string) raftMetric {
	return raftMetric{kind: kind, key: strings.Split(key, "."), name: name, help: help, scale: 1}
}

func counter(key, name, help string) raftMetric { return row(counterKind, key, name, help) }
func gauge(key, name, help string) raftMetric   { return row(gaugeKind, key, name, help) }

// timer is a histogram of seconds from 50 µs, below one fsync, to 13 s, beyond
// every election timeout.
func timer(key, name, help string) raftMetric {
	m := row(histogramKind, key, name, help).ms()
	m.buckets = prometheus.ExponentialBuckets(50e-6, 2, 19)
	return m
}

// sizes is a histogram of small numbers.
func sizes(key, name, help string) raftMetric {
	m := row(histogramKind, key, name, help)
	m.buckets = prometheus.ExponentialBuckets(1, 2, 11)
	return m
}

// by keeps raft's label; its values are few: the peers, or the kinds of request.
func (m raftMetric) by(label string) raftMetric {
	m.label = label
	return m
}

// ms says that raft reports milliseconds where the metric has seconds.
func (m raftMetric) ms() raftMetric {
	m.scale = 1e-3
	return m
}

// promLabel spells raft's label the way Prometheus does.
func (m raftMetric) promLabel() []string {
	switch m.label {
	case "":
		return nil
	case "rpcType":
		return []string{"rpc"}
	}
	return []string{m.label}
}

// build makes the row's collector and the function that feeds it.
func (m raftMetric) build() (*metricsLeaf, prometheus.Collector) {
	name, scale := "purser_raft_"+m.name, m.scale
	leaf := &metricsLeaf{label: m.label}
	switch m.kind {
	case counterKind:
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: m.help}, m.promLabel())
		add := func(c prometheus.Counter, v float64) {
			if v > 0 { // a counter panics on less
				c.Add(v * scale)
			}
		}
		feed(leaf, c.WithLabelValues, add)
		return leaf, c
	case gaugeKind:
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: m.help}, m.promLabel())
		feed(leaf, g.WithLabelValues, func(g prometheus.Gauge, v float64) { g.Set(v * scale) })
		return leaf, g
	}
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: m.help, Buckets: m.buckets}, m.promLabel())
	feed(leaf, h.WithLabelValues, func(o prometheus.Observer, v float64) { o.Observe(v * scale) })
	return leaf, h
}

// feed sets leaf's function. Without a label the one series exists from the
// start, at zero.
func feed[M any](leaf *metricsLeaf, series func(...string) M, update func(M, float64)) {
	if leaf.label == "" {
		one := series()
		leaf.update = func(v float64) { update(one, v) }
		return
	}
	leaf.updateVec = func(label string, v float64) { update(series(label), v) }
}
