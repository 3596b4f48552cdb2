package bench

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// Table says how to measure the standard table. The zero value of a field is
// its default.
type Table struct {
	// Rows are the names of the rows to measure. Default: all but those that take
	// very long.
	Rows []string
	// Rounds is how often each row is measured. Default 5.
	Rounds int
	// Sustained is the number of payments of the row of that name. Default 100
	// million.
	Sustained int
	// Settle is for how long the servers have to be idle before each run. Default 1 s.
	Settle time.Duration
	// Restart kills the server, starts it again, and returns how long that took
	// until it was ready. Default nil: the row is left out.
	Restart func(ctx context.Context) (time.Duration, error)
	// Engine measures what the engine does without HTTP, in payments/s, under a load
	// of which it takes the batches, connections and times. Default nil: the row is
	// left out.
	Engine func(ctx context.Context, load Config) (float64, error)
	// Peak returns the most memory, in bytes, that the server had resident since the
	// call before, or 0 if that is not known. Default nil: memory is looked at after
	// each run.
	Peak func() float64
	// Show, if set, is told of every figure when it is measured.
	Show func(row string, round int, figure float64)
}

// Validate returns what is wrong with t, or nil.
func (t Table) Validate() error {
	if t.Rounds < 0 || t.Sustained < 0 || t.Settle < 0 {
		return fmt.Errorf("rounds %d, sustained %d, settle %v: negative", t.Rounds, t.Sustained, t.Settle)
	}
	_, err := rowsNamed(t.Rows)
	return err
}

// TableResult is the standard table as it was measured.
type TableResult struct {
	Started time.Time   `json:"started"`
	Version string      `json:"version"` // of the program: the commit
	Machine Machine     `json:"machine"`
	Seconds float64     `json:"seconds_per_run"`
	Rows    []RowResult `json:"rows"`
}

// RowResult is one row.
type RowResult struct {
	Name   string    `json:"name"`
	What   string    `json:"what"`
	Unit   string    `json:"unit"`
	Figure float64   `json:"figure"` // median of the rounds
	Rounds []float64 `json:"rounds"`
	Goal   float64   `json:"goal"`
	AtMost bool      `json:"at_most,omitempty"` // the goal is an upper bound
	Met    bool      `json:"met"`
	// Figures are what the rounds were made of, and what explains them.
	Figures []Figure `json:"figures"`
	// Error says why the row has fewer rounds than wanted, or none: the last one's.
	Error string `json:"error,omitempty"`
}

// Figure is the median of a figure, and the rounds.
type Figure struct {
	Name   string    `json:"name"`
	Median float64   `json:"median"`
	Rounds []float64 `json:"rounds"`
	// AtMost, if not 0, is what the median may be for the row's goal to be met.
	AtMost float64 `json:"at_most,omitempty"`
}

// MeasureTable measures the rows of t on the server of cfg, round by round: the
// rows of a round one after the other, each with the ceilings that it is
// compared with. Each run begins when the server is done with what the one before
// left behind. Of cfg it takes what does not make the load: targets, times, the
// directory on the server's disk. A row says why a round of it failed, and has the
// others; the error is that of ctx, or of the accounts.
func MeasureTable(ctx context.Context, cfg Config, t Table) (TableResult, error) {
	if err := t.Validate(); err != nil {
		return TableResult{}, err
	}
	setDefault(&t.Rounds, 5)
	setDefault(&t.Sustained, 100_000_000)
	setDefault(&t.Settle, time.Second)
	if cfg.Requests == 0 {
		setDefault(&cfg.Duration, tableDuration)
	}
	list, _ := rowsNamed(t.Rows) // valid
	cfg.KeyPrefix = cfg.withDefaults().KeyPrefix
	cfg.Source = cfg.withDefaults().Source
	if err := t.setup(ctx, cfg, list); err != nil {
		return TableResult{}, err
	}
	r := TableResult{
		Started: time.Now().UTC(), Version: cfg.Version, Seconds: cfg.Duration.Seconds(),
		Machine: thisMachine(cfg.withDefaults().Dir),
	}
	for _, row := range list {
		r.Rows = append(r.Rows, RowResult{Name: row.name, What: row.what, Unit: row.unit, Goal: row.goal, AtMost: row.atMost})
	}
	for round := range t.Rounds {
		for i, row := range list {
			if row.once && round < t.Rounds-1 {
				continue
			}
			if err := t.round(ctx, cfg, row, &r.Rows[i], round); err != nil {
				return r, err
			}
		}
	}
	for i := range r.Rows {
		r.Rows[i].finish()
	}
	r.Rows = slices.DeleteFunc(r.Rows, func(x RowResult) bool { return x.Error == "" && len(x.Rounds) == 0 })
	return r, nil
}

// setup makes the accounts that the rows need.
func (t *Table) setup(ctx context.Context, cfg Config, list []row) error {
	if err := Setup(ctx, cfg); err != nil {
		return err
	}
	if !slices.ContainsFunc(list, func(r row) bool { return r.many }) {
		return nil
	}
	many(&cfg)
	return Setup(ctx, cfg)
}

// round measures a row once. Its error is that of ctx.
func (t *Table) round(ctx context.Context, cfg Config, row row, result *RowResult, round int) error {
	cfg.KeyPrefix = fmt.Sprintf("%s-r%d", cfg.KeyPrefix, round)
	figure, err := row.measure(ctx, &measuring{cfg: cfg, table: t, result: result})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		result.Error = err.Error()
	case !math.IsNaN(figure):
		result.Rounds = append(result.Rounds, figure)
	}
	if t.Show != nil {
		t.Show(row.name, round+1, figure)
	}
	return nil
}

// finish takes the medians.
func (r *RowResult) finish() {
	for i := range r.Figures {
		r.Figures[i].Median = median(r.Figures[i].Rounds, identity)
	}
	if len(r.Rounds) == 0 {
		return
	}
	r.Figure = median(r.Rounds, identity)
	r.Met = r.Figure >= r.Goal
	if r.AtMost {
		r.Met = r.Figure <= r.Goal
	}
	for _, f := range r.Figures {
		r.Met = r.Met && (f.AtMost == 0 || f.Median <= f.AtMost)
	}
}

func identity(x float64) float64 { return x }

// JSON writes r as indented JSON.
func (r TableResult) JSON(w io.Writer) error { return writeJSON(w, r) }

// Text writes r as a table in Markdown.
func (r TableResult) Text(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, version %s, %s. Medians of rounds, %.0f s a run; the generator on the same machine.\n\n",
		r.Started.Format(time.DateOnly), r.Version, r.Machine, r.Seconds)
	b.WriteString("| row | what | figure | goal | rounds | made of (medians) |\n|---|---|---|---|---|---|\n")
	for _, x := range r.Rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", x.Name, x.What, x.figure(), x.goal(), numbers(x.Rounds), x.figures())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *RowResult) figure() string {
	if len(r.Rounds) == 0 {
		return "failed: " + r.Error
	}
	text := shortNumber(r.Figure) + " " + r.Unit
	if !r.Met {
		text += " (missed)"
	}
	if r.Error != "" {
		text += "; a round failed: " + r.Error
	}
	return text
}

func (r *RowResult) goal() string {
	if r.AtMost {
		return "≤ " + shortNumber(r.Goal)
	}
	return "≥ " + shortNumber(r.Goal)
}

func (r *RowResult) figures() string {
	var parts []string
	for _, f := range r.Figures {
		text := f.Name + " " + shortNumber(f.Median)
		if f.AtMost != 0 {
			text += " (≤ " + shortNumber(f.AtMost) + ")"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

func numbers(values []float64) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = shortNumber(v)
	}
	return strings.Join(parts, ", ")
}

// shortNumber writes about three digits.
func shortNumber(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
