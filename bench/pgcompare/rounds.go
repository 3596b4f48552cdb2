package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"purser/bench"
)

// comparison runs the rounds on both servers.
type comparison struct {
	generator
	database    *database
	ledger      *ledger
	log         io.Writer // progress
	connections []int
	pools       []int // sizes to choose from
	rounds      int
}

// row is one line of the table.
type row struct {
	load        load
	connections int
	pool        int // connections between the service and PostgreSQL
	postgres    []bench.Result
	purser      []bench.Result
}

// run measures every row once per round, PostgreSQL and Purser in turn and every
// second round the other way round: what slows the machine for a while slows
// both.
func (c *comparison) run(ctx context.Context, loads []load) ([]*row, error) {
	var rows []*row
	for _, l := range loads {
		pool, err := c.tune(ctx, l)
		if err != nil {
			return nil, err
		}
		for _, n := range c.connections {
			rows = append(rows, &row{load: l, connections: n, pool: pool})
		}
	}
	for i := range c.rounds {
		for _, r := range rows {
			turns := []func(context.Context, *row, int) error{c.measurePostgres, c.measurePurser}
			if i%2 == 1 {
				slices.Reverse(turns)
			}
			for _, turn := range turns {
				if err := turn(ctx, r, i); err != nil {
					return nil, err
				}
			}
			fmt.Fprintf(c.log, "round %d: %s, %d connections: PostgreSQL %.0f/s, Purser %.0f/s\n", i+1,
				r.load.name, r.connections, r.postgres[i].Throughput, r.purser[i].Throughput)
		}
	}
	return rows, nil
}

// tune returns the pool size with which PostgreSQL is fastest under l.
func (c *comparison) tune(ctx context.Context, l load) (int, error) {
	if len(c.pools) == 1 {
		return c.pools[0], nil
	}
	speeds := map[int]float64{}
	var said []string
	for _, pool := range c.pools {
		m, err := c.throughService(ctx, l, slices.Max(c.connections), pool, fmt.Sprintf("tune-%d", pool))
		if err != nil {
			return 0, err
		}
		speeds[pool] = m.Throughput
		said = append(said, fmt.Sprintf("%d: %.0f/s", pool, m.Throughput))
	}
	best := slices.MaxFunc(c.pools, func(a, b int) int { return cmp.Compare(speeds[a], speeds[b]) })
	fmt.Fprintf(c.log, "%s: connections to PostgreSQL %s; the rounds have %d\n", l.name, strings.Join(said, ", "), best)
	return best, nil
}

func (c *comparison) measurePostgres(ctx context.Context, r *row, round int) error {
	m, err := c.throughService(ctx, r.load, r.connections, r.pool, fmt.Sprintf("round-%d-%d", round+1, r.connections))
	r.postgres = append(r.postgres, m)
	return err
}

// throughService measures PostgreSQL, and looks for every payment that was
// acknowledged.
func (c *comparison) throughService(ctx context.Context, l load, connections, pool int, name string) (m bench.Result, err error) {
	s, err := startService(ctx, c.database.connection, pool)
	if err != nil {
		return m, err
	}
	defer func() {
		if stopping := s.stop(); err == nil {
			err = stopping
		}
	}()
	prefix := c.prefix(l, name)
	if m, err = c.generator.run(ctx, s.target(), l, connections, prefix); err != nil {
		return m, fmt.Errorf("service over PostgreSQL: %w", err)
	}
	// Keys of payments have the connection's number after the prefix, those of
	// the funding have a word.
	made, err := c.database.payments(ctx, prefix+"-0")
	if err != nil {
		return m, err
	}
	if said := m.Whole["201"]; uint64(made) != said {
		return m, fmt.Errorf("%d payments are in PostgreSQL, of %d that were acknowledged", made, said)
	}
	return m, nil
}

func (c *comparison) measurePurser(ctx context.Context, r *row, round int) error {
	m, err := c.generator.run(ctx, c.ledger.target, r.load, r.connections,
		c.prefix(r.load, fmt.Sprintf("round-%d-%d", round+1, r.connections)))
	if err != nil {
		return c.ledger.explain(err)
	}
	r.purser = append(r.purser, m)
	return nil
}

// prefix is the start of the idempotency keys of a run.
func (c *comparison) prefix(l load, name string) string {
	first, _, _ := strings.Cut(l.name, " ")
	return first + "-" + name
}
