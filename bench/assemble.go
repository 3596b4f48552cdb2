package bench

import (
	"net"
	"runtime"
	"strconv"
	"time"
)

// assemble puts together what was counted in a run that took elapsed in all.
func (r *run) assemble(t *tally, responses times, elapsed time.Duration) Result {
	cfg := r.cfg
	result := Result{
		Format:     resultFormat,
		Loop:       "closed",
		Accepted:   t.paid(),
		Late:       t.late,
		Skipped:    t.skipped,
		Response:   newLatency(responses.Histogram),
		Series:     r.job.series.close(),
		Codes:      byStatus(&t.measured),
		Whole:      byStatus(&t.whole),
		Examples:   make(map[string]string),
		Replayed:   t.replayed,
		Duplicates: t.duplicates,
		Unknown: Unknown{
			Cut:        t.cut,
			Requests:   t.doubted,
			Resolved:   t.resolved,
			Unresolved: t.unresolved,
		},
		Chaos:   r.chaos,
		Nodes:   r.nodes.compare(r.before.nodes, r.after.nodes, t.paid()),
		Started: r.start.UTC(),
		Machine: thisMachine(cfg.Dir),
		Config:  cfg,
	}
	result.Generator = r.generator(result.Nodes)
	if t.refusal.TotalCount() > 0 {
		result.Refusal = newLatency(t.refusal.Histogram)
	}
	result.Service = result.Response
	if cfg.open() {
		result.Loop = "open"
		result.Service = newLatency(t.service.Histogram)
		result.Generator.Lag = newLatency(t.lag.Histogram)
	}
	result.rates(t, r.measured(t, elapsed))
	result.operations(r.job, t)
	result.outages(r, t, elapsed)
	for _, d := range t.open[:min(len(t.open), shownKeys)] {
		result.Unknown.Keys = append(result.Unknown.Keys, d.key)
	}
	for status, example := range t.examples {
		result.Examples[strconv.Itoa(status)] = example
	}
	return result
}

// paid counts the accepted payments and later events of payments.
func (t *tally) paid() (n uint64) {
	for k := pay; k < read; k++ {
		n += t.accepted[k]
	}
	return n
}

// measured returns how long the measured time was.
func (r *run) measured(t *tally, elapsed time.Duration) time.Duration {
	switch {
	case r.cfg.Requests > 0:
		return time.Duration(t.last)
	case elapsed < r.cfg.Warmup: // ended before measuring began
		return 0
	}
	return min(elapsed-r.cfg.Warmup, r.cfg.Duration)
}

// rates sets what is counted per second of the measured time.
func (r *Result) rates(t *tally, measured time.Duration) {
	r.Elapsed = measured.Seconds()
	offered := t.offered
	for k := range t.requests {
		r.Requests += t.requests[k]
	}
	if r.Loop == "closed" {
		for _, n := range t.measured {
			offered += n
		}
	}
	if measured > 0 {
		r.Throughput = float64(r.Accepted) / r.Elapsed
		r.Offered = float64(offered) / r.Elapsed
		r.Reads = float64(t.accepted[read]) / r.Elapsed
	}
}

func (r *Result) operations(j *job, t *tally) {
	for _, k := range j.kinds() {
		r.Operations = append(r.Operations, Operation{
			Kind:     k.String(),
			Requests: t.requests[k],
			Accepted: t.accepted[k],
			Response: newLatency(t.response[k].Histogram),
		})
	}
}

// outages finds the longest times without an acknowledgement.
func (r *Result) outages(run *run, t *tally, elapsed time.Duration) {
	from, to := run.job.warmup, int64(elapsed)
	if run.job.ends > 0 {
		to = min(to, run.job.ends)
	} else {
		to = t.last
	}
	r.Outage = t.moments.outage(from, to)
	for i := range r.Chaos {
		until := to
		if i+1 < len(r.Chaos) {
			until = int64(r.Chaos[i+1].At * 1e9)
		}
		r.Chaos[i].Outage = t.moments.outage(int64(r.Chaos[i].At*1e9), until)
	}
}

// shortest is the time below which the use of processors tells nothing.
const shortest = time.Second

// generator says how this process was doing in the measured time.
func (r *run) generator(nodes []Node) Generator {
	g := Generator{Version: r.cfg.Version, Threads: r.cfg.Threads}
	span := r.after.at.Sub(r.before.at)
	if span < shortest {
		return g
	}
	all := float64(span) * float64(g.Threads)
	own := r.after.processor - r.before.processor
	g.CPU = float64(own) / all
	g.Waited = float64(r.after.waited-r.before.waited) / all
	servers := 0.0
	for _, n := range nodes {
		servers += n.CPU
	}
	if machine := r.after.machine - r.before.machine; machine > 0 && (servers > 0 || !r.cfg.local()) {
		others := (machine - own).Seconds() / span.Seconds()
		if r.cfg.local() {
			others -= servers
		}
		g.Others = max(0, others/float64(runtime.NumCPU()))
	}
	return g
}

// local reports whether the servers are on this machine, as far as their
// addresses tell.
func (c Config) local() bool {
	for _, target := range c.Targets {
		host, err := hostPort(target)
		if err != nil {
			return false
		}
		name, _, _ := net.SplitHostPort(host)
		if ip := net.ParseIP(name); name != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
