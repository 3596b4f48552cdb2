package bench

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// nodes are the admin listeners of the servers under load.
type nodes struct {
	client client
	bases  []string
}

// nodeStatus is the part of a node's status that matters here.
type nodeStatus struct {
	Node    string `json:"node"`
	Role    string `json:"role"`
	Leader  string `json:"leader"`
	Applied uint64 `json:"applied_index"`
	Digest  string `json:"digest"`
	Shards  int    `json:"shards"`
	Version string `json:"version"`
}

// sample is what a node told at one moment.
type sample struct {
	status  nodeStatus
	metrics metrics
	at      time.Time
}

// findNodes returns the admin listeners of c: those that it names, which must
// answer, or else those that answer beside its targets. The caller closes the
// client.
func (c Config) findNodes(ctx context.Context) (*nodes, error) {
	n := &nodes{client: newClient(2), bases: c.Admins}
	for _, base := range c.Admins {
		if _, err := n.status(ctx, base); err != nil {
			n.client.close()
			return nil, err
		}
	}
	if len(c.Admins) > 0 {
		return n, nil
	}
	for _, target := range c.Targets {
		base, ok := nextPort(target)
		if !ok {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, time.Second) // somebody else may listen there, and be silent
		if _, err := n.status(ctx, base); err == nil {
			n.bases = append(n.bases, base)
		}
		cancel()
	}
	return n, nil
}

// nextPort returns the base URL of the port after that of a target.
func nextPort(target string) (base string, ok bool) {
	address, err := hostPort(target)
	if err != nil {
		return "", false
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", false
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return "http://" + net.JoinHostPort(host, strconv.FormatUint(port+1, 10)), err == nil
}

func (n *nodes) status(ctx context.Context, base string) (s nodeStatus, err error) {
	if err = n.client.call(ctx, http.MethodGet, base+"/admin/v1/status", nil, &s); err != nil {
		return s, fmt.Errorf("admin listener: %w", err)
	}
	return s, nil
}

// samples asks all nodes; one that does not answer has a zero sample.
func (n *nodes) samples(ctx context.Context) []sample {
	samples := make([]sample, len(n.bases))
	for i, base := range n.bases {
		status, err := n.status(ctx, base)
		if err != nil {
			continue
		}
		resp, err := n.client.do(ctx, http.MethodGet, base+"/metrics", nil)
		if err != nil || resp.status != http.StatusOK {
			continue
		}
		samples[i] = sample{status, parseMetrics(string(resp.body)), time.Now()}
	}
	return samples
}

// compare returns what the nodes did between two samples, in which so many
// payments were accepted.
func (n *nodes) compare(before, after []sample, accepted uint64) []Node {
	var list []Node
	for i, base := range n.bases {
		node := Node{Admin: base}
		if after[i].metrics != nil {
			s := after[i].status
			node.ID, node.Role, node.Version, node.Shards = s.Node, s.Role, s.Version, s.Shards
			node.Resident = after[i].metrics["process_resident_memory_bytes"]
		}
		if after[i].metrics != nil && before[i].metrics != nil {
			m := after[i].metrics.since(before[i].metrics)
			node.measure(m, after[i].at.Sub(before[i].at), accepted)
		}
		list = append(list, node)
	}
	return list
}

func (n *Node) measure(m metrics, span time.Duration, accepted uint64) {
	n.Commit = m.time("purser_engine_commit_seconds")
	n.Queue = m.time("purser_engine_queue_seconds")
	n.Sync = m.time("purser_wal_sync_seconds")
	if entries := m["purser_engine_entry_commands_count"]; entries > 0 {
		n.EntryCommands = m["purser_engine_entry_commands_sum"] / entries
	}
	cpu := m["process_cpu_seconds_total"]
	n.CPU = cpu / span.Seconds()
	if accepted > 0 {
		n.Allocations = m["go_memstats_mallocs_total"] / float64(accepted)
		n.CPUPerPayment = cpu / float64(accepted) * 1e6
	}
	for reason, count := range m.labelled("purser_engine_refused_total", "reason") {
		if count > 0 {
			if n.Refused == nil {
				n.Refused = make(map[string]uint64)
			}
			n.Refused[reason] = uint64(count)
		}
	}
}
