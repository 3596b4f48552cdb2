package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// RatioResult compares a target with the ceiling under the same load.
type RatioResult struct {
	// Throughput and Ceiling are the medians of all rounds in payments/s, and
	// Ratio that of the rounds' ratios: each round is compared with itself, so
	// that a machine that is slower for a while slows both sides of a ratio.
	Throughput float64 `json:"throughput"`
	Ceiling    float64 `json:"ceiling"`
	Ratio      float64 `json:"ratio"`
	Rounds     []Round `json:"rounds"`
}

// Round is one run on the target and one on the empty handler, back to back.
type Round struct {
	Ratio   float64       `json:"ratio"` // throughput of Run / that of Ceiling.HTTP
	Run     Result        `json:"run"`
	Ceiling CeilingResult `json:"ceiling"`
}

// Ratio measures the target of cfg and the ceiling in turn, rounds times, with
// every second round the other way round. Setup funds enough for it, and the
// idempotency keys of a round are its own. The target idles while the ceiling
// is measured. Ratio fails if ctx ends before the last round does, or if the
// target accepts no payment in a round: without Setup, for example.
func Ratio(ctx context.Context, cfg Config, rounds int) (RatioResult, error) {
	if rounds < 1 {
		return RatioResult{}, fmt.Errorf("rounds %d: less than 1", rounds)
	}
	cfg = cfg.withDefaults()
	var r RatioResult
	for i := range rounds {
		round, err := measureRound(ctx, cfg, i)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return r, fmt.Errorf("round %d: %w", i+1, err)
		}
		r.Rounds = append(r.Rounds, round)
	}
	r.Throughput = median(r.Rounds, func(x Round) float64 { return x.Run.Throughput })
	r.Ceiling = median(r.Rounds, func(x Round) float64 { return x.Ceiling.HTTP.Throughput })
	r.Ratio = median(r.Rounds, func(x Round) float64 { return x.Ratio })
	return r, nil
}

func measureRound(ctx context.Context, cfg Config, i int) (x Round, err error) {
	cfg.KeyPrefix = fmt.Sprintf("%s-r%d", cfg.KeyPrefix, i)
	target := func() error {
		x.Run, err = Run(ctx, cfg)
		return err
	}
	ceiling := func() error {
		x.Ceiling, err = Ceiling(ctx, cfg)
		return err
	}
	order := []func() error{target, ceiling}
	if i%2 == 1 {
		slices.Reverse(order)
	}
	for _, measure := range order {
		if err := measure(); err != nil {
			return x, err
		}
	}
	if x.Run.Accepted == 0 {
		return x, fmt.Errorf("no payment was accepted: %v %v", x.Run.Codes, x.Run.Examples)
	}
	if x.Ceiling.HTTP.Throughput == 0 {
		return x, errors.New("the empty handler answered nothing in the measured time")
	}
	x.Ratio = x.Run.Throughput / x.Ceiling.HTTP.Throughput
	return x, nil
}

// median returns the middle value of the list, or the mean of the two.
func median[T any](list []T, value func(T) float64) float64 {
	values := make([]float64, 0, len(list))
	for _, x := range list {
		values = append(values, value(x))
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// JSON writes r as indented JSON.
func (r RatioResult) JSON(w io.Writer) error { return writeJSON(w, r) }

// Text writes r for people, the ratio first.
func (r RatioResult) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%.2f of the empty handler: %.0f of %.0f payments/s (medians of %d)\n",
		r.Ratio, r.Throughput, r.Ceiling, len(r.Rounds))
	fmt.Fprint(t, "round\tpayments/s\tp50 µs\tp99 µs\tceiling/s\tratio\tfdatasync p50 µs\t\n")
	for i, x := range r.Rounds {
		fmt.Fprintf(t, "%d\t%.0f\t%.0f\t%.0f\t%.0f\t%.2f\t%.0f\t\n", i+1, x.Run.Throughput,
			x.Run.Response.P50, x.Run.Response.P99, x.Ceiling.HTTP.Throughput, x.Ratio, x.Ceiling.Fdatasync.P50)
	}
	if err := t.Flush(); err != nil || len(r.Rounds) == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "machine: %s\n", r.Rounds[0].Run.Machine)
	return err
}
