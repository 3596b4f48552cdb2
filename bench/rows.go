package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// row is one line of the standard table: what is measured, and the goal for it.
type row struct {
	name, what string
	unit       string  // of the figure
	goal       float64 // at least this, or at most
	atMost     bool
	once       bool // not in rounds: it takes long, or changes the server
	asked      bool // only when asked for by name
	many       bool // needs the accounts of the rows over many
	measure    func(ctx context.Context, m *measuring) (figure float64, err error)
}

const (
	// manyAccounts is the number of accounts of the rows over many.
	manyAccounts = 1_000_000
	// batchHotGoal is that of batches on a hot account, unless the share engineShare
	// of what the engine does without HTTP is higher.
	batchHotGoal = 500_000
	engineShare  = 0.8
	// allocationsGoal is a little more than was measured last, 0.60 with 66 payments
	// in an entry: it may fall, and not rise.
	allocationsGoal = 0.8
	// stallGoal in milliseconds and residentGoal in bytes bound a sustained load.
	stallGoal    = 250
	residentGoal = 3 << 30
)

// rows are the standard table, in its order.
var rows = []row{
	{
		name: "hot", what: "one hot account, one payment per request, 256 connections",
		unit: "of the empty handler", goal: 0.70, measure: hotRow,
	}, {
		name: "uniform", what: "the same, 1 million accounts, uniform, both accounts real",
		unit: "of the empty handler", goal: 0.55, many: true, measure: uniformRow,
	}, {
		name: "single", what: "one client, one payment at a time: p50",
		unit: "x fdatasync p50", goal: 2.2, atMost: true, measure: singleRow,
	}, {
		name: "half", what: "open loop at half of the maximum: p99",
		unit: "x fdatasync p50", goal: 12, atMost: true, measure: halfRow,
	}, {
		name: "batch-hot", what: "batches of 1000, hot account",
		unit: "payments/s", goal: batchHotGoal, measure: batchHotRow,
	}, {
		name: "batch-uniform", what: "batches of 1000, uniform over 1 million accounts",
		unit: "payments/s", goal: 300_000, many: true, measure: batchUniformRow,
	}, {
		name: "engine", what: "engine alone, without HTTP: raft, log and store, batches of 1000, hot account",
		unit: "payments/s", goal: 1_000_000, measure: engineRow,
	}, {
		name: "reads", what: "half of the load linearizable reads: cost of a read",
		unit: "of a payment's", goal: 1, atMost: true, measure: readsRow,
	}, {
		name: "overload", what: "3x the maximum offered, in batches: accepted",
		unit: "of the maximum", goal: 0.9, measure: overloadRow,
	}, {
		name: "allocations", what: "cost per payment: allocations on the server, one hot account, 256 connections",
		unit: "a payment", goal: allocationsGoal, atMost: true, measure: allocationsRow,
	}, {
		name: "sustained", what: "100 million payments in batches, 1 million accounts: last tenth",
		unit: "of the first", goal: 0.8, once: true, asked: true, many: true, measure: sustainedRow,
	}, {
		name: "restart", what: "kill -9 after all that, until ready",
		unit: "s", goal: 10, atMost: true, once: true, measure: restartRow,
	},
}

func hotRow(ctx context.Context, m *measuring) (float64, error) {
	_, ratio, err := m.ofCeiling(ctx, func(*Config) {})
	return ratio, err
}

func allocationsRow(ctx context.Context, m *measuring) (float64, error) {
	r, err := m.run(ctx, "server", func(*Config) {})
	if err != nil {
		return 0, err
	}
	if len(r.Nodes) == 0 {
		return 0, errors.New("no admin listener tells")
	}
	m.note("CPU per payment, µs", r.Nodes[0].CPUPerPayment)
	return r.Nodes[0].Allocations, nil
}

func many(c *Config) { c.Accounts, c.Destination = manyAccounts, c.Source }

func uniformRow(ctx context.Context, m *measuring) (float64, error) {
	_, ratio, err := m.ofCeiling(ctx, many)
	return ratio, err
}

func singleRow(ctx context.Context, m *measuring) (float64, error) {
	sync, err := m.fdatasync(ctx)
	if err != nil {
		return 0, err
	}
	r, err := m.run(ctx, "server", func(c *Config) { c.Connections = 1 })
	return r.Response.P50 / sync, err
}

func halfRow(ctx context.Context, m *measuring) (float64, error) {
	most, err := m.run(ctx, "maximum", func(*Config) {})
	if err != nil {
		return 0, err
	}
	sync, err := m.fdatasync(ctx)
	if err != nil {
		return 0, err
	}
	r, err := m.run(ctx, "half", func(c *Config) { c.Rate = most.Throughput / 2 })
	return r.Response.P99 / sync, err
}

// batched is the load of the rows of batches: a few connections keep the server
// busy.
func batched(c *Config) { c.Batch, c.Connections = 1000, 8 }

func batchHotRow(ctx context.Context, m *measuring) (float64, error) {
	r, _, err := m.ofCeiling(ctx, batched)
	if err != nil || m.table.Engine == nil {
		return r.Throughput, err
	}
	alone, err := m.engine(ctx)
	m.result.Goal = max(batchHotGoal, engineShare*median(alone.Rounds, identity))
	return r.Throughput, err
}

func batchUniformRow(ctx context.Context, m *measuring) (float64, error) {
	r, _, err := m.ofCeiling(ctx, func(c *Config) { batched(c); many(c) })
	return r.Throughput, err
}

func engineRow(ctx context.Context, m *measuring) (float64, error) {
	if m.table.Engine == nil {
		return math.NaN(), nil
	}
	if _, err := m.fdatasync(ctx); err != nil {
		return 0, err
	}
	alone, err := m.engine(ctx)
	return alone.Rounds[len(alone.Rounds)-1], err
}

// readsRow solves the cost of a read from the rates of payments alone and of
// half payments, half reads: 2/mixed = 1/payments + read.
func readsRow(ctx context.Context, m *measuring) (float64, error) {
	alone, err := m.run(ctx, "payments alone", func(*Config) {})
	if err != nil {
		return 0, err
	}
	mixed, err := m.run(ctx, "with reads", func(c *Config) { c.Mix = "pay=50,read=50" })
	if err != nil {
		return 0, err
	}
	m.note("with reads, reads/s", mixed.Reads)
	return 2*alone.Throughput/(mixed.Throughput+mixed.Reads) - 1, nil
}

// overloadRow offers so much in batches that more wait than the server lets.
func overloadRow(ctx context.Context, m *measuring) (float64, error) {
	m.forgetPeak()
	most, err := m.run(ctx, "maximum", batched)
	if err != nil {
		return 0, err
	}
	m.resident("maximum, resident MB", most)
	r, err := m.run(ctx, "overload", func(c *Config) {
		batched(c)
		c.Connections, c.Rate = 256, 3*most.Throughput
	})
	if err != nil {
		return 0, err
	}
	m.note("overload, 503/s", float64(r.Codes["503"])/r.Elapsed)
	m.note("503 after, p50 µs", r.Refusal.P50)
	m.note("503 after, p99 µs", r.Refusal.P99)
	m.note("overload, skipped requests", float64(r.Skipped))
	m.resident("overload, resident MB", r)
	return r.Throughput / most.Throughput, nil
}

func sustainedRow(ctx context.Context, m *measuring) (float64, error) {
	m.forgetPeak()
	r, err := m.run(ctx, "server", func(c *Config) {
		batched(c)
		many(c)
		c.Requests, c.Duration, c.Warmup = m.table.Sustained/c.Batch, 0, 0
	})
	if err != nil {
		return 0, err
	}
	m.note("payments", float64(r.Accepted))
	m.note("longest stall, ms", r.Outage.MS).AtMost = stallGoal
	if f := m.resident("resident MB", r); f != nil {
		f.AtMost = residentGoal / 1e6
	}
	return tenths(r.Series)
}

// tenths returns the rate of the last tenth of the seconds by that of the first.
// The very last second is left out: it is not whole.
func tenths(seconds []Second) (float64, error) {
	n := (len(seconds) - 1) / 10
	if n < 1 {
		return 0, errors.New("shorter than ten seconds")
	}
	sum := func(part []Second) (total float64) {
		for _, s := range part {
			total += float64(s.Accepted)
		}
		return total
	}
	return sum(seconds[len(seconds)-1-n:len(seconds)-1]) / sum(seconds[:n]), nil
}

func restartRow(ctx context.Context, m *measuring) (float64, error) {
	if m.table.Restart == nil {
		return math.NaN(), nil
	}
	took, err := m.table.Restart(ctx)
	m.resident("resident MB", Result{})
	return took.Seconds(), err
}

// rowsNamed returns the rows of these names in the table's order, all but those
// that have to be asked for without any.
func rowsNamed(names []string) ([]row, error) {
	var list []row
	for _, r := range rows {
		if slices.Contains(names, r.name) || len(names) == 0 && !r.asked {
			list = append(list, r)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.name == name }) {
			return nil, fmt.Errorf("no row %q: want some of %v", name, RowNames())
		}
	}
	return list, nil
}

// RowNames returns the names of all rows of the standard table.
func RowNames() []string {
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.name
	}
	return names
}

// tableDuration is the measured time of each run of the table by default.
const tableDuration = 5 * time.Second
