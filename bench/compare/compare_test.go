package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"purser/bench"
)

// run is a valid result with these figures; p50 is in µs.
func run(name string, throughput, p50 float64) Run {
	return Run{Name: name, Result: bench.Result{
		Format:     1,
		Verdict:    bench.Verdict{Outcome: bench.OutcomeOK},
		Loop:       "closed",
		Throughput: throughput,
		Elapsed:    10,
		Response:   bench.Latency{P50: p50, P99: 10 * p50, P999: 20 * p50},
		Machine:    bench.Machine{CPUs: 2, Model: "this", Memory: 24 << 30, OS: "linux", Arch: "amd64", Go: "go1.26"},
		Config:     bench.Config{Connections: 256, Duration: 10 * time.Second, Seed: uint64(throughput)},
	}}
}

func runs(name string, throughputs ...float64) (all []Run) {
	for i, t := range throughputs {
		all = append(all, run(fmt.Sprintf("%s%d.json", name, i), t, 1e6/t))
	}
	return all
}

func compared(t *testing.T, before, after []Run) Comparison {
	t.Helper()
	c, err := Compare(before, after, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c Comparison) named(t *testing.T, name string) Figure {
	t.Helper()
	i := slices.IndexFunc(c.Figures, func(f Figure) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("no figure %q in %+v", name, c.Figures)
	}
	return c.Figures[i]
}

func TestOutcomes(t *testing.T) {
	before := []float64{1000, 1010, 990, 1005, 995}
	scaled := func(by float64) (v []float64) {
		for _, x := range before {
			v = append(v, x*by)
		}
		return v
	}
	for _, test := range []struct {
		name  string
		after []float64
		want  Outcome
	}{
		{"twice as fast", scaled(2), Better},
		{"half as fast", scaled(0.5), Worse},
		{"the same", before, Same},
		{"faster, but by less than the margin", scaled(1.015), Same},
		{"apart, but by chance", []float64{800, 1400, 950, 1300, 1001}, Same},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := compared(t, runs("a", before...), runs("b", test.after...))
			if c.Outcome != test.want || c.Basis != "runs" {
				t.Fatalf("%s of %s, want %s: %+v", c.Outcome, c.Basis, test.want, c.Figures)
			}
		})
	}
}

func TestFiguresOfBothDirectionsAreMixed(t *testing.T) {
	before, after := runs("a", 1000, 1001, 1002, 1003), runs("b", 2000, 2001, 2002, 2003)
	for i := range after {
		after[i].Result.Response.P99 = 10 * before[i].Result.Response.P99
	}
	c := compared(t, before, after)
	if c.Outcome != Mixed || c.named(t, "throughput").Outcome != Better || c.named(t, "response p99").Outcome != Worse {
		t.Fatalf("%s: %+v", c.Outcome, c.Figures)
	}
	if s := c.Statement(); !strings.Contains(s, "throughput +99") || !strings.Contains(s, "response p99 +900") {
		t.Fatalf("statement %q", s)
	}
}

// One run on each side gives no interval of runs; its seconds do.
func TestSecondsStandInForRuns(t *testing.T) {
	a, b := run("a", 1000, 1000), run("b", 1100, 900)
	if c := compared(t, []Run{a}, []Run{b}); c.Outcome != Undecided || c.Basis != "seconds" || c.Caveat() == "" {
		t.Fatalf("%s of %s without seconds: %+v", c.Outcome, c.Basis, c.Figures)
	}
	if c := compared(t, []Run{a}, []Run{a}); c.Outcome != Same {
		t.Fatalf("%s of a run and itself", c.Outcome)
	}
	for _, r := range []*Run{&a, &b} {
		r.Result.Config.Warmup = 2 * time.Second
		for at := range 13 {
			s := bench.Second{At: at, Accepted: uint64(r.Result.Throughput) + uint64(at%3), P50: r.Result.Response.P50 + float64(at%3)}
			if at < 2 || at >= 12 {
				s = bench.Second{At: at, Accepted: 7} // not of the measured time
			}
			r.Result.Series = append(r.Result.Series, s)
		}
	}
	c := compared(t, []Run{a}, []Run{b})
	f := c.named(t, "throughput")
	if c.Outcome != Better || f.Values != [2]int{10, 10} || f.Low < 0.09 || f.High > 0.11 {
		t.Fatalf("%s: %+v", c.Outcome, f)
	}
	if s := c.Statement(); !strings.HasPrefix(s, "In these runs after is better: throughput +10") {
		t.Errorf("statement %q", s)
	}
	// No second has a p99: there is one value on each side.
	if f := c.named(t, "response p99"); f.Outcome != Undecided || f.Bounded {
		t.Fatalf("%+v", f)
	}
}

func TestUnlikeResultsAreRefusedByName(t *testing.T) {
	for _, test := range []struct {
		want   string
		change func(r *bench.Result)
	}{
		{"machine.cpus: 2 against 4", func(r *bench.Result) { r.Machine.CPUs = 4 }},
		{"machine.model: this against that", func(r *bench.Result) { r.Machine.Model = "that" }},
		{"machine.memory: 24 GiB against 48 GiB", func(r *bench.Result) { r.Machine.Memory *= 2 }},
		{"machine.file_system: not set against tmpfs", func(r *bench.Result) { r.Machine.FileSystem = "tmpfs" }},
		{"config.connections: 256 against 64", func(r *bench.Result) { r.Config.Connections = 64 }},
		{"config.batch: 0 against 1000", func(r *bench.Result) { r.Config.Batch = 1000 }},
		{"loop: closed against open", func(r *bench.Result) { r.Loop = "open" }},
		{"INVALID: the generator lagged", func(r *bench.Result) {
			r.Verdict = bench.Verdict{Outcome: bench.OutcomeInvalid, Reasons: []string{"the generator lagged"}}
		}},
	} {
		before, after := runs("a", 1, 2, 3, 4), runs("b", 1, 2, 3, 4)
		test.change(&after[2].Result)
		_, err := Compare(before, after, Options{})
		var unlike *UnlikeError
		if !errors.As(err, &unlike) || len(unlike.Reasons) != 1 ||
			!strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "b2.json") {
			t.Errorf("error %v, want one of b2.json with %q", err, test.want)
		}
		c, err := Compare(before, after, Options{Force: true})
		if err != nil || len(c.Doubts) != 1 {
			t.Errorf("by force: %v, doubts %v", err, c.Doubts)
		}
	}
}

func TestWhatMayDiffer(t *testing.T) {
	before, after := runs("a", 1000), runs("b", 1000)
	r := &after[0].Result
	r.Config.KeyPrefix, r.Config.Seed, r.Config.Dir = "other", 17, "/other"
	r.Machine.Memory -= 1 << 20
	if _, err := Compare(before, after, Options{}); err != nil {
		t.Fatal(err)
	}
}

// What a result says about itself survives the trip through its file.
func TestDifferencesOfFiles(t *testing.T) {
	var text bytes.Buffer
	if err := run("a", 1000, 1000).Result.JSON(&text); err != nil {
		t.Fatal(err)
	}
	read, err := bench.ReadResult(&text)
	if err != nil {
		t.Fatal(err)
	}
	if d := Differences(read, run("a", 1000, 1000).Result); len(d) > 0 {
		t.Fatalf("differences %v", d)
	}
}

// The counts are those of all orders of up to 8 values, made one by one.
func TestRankings(t *testing.T) {
	for n := 1; n <= 4; n++ {
		for m := 1; m <= 4; m++ {
			want := make([]float64, n*m+1)
			for set := range 1 << (n + m) { // bit i: the i-th smallest is one of the n
				members, u := 0, 0
				for i := range n + m {
					if set>>i&1 == 1 {
						members++
						u += i + 1 - members // of the m below it
					}
				}
				if members == n {
					want[u]++
				}
			}
			if got := rankings(n, m); !slices.Equal(got, want) {
				t.Errorf("rankings(%d, %d) = %v, want %v", n, m, got, want)
			}
		}
	}
}

// Critical values of the two-sided test at 5%: Hollander and Wolfe,
// Nonparametric Statistical Methods, table A.6. k is one more than the largest
// U that rejects.
func TestTailIsThatOfTheTables(t *testing.T) {
	for _, test := range []struct{ n, m, rejects int }{
		{4, 4, 0}, {5, 5, 2}, {6, 6, 5}, {5, 8, 6}, {10, 10, 23}, {20, 20, 127},
	} {
		if got := tail(test.n, test.m, 0.025); got != test.rejects+1 {
			t.Errorf("tail(%d, %d) = %d, want %d", test.n, test.m, got, test.rejects+1)
		}
	}
	if got := tail(3, 3, 0.025); got != 0 {
		t.Errorf("tail(3, 3) = %d, want 0: three runs cannot tell", got)
	}
	// The approximation goes on where counting ends.
	exact, near := tail(exactUpTo, exactUpTo, 0.025), tail(exactUpTo+1, exactUpTo+1, 0.025)
	if growth := float64(near) / float64(exact); growth < 1 || growth > 1.06 {
		t.Errorf("tail is %d for %d values and %d for one more", exact, exactUpTo, near)
	}
}

// An interval of 95% has the truth in it in at least 95% of the cases, and is
// not much wider than it must be.
func TestIntervalsCover(t *testing.T) {
	const cases, truth = 2000, 1.10
	rng := rand.New(rand.NewPCG(1, 2))
	sample := func(scale float64) (v []float64) {
		for range 6 {
			v = append(v, scale*math.Exp(0.05*rng.NormFloat64()))
		}
		return v
	}
	covered := 0
	for range cases {
		if i := change(sample(1000), sample(1000*truth), 0.95); i.low <= truth && truth <= i.high {
			covered++
		}
	}
	if share := float64(covered) / cases; share < 0.94 || share > 0.985 {
		t.Fatalf("the truth is in %.3f of the intervals", share)
	}
}

func TestText(t *testing.T) {
	before, after := runs("a", 1000, 1001, 1002, 1003), runs("b", 2000, 2001, 2002, 2003)
	for i := range after {
		after[i].Result.Nodes = []bench.Node{{Version: "v2"}}
	}
	c := compared(t, before, after)
	var text, form bytes.Buffer
	if err := errors.Join(c.Text(&text), c.JSON(&form)); err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(text.String(), "\n"); !strings.HasPrefix(first, "BETTER  After is better: throughput +99.") {
		t.Errorf("first line %q", first)
	}
	if !strings.Contains(text.String(), "a0.json, a1.json") || !strings.Contains(text.String(), "server v2") {
		t.Errorf("text does not name files and versions:\n%s", text.String())
	}
	var back Comparison
	if err := json.Unmarshal(form.Bytes(), &back); err != nil || back.Outcome != Better {
		t.Errorf("JSON form: %v, %s", err, form.String())
	}
}

func TestOptionsAreValidated(t *testing.T) {
	for _, o := range []Options{{Confidence: 1}, {Confidence: -1}, {Margin: 2}} {
		if _, err := Compare(runs("a", 1), runs("b", 1), o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	if _, err := Compare(nil, runs("b", 1), Options{}); err == nil {
		t.Error("nothing was compared with something")
	}
}
