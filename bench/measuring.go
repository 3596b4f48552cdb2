package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// measuring is a row being measured.
type measuring struct {
	cfg    Config // targets, times and directory; the rest is the row's
	keys   int    // key prefixes given out
	table  *Table
	result *RowResult
}

// note adds a figure to those that the row's figure is made of, or that explain it.
// What it returns is valid until the next note.
func (m *measuring) note(name string, value float64) *Figure {
	at := slices.IndexFunc(m.result.Figures, func(f Figure) bool { return f.Name == name })
	if at < 0 {
		at = len(m.result.Figures)
		m.result.Figures = append(m.result.Figures, Figure{Name: name})
	}
	f := &m.result.Figures[at]
	f.Rounds = append(f.Rounds, value)
	return f
}

// run puts a load on the server, changed from the standard one, and notes what
// it came to under a name. A load that is not measured validly, or of which
// nothing is accepted, is an error.
func (m *measuring) run(ctx context.Context, name string, change func(c *Config)) (Result, error) {
	cfg := m.cfg
	m.keys++
	cfg.KeyPrefix = fmt.Sprintf("%s-%s-%d", cfg.KeyPrefix, m.result.Name, m.keys)
	change(&cfg)
	if err := m.settle(ctx); err != nil {
		return Result{}, err
	}
	r, err := Run(ctx, cfg)
	switch {
	case err != nil:
	case ctx.Err() != nil:
		err = ctx.Err()
	case r.Verdict.Outcome == OutcomeInvalid || r.Verdict.Outcome == OutcomeBooksWrong:
		err = fmt.Errorf("%s: %v", r.Verdict.Outcome, r.Verdict.Reasons)
	case r.Accepted == 0:
		err = fmt.Errorf("no payment was accepted: %v %v", r.Codes, r.Examples)
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	m.note(name+", payments/s", r.Throughput)
	m.note(name+", p50 µs", r.Response.P50)
	m.note(name+", p99 µs", r.Response.P99)
	return r, nil
}

const (
	// busy is the share of a CPU from which on a server counts as busy without a load.
	busy = 0.05
	// settleTime bounds the wait for servers that stay busy.
	settleTime = 30 * time.Second
)

// settle waits until the servers are done with what the load before left behind:
// flushes, compactions, a snapshot. It would cost the next load, or the ceiling
// that this one is compared with. Servers that tell nothing are not waited for.
func (m *measuring) settle(ctx context.Context) error {
	n, err := m.cfg.withDefaults().findNodes(ctx)
	if err != nil {
		return ctx.Err()
	}
	defer n.client.close()
	for end := time.Now().Add(settleTime); ; {
		before := n.samples(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(m.table.Settle):
		}
		if !anyBusy(before, n.samples(ctx)) {
			return nil
		}
		if time.Now().After(end) {
			m.note("began beside a busy server", 1)
			return nil
		}
	}
}

func anyBusy(before, after []sample) bool {
	const cpu = "process_cpu_seconds_total"
	for i, s := range after {
		if s.metrics == nil || before[i].metrics == nil {
			continue
		}
		if s.metrics.since(before[i].metrics)[cpu] > busy*s.at.Sub(before[i].at).Seconds() {
			return true
		}
	}
	return false
}

// fdatasync measures the bare loop now, in microseconds.
func (m *measuring) fdatasync(ctx context.Context) (p50 float64, err error) {
	if err := m.settle(ctx); err != nil {
		return 0, err
	}
	cfg := m.cfg.withDefaults()
	f, err := measureFdatasync(ctx, cfg.Dir, cfg.Syncs)
	if err == nil && f.P50 == 0 {
		err = errors.New("fdatasync: no time")
	}
	m.note("fdatasync, p50 µs", f.P50)
	return f.P50, err
}

// ofCeiling measures a load and the empty handler back to back.
func (m *measuring) ofCeiling(ctx context.Context, change func(c *Config)) (Result, float64, error) {
	r, err := m.run(ctx, "server", change)
	if err != nil {
		return r, 0, err
	}
	cfg := m.cfg
	change(&cfg)
	if err := m.settle(ctx); err != nil {
		return r, 0, err
	}
	ceiling, err := emptyRun(ctx, cfg)
	if err == nil && ceiling.Throughput == 0 {
		err = errors.New("the empty handler answered nothing")
	}
	if err != nil {
		return r, 0, err
	}
	m.note("empty handler, payments/s", ceiling.Throughput)
	return r, r.Throughput / ceiling.Throughput, nil
}

// engine measures the engine without HTTP under the load of the rows of batches.
func (m *measuring) engine(ctx context.Context) (*Figure, error) {
	cfg := m.cfg
	batched(&cfg)
	if err := m.settle(ctx); err != nil {
		return nil, err
	}
	rate, err := m.table.Engine(ctx, cfg)
	return m.note("engine alone, payments/s", rate), err
}

// forgetPeak makes the next resident tell of what happens from now on.
func (m *measuring) forgetPeak() {
	if m.table.Peak != nil {
		m.table.Peak()
	}
}

// resident notes the most memory that the server had since it was last asked, or
// what it had after r where its system does not tell that; nil if neither is known.
func (m *measuring) resident(name string, r Result) *Figure {
	var bytes float64
	if m.table.Peak != nil {
		bytes = m.table.Peak()
	}
	if bytes == 0 && len(r.Nodes) > 0 {
		bytes = r.Nodes[0].Resident
	}
	if bytes == 0 {
		return nil
	}
	return m.note(name, bytes/1e6)
}
