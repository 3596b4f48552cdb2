package compare

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Statement says the outcome in a sentence.
func (c Comparison) Statement() string {
	after := "After is"
	if c.Basis == "seconds" {
		after = "In these runs after is"
	}
	switch c.Outcome {
	case Better, Worse:
		return fmt.Sprintf("%s %s: %s.", after, strings.ToLower(string(c.Outcome)), c.list(c.Outcome))
	case Mixed:
		return fmt.Sprintf("%s better in some, worse in some: better: %s; worse: %s.", after, c.list(Better), c.list(Worse))
	case Undecided:
		return "Too few values to tell a difference from chance: compare several runs on each side."
	}
	return fmt.Sprintf("No difference beyond chance and %s.", share(c.Margin))
}

func (c Comparison) list(outcome Outcome) string {
	var parts []string
	for _, f := range c.Figures {
		if f.Outcome == outcome {
			parts = append(parts, f.Name+" "+Percent(f.Change))
		}
	}
	return strings.Join(parts, ", ")
}

// Caveat says what the intervals do not know; it is empty for enough runs.
func (c Comparison) Caveat() string {
	if c.Basis == "runs" {
		return ""
	}
	return fmt.Sprintf("Too few runs (%d before, %d after) to know what differs from one to the next: intervals are of the seconds within these. "+
		"Whether a difference is there again, four runs on each side tell.", len(c.Before.Runs), len(c.After.Runs))
}

// JSON writes c as indented JSON.
func (c Comparison) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(c)
}

// Text writes c for people, the statement first.
func (c Comparison) Text(w io.Writer) error {
	fmt.Fprintf(w, "%s  %s\n", c.Outcome, c.Statement())
	for _, d := range c.Doubts {
		fmt.Fprintf(w, "compared by force: %s\n", d)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nmedian of\tbefore\tafter\tchange\t%s interval\t\n", share(c.Confidence))
	for _, f := range c.Figures {
		fmt.Fprintf(t, "%s, %s\t%s\t%s\t%s\t%s\t%s\n", f.Name, f.Unit, Number(f.Before.Median), Number(f.After.Median),
			Percent(f.Change), f.Interval(), strings.ToLower(string(f.Outcome)))
	}
	fmt.Fprintf(t, "\nbefore\t%s\n", c.Before)
	fmt.Fprintf(t, "after\t%s\n", c.After)
	if err := t.Flush(); err != nil {
		return err
	}
	if caveat := c.Caveat(); caveat != "" {
		_, err := fmt.Fprintln(w, caveat)
		return err
	}
	return nil
}

// Interval is that of the change, in words.
func (f Figure) Interval() string {
	if !f.Bounded {
		return "unknown"
	}
	return Percent(f.Low) + " to " + Percent(f.High)
}

func (s Side) String() string {
	text := strings.Join(s.Runs, ", ")
	if len(s.Versions) > 0 {
		text += " (server " + strings.Join(s.Versions, ", ") + ")"
	}
	return text
}

// Percent writes a change with its sign.
func Percent(change float64) string { return fmt.Sprintf("%+.1f%%", change*100) }

func share(x float64) string { return fmt.Sprintf("%g%%", x*100) }

// Number writes a figure with as many digits as matter.
func Number(x float64) string {
	switch {
	case x >= 1000:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.3g", x)
}
