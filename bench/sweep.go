package bench

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
)

// Sweep is what to vary over a row of runs: one of the two. With neither, the
// rates are parts of the highest throughput, which is measured first.
type Sweep struct {
	Rates       []float64 // of open loops
	Connections []int     // of closed loops
}

// SweepResult is a row of runs that differ in one setting.
type SweepResult struct {
	Over string `json:"over"` // "rate" or "connections"
	// Maximum is the closed loop that the rates are parts of; nil if they were given.
	Maximum *Result  `json:"maximum,omitempty"`
	Points  []Result `json:"points"`
	// Knee is the index of the point beyond which more load gains little: over
	// rates the last one that the server kept up with, over connections the one
	// with the highest power, which is throughput by response time (Kleinrock).
	// It is -1 if there is none.
	Knee int `json:"knee"`
}

// parts are the shares of the highest throughput that a sweep tries by itself.
var parts = []float64{0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.1}

// kept is the share of the offered operations that has to be accepted for a
// server to be called keeping up.
const kept = 0.98

// RunSweep makes the runs of s, which differ from cfg in what s varies; each is
// shown when it is done. Accounts must exist (Setup). An invalid point, or one that
// misses an objective, stays in the result and is not the knee.
func RunSweep(ctx context.Context, cfg Config, s Sweep, show func(Result)) (SweepResult, error) {
	cfg = cfg.withDefaults()
	r := SweepResult{Over: "rate", Knee: -1}
	if len(s.Connections) > 0 {
		r.Over = "connections"
		for i, n := range s.Connections {
			point := cfg
			point.Connections, point.Rate = n, 0
			point.Threads = min(cfg.Threads, n)
			if err := r.add(ctx, point, i, show); err != nil {
				return r, err
			}
		}
		r.Knee = powerKnee(r.Points)
		return r, nil
	}
	rates := s.Rates
	if len(rates) == 0 {
		most, err := pointRun(ctx, cfg, "-max", 0)
		if err != nil {
			return r, err
		}
		if most.Throughput+most.Reads == 0 {
			return r, fmt.Errorf("nothing was accepted: %v %v", most.Codes, most.Examples)
		}
		r.Maximum = &most
		show(most)
		for _, part := range parts {
			rates = append(rates, part*(most.Throughput+most.Reads))
		}
	}
	for i, rate := range rates {
		point := cfg
		point.Rate = rate
		if err := r.add(ctx, point, i, show); err != nil {
			return r, err
		}
	}
	r.Knee = rateKnee(r.Points)
	return r, nil
}

func (r *SweepResult) add(ctx context.Context, cfg Config, i int, show func(Result)) error {
	point, err := pointRun(ctx, cfg, fmt.Sprintf("-s%d", i), cfg.Rate)
	if err != nil {
		return err
	}
	r.Points = append(r.Points, point)
	show(point)
	return nil
}

// pointRun is one run under keys of its own. It fails if ctx ends before it does.
func pointRun(ctx context.Context, cfg Config, keys string, rate float64) (Result, error) {
	cfg.KeyPrefix += keys
	cfg.Rate = rate
	point, err := Run(ctx, cfg)
	if err == nil {
		err = ctx.Err()
	}
	return point, err
}

// rateKnee returns the last point of those, from the first on, that kept up.
func rateKnee(points []Result) int {
	knee := -1
	for i := range points {
		p := &points[i]
		if p.Verdict.Outcome != OutcomeOK || p.Skipped > 0 || p.Throughput+p.Reads < kept*p.Offered {
			break
		}
		knee = i
	}
	return knee
}

// powerKnee returns the point with the most throughput for its response time.
func powerKnee(points []Result) int {
	knee, most := -1, 0.0
	for i := range points {
		p := &points[i]
		if p.Verdict.Outcome != OutcomeOK || p.Response.Mean == 0 {
			continue
		}
		if power := (p.Throughput + p.Reads) / p.Response.Mean; power > most {
			knee, most = i, power
		}
	}
	return knee
}

// JSON writes r as indented JSON.
func (r SweepResult) JSON(w io.Writer) error { return writeJSON(w, r) }

// Text writes r for people.
func (r SweepResult) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s\taccepted/s\toffered/s\tp50 µs\tp99 µs\tmax µs\terrors\t  verdict\t\n", r.Over)
	if r.Maximum != nil {
		r.Maximum.sweepLine(t, fmt.Sprintf("%d connections", r.Maximum.Config.Connections), "")
	}
	for i := range r.Points {
		p, name, mark := &r.Points[i], "", ""
		if name = fmt.Sprint(p.Config.Connections); r.Over == "rate" {
			name = fmt.Sprintf("%.0f", p.Config.Rate)
		}
		if i == r.Knee {
			mark = " <- knee"
		}
		p.sweepLine(t, name, mark)
	}
	if err := t.Flush(); err != nil || len(r.Points) == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "machine: %s\n", r.Points[0].Machine)
	return err
}

func (r *Result) sweepLine(w io.Writer, name, mark string) {
	fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.2f%%\t  %s\t%s\n", name, r.Throughput+r.Reads, r.Offered,
		r.Response.P50, r.Response.P99, r.Response.Max, r.errorShare()*100, r.Verdict.Outcome, mark)
}
