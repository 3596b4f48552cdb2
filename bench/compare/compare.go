package compare

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"purser/bench"
)

// Options are the settings of a comparison. The zero value of a field is its
// default.
type Options struct {
	// Confidence is that with which a change lies in its interval, between 0
	// and 1. Default 0.95.
	Confidence float64
	// Margin is the change, as a share, below which nobody cares. Default 0.02.
	Margin float64
	// Force compares results of unlike machines or loads, and those that are
	// not valid, and lists in Comparison.Doubts what speaks against it.
	Force bool
}

func (o Options) withDefaults() Options {
	if o.Confidence == 0 {
		o.Confidence = 0.95
	}
	if o.Margin == 0 {
		o.Margin = 0.02
	}
	return o
}

// Validate returns all faults of o joined, or nil.
func (o Options) Validate() error {
	o = o.withDefaults()
	var faults []error
	if o.Confidence <= 0.5 || o.Confidence >= 1 {
		faults = append(faults, fmt.Errorf("confidence %v: not between 0.5 and 1", o.Confidence))
	}
	if o.Margin <= 0 || o.Margin >= 1 {
		faults = append(faults, fmt.Errorf("margin %v: not between 0 and 1", o.Margin))
	}
	return errors.Join(faults...)
}

// Run is a result and the name that messages have for it, its file's as a rule.
type Run struct {
	Name   string
	Result bench.Result
}

// Outcome says in a word how after stands to before.
type Outcome string

// The outcomes of a figure, and of all together.
const (
	// Better, Worse: the interval of the change excludes none, and the change
	// is larger than the margin.
	Better Outcome = "BETTER"
	Worse  Outcome = "WORSE"
	// Same: the interval includes none, or the change is within the margin. How
	// large a difference may have gone unseen is what the interval says.
	Same Outcome = "NO DIFFERENCE"
	// Undecided: there are too few values for an interval.
	Undecided Outcome = "UNDECIDED"
	// Mixed: some figures are better, others worse. Never said of one figure.
	Mixed Outcome = "MIXED"
)

// Comparison is how the runs after stand to those before.
type Comparison struct {
	Outcome Outcome `json:"outcome"`
	// Basis is "runs" when a value is a run's figure, "seconds" when there are
	// too few runs and a value is a stretch of one. Seconds of a run resemble
	// each other more than runs do: then the intervals are too narrow, and say
	// nothing of what differs from run to run.
	Basis      string  `json:"basis"`
	Confidence float64 `json:"confidence"`
	Margin     float64 `json:"margin"`
	Before     Side    `json:"before"`
	After      Side    `json:"after"`
	// Figures has what both sides measured, the most important first.
	Figures []Figure `json:"figures"`
	// Doubts says why the sides do not compare; empty unless Options.Force.
	Doubts []string `json:"doubts,omitempty"`
}

// Side is one of the two sides.
type Side struct {
	Runs     []string `json:"runs"`     // names
	Versions []string `json:"versions"` // of the servers, each once
}

// Figure is one kind of measurement on both sides.
type Figure struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Higher bool    `json:"higher_is_better"`
	Before Range   `json:"before"`
	After  Range   `json:"after"`
	Change float64 `json:"change"` // of after against before, as a share: 0.1 is 10% more
	// Low and High bound the change; both are 0 without Bounded.
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	Bounded bool    `json:"bounded"` // false: too few values
	Values  [2]int  `json:"values"`  // how many there were on each side
	Outcome Outcome `json:"outcome"`
}

// Range is where the figures of a side's runs lie.
type Range struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// UnlikeError says that results do not compare, and why.
type UnlikeError struct{ Reasons []string }

func (e *UnlikeError) Error() string {
	return "these results do not compare:\n  " + strings.Join(e.Reasons, "\n  ")
}

// Compare compares the runs of two sides, at least one on each. It returns an
// *UnlikeError for runs of different machines or loads, also within a side, and
// for runs whose own verdict is that their figures are worth nothing.
func Compare(before, after []Run, options Options) (Comparison, error) {
	options = options.withDefaults()
	if err := options.Validate(); err != nil {
		return Comparison{}, err
	}
	if len(before) == 0 || len(after) == 0 {
		return Comparison{}, errors.New("a comparison needs a result on each side")
	}
	doubts := doubts(slices.Concat(before, after))
	if len(doubts) > 0 && !options.Force {
		return Comparison{}, &UnlikeError{doubts}
	}
	c := Comparison{
		Basis:      "runs",
		Confidence: options.Confidence,
		Margin:     options.Margin,
		Before:     side(before),
		After:      side(after),
		Doubts:     doubts,
	}
	if tail(len(before), len(after), (1-options.Confidence)/2) == 0 {
		c.Basis = "seconds"
	}
	for _, k := range kinds {
		if f, ok := c.figure(k, before, after); ok {
			c.Figures = append(c.Figures, f)
		}
	}
	if len(c.Figures) == 0 {
		return Comparison{}, errors.New("the results have no figure in common")
	}
	c.Outcome = together(c.Figures)
	return c, nil
}

// doubts tells what speaks against comparing the runs: all must be like the
// first.
func doubts(runs []Run) (reasons []string) {
	first := runs[0]
	for _, r := range runs {
		if o := r.Result.Verdict.Outcome; o == bench.OutcomeInvalid || o == bench.OutcomeBooksWrong {
			reasons = append(reasons, fmt.Sprintf("%s: %s: %s", r.Name, o, strings.Join(r.Result.Verdict.Reasons, "; ")))
		}
		for _, d := range Differences(first.Result, r.Result) {
			reasons = append(reasons, fmt.Sprintf("%s (%s, %s)", d, first.Name, r.Name))
		}
	}
	return reasons
}

func side(runs []Run) Side {
	var s Side
	seen := map[string]bool{}
	for _, r := range runs {
		s.Runs = append(s.Runs, r.Name)
		for _, n := range r.Result.Nodes {
			if !seen[n.Version] {
				seen[n.Version] = true
				s.Versions = append(s.Versions, n.Version)
			}
		}
	}
	return s
}

// together is the outcome of all figures that have one: what is better and what
// is worse do not make up for each other.
func together(figures []Figure) Outcome {
	count := map[Outcome]int{}
	for _, f := range figures {
		count[f.Outcome]++
	}
	switch {
	case count[Better] > 0 && count[Worse] > 0:
		return Mixed
	case count[Better] > 0:
		return Better
	case count[Worse] > 0:
		return Worse
	case count[Same] > 0:
		return Same
	}
	return Undecided
}
