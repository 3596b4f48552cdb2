package raftfsm

import (
	"strconv"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"purser/internal/store"
	"purser/wal"
)

// nodeMetrics holds the instruments of the log and the snapshots; Node collects
// them together with what it reads from the state.
type nodeMetrics struct {
	walWrite, walSync prometheus.Histogram
	walBytes          prometheus.Counter
	walEntries        prometheus.Counter
	snapshotSeconds   prometheus.Histogram
}

func newNodeMetrics() *nodeMetrics {
	disk := prometheus.ExponentialBuckets(20e-6, 2, 18)
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &nodeMetrics{
		walWrite:        histogram("purser_wal_write_seconds", "Time to hand one append to the file.", disk),
		walSync:         histogram("purser_wal_sync_seconds", "Time of the fdatasync of one append.", disk),
		walBytes:        counter("purser_wal_written_bytes_total", "Bytes appended to the log, framing included."),
		walEntries:      counter("purser_wal_entries_total", "Entries appended to the log."),
		snapshotSeconds: histogram("purser_snapshot_seconds", "Time to take a snapshot.", prometheus.ExponentialBuckets(0.01, 2, 14)),
	}
}

// append observes one append to the log, on the goroutine that appends.
func (m *nodeMetrics) append(a wal.Append) {
	m.walWrite.Observe(a.Write.Seconds())
	m.walSync.Observe(a.Sync.Seconds())
	m.walBytes.Add(float64(a.Bytes))
	m.walEntries.Add(float64(a.Entries))
}

func (m *nodeMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.walWrite, m.walSync, m.walBytes, m.walEntries, m.snapshotSeconds}
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	leaderDesc      = describe("purser_node_leading", "1 while this node leads and serves, 0 otherwise.")
	divergedDesc    = describe("purser_node_diverged", "1 once this node's results differ from the leader's: it serves nothing, 0 otherwise.")
	membersDesc     = describe("purser_cluster_members", "Members of the cluster, learners included.")
	termDesc        = describe("purser_node_term", "Raft term.")
	appliedDesc     = describe("purser_node_applied_index", "Index of the last entry applied.")
	commitDesc      = describe("purser_node_commit_index", "Index of the last entry committed.")
	sequenceDesc    = describe("purser_ledger_sequence", "Last ledger sequence number given.")
	digestDesc      = describe("purser_ledger_digest", "Running digest of all results, folded to 32 bits: equal at equal applied index on all nodes.")
	nextDueDesc     = describe("purser_ledger_next_expiry_timestamp_seconds", "When the next open hold lapses, 0 if there is none.")
	unsavedDesc     = describe("purser_snapshot_unsaved_bytes", "Size of the entries applied since the last snapshot.")
	walSegmentsDesc = describe("purser_wal_segments", "Segment files of the log.")
	walSizeDesc     = describe("purser_wal_size_bytes", "Size of the log's segment files.")
	accountsDesc    = describe("purser_shard_accounts", "Accounts of a shard.", "shard")
	pagesDesc       = describe("purser_shard_pages", "Pages of a shard.", "shard")
	shardBytesDesc  = describe("purser_shard_memory_bytes", "Memory for the accounts of a shard.", "shard")
	commandsDesc    = describe("purser_shard_commands_total", "Commands that a shard took part in.", "shard")
	parksDesc       = describe("purser_shard_parks_total", "Times a shard parked to wait for another.", "shard")
	copiedDesc      = describe("purser_shard_pages_copied_total", "Pages copied because a checkpoint had captured them.", "shard")
	keysDesc        = describe("purser_keys_remembered", "Idempotency keys in the index, some of them expired.")
	keyRunsDesc     = describe("purser_keys_runs", "Sealed runs of idempotency keys.")
	keyBytesDesc    = describe("purser_keys_memory_bytes", "Memory for the index of idempotency keys.")
	readsDesc       = describe("purser_shard_reads_waiting", "Reads that wait for a shard.", "shard")
)

var nodeDescs = []*prometheus.Desc{
	leaderDesc, divergedDesc, membersDesc, termDesc, appliedDesc, commitDesc, sequenceDesc, digestDesc, nextDueDesc, unsavedDesc,
	walSegmentsDesc, walSizeDesc, accountsDesc, pagesDesc, shardBytesDesc, commandsDesc, parksDesc, copiedDesc, readsDesc,
	keysDesc, keyRunsDesc, keyBytesDesc,
}

// Describe implements prometheus.Collector.
func (n *Node) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range n.metrics.all() {
		c.Describe(ch)
	}
	for _, d := range nodeDescs {
		ch <- d
	}
	store.Collector{}.Describe(ch)
	n.port.Describe(ch)
}

// Collect implements prometheus.Collector.
func (n *Node) Collect(ch chan<- prometheus.Metric) {
	for _, c := range n.metrics.all() {
		c.Collect(ch)
	}
	set := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	n.port.Collect(ch)
	leading := 0.0
	if n.serving.Load() {
		leading = 1
	}
	set(leaderDesc, leading)
	diverged := 0.0
	if n.Diverged() != nil {
		diverged = 1
	}
	set(divergedDesc, diverged)
	set(membersDesc, float64(len(n.book.all())))
	set(termDesc, float64(n.raft.CurrentTerm()))
	set(commitDesc, float64(n.raft.CommitIndex()))
	log := n.log.Stats()
	set(walSegmentsDesc, float64(log.Segments))
	set(walSizeDesc, float64(log.Bytes))
	set(unsavedDesc, float64(n.fsm.unsaved.bytes.Load()))
	_ = n.fsm.use(func(m *machine) error { // without a state there is nothing more to tell
		at := m.position()
		set(appliedDesc, float64(at.Index))
		set(sequenceDesc, float64(at.Seq))
		set(digestDesc, float64(uint32(at.Digest^at.Digest>>32)))
		set(nextDueDesc, float64(at.NextDue)/1e6)
		for i, s := range m.group.Stats() {
			shard := strconv.Itoa(i)
			set(accountsDesc, float64(s.Accounts), shard)
			set(pagesDesc, float64(s.Pages), shard)
			set(shardBytesDesc, float64(s.Bytes+s.Retained), shard)
			set(readsDesc, float64(s.ReadsWaiting), shard)
			count(commandsDesc, s.Commands, shard)
			count(parksDesc, s.Parks, shard)
			count(copiedDesc, s.PagesCopied, shard)
		}
		keys := m.keys.Stats()
		set(keysDesc, float64(keys.InMemory+keys.Sealed))
		set(keyRunsDesc, float64(keys.Runs))
		set(keyBytesDesc, float64(keys.Bytes))
		m.store.Collector().Collect(ch)
		return nil
	})
}

// Status is the state of a node at one moment.
type Status struct {
	Node         string
	Role         string // leader, follower or candidate
	Leader       string // id of the leader, "" if none is known
	Term         uint64
	CommitIndex  uint64
	AppliedIndex uint64 // of the last command entry, which Digest belongs to
	Behind       uint64 // entries committed, as far as this node or its leader knows, and not applied here
	Unheard      error  // why a follower does not know how far its leader is, nil if it does
	Sequence     uint64
	Digest       string
	Shards       int
	Cluster      string // its name; "" for a node that is in none
	Format       int    // in use: of what is written
	Formats      int    // the newest that this node reads
	Forming      string // why the node is in no cluster, "" if it is
	Diverged     error  // why it serves nothing, nil if it does
	Members      []Member
}

// Member is a member of the cluster.
type Member struct {
	ID          string
	RaftAddress string
	APIAddress  string
	Voter       bool
	Formats     int     // newest format that it has announced; 0 for none
	Lag         *uint64 // log entries behind the leader; nil if this is not the leader, which knows
	Reachable   *bool   // it answered the leader's last question; nil if this is not the leader
}

// Status returns the present state of the node.
func (n *Node) Status() Status {
	_, leader := n.raft.LeaderWithID()
	s := Status{
		Node:        n.cfg.NodeID,
		Role:        role(n.raft.State()),
		Leader:      string(leader),
		Term:        n.raft.CurrentTerm(),
		CommitIndex: n.raft.CommitIndex(),
		Shards:      n.cfg.Shards,
	}
	committed := s.CommitIndex
	if s.Leader != "" && s.Leader != s.Node {
		var told uint64
		told, s.Unheard = n.told.of(s.Leader)
		committed = max(committed, told)
	}
	s.Behind = committed - min(committed, n.raft.AppliedIndex())
	_ = n.fsm.use(func(m *machine) error { // without a state there is nothing more to tell
		at := m.position()
		s.AppliedIndex, s.Sequence, s.Digest = at.Index, at.Seq, formatDigest(at.Digest)
		return nil
	})
	state := n.fsm.membership()
	s.Cluster, s.Format, s.Formats = *n.identity.cluster.Load(), state.format(), n.cfg.newest
	s.Forming, s.Diverged = n.Forming(), n.Diverged()
	if now, err := n.configuration(); err == nil {
		s.Members = n.members(now, state)
	}
	return s
}

func (n *Node) members(now raft.Configuration, state *membership) (list []Member) {
	known, last := n.progress.get(), n.raft.LastIndex()
	for _, server := range now.Servers {
		record, _ := state.find(string(server.ID))
		m := Member{
			ID: string(server.ID), RaftAddress: string(server.Address), APIAddress: record.APIAddr,
			Voter: server.Suffrage == raft.Voter, Formats: record.Formats,
		}
		if known != nil {
			p, reachable := known[m.ID]
			lag := last - min(p.Applied, last)
			if m.ID == n.cfg.NodeID {
				lag, reachable = 0, true
			}
			m.Lag, m.Reachable = &lag, &reachable
		}
		list = append(list, m)
	}
	return list
}

func role(s raft.RaftState) string {
	switch s {
	case raft.Leader:
		return "leader"
	case raft.Candidate:
		return "candidate"
	}
	return "follower"
}

// State returns the replicated state for reading.
func (n *Node) State() *FSM { return n.fsm }
