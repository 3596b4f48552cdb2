package bench

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// objective is one condition that a run has to meet.
type objective struct {
	text     string
	metric   string  // "latency", "errors" or "rate"
	quantile float64 // of the response time, 100 for its maximum
	above    bool    // the value has to be above the bound, not below
	orEqual  bool
	bound    float64 // seconds, a share, or operations per second
}

// ParseSLO checks an objective: a metric, one of < <= > >=, and a bound.
//
//	p99<10ms    a percentile of the response time; also p50, p99.9, max
//	errors<0.1% share of payments and reads not answered 2xx, or skipped
//	rate>=19000 accepted payments per second
func ParseSLO(text string) error {
	_, err := parseObjective(text)
	return err
}

func parseObjectives(texts []string) ([]objective, error) {
	var list []objective
	for _, text := range texts {
		o, err := parseObjective(text)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
}

func parseObjective(text string) (objective, error) {
	o := objective{text: text}
	at := strings.IndexAny(text, "<>")
	if at < 0 {
		return o, fmt.Errorf("slo %q: no < or >", text)
	}
	o.above = text[at] == '>'
	bound, equal := strings.CutPrefix(text[at+1:], "=")
	o.orEqual = equal
	if err := o.parse(strings.TrimSpace(text[:at]), strings.TrimSpace(bound)); err != nil {
		return o, fmt.Errorf("slo %q: %w", text, err)
	}
	return o, nil
}

func (o *objective) parse(metric, bound string) (err error) {
	switch {
	case metric == "max":
		o.metric, o.quantile = "latency", 100
	case strings.HasPrefix(metric, "p"):
		o.metric = "latency"
		o.quantile, err = strconv.ParseFloat(metric[1:], 64)
		if err != nil || o.quantile <= 0 || o.quantile > 100 {
			return fmt.Errorf("no percentile %q", metric)
		}
	case metric == "errors" || metric == "rate":
		o.metric = metric
	default:
		return fmt.Errorf("metric %q: want p50, p99, p99.9, max, errors or rate", metric)
	}
	switch o.metric {
	case "latency":
		var d time.Duration
		d, err = time.ParseDuration(bound)
		o.bound = d.Seconds()
	case "errors":
		o.bound, err = ParseShare(bound)
	default:
		o.bound, err = strconv.ParseFloat(bound, 64)
	}
	if err != nil {
		return fmt.Errorf("bound %q: %w", bound, err)
	}
	return nil
}

// ParseShare reads a share as a number from 0 to 1 or as a percentage.
func ParseShare(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(number, 64)
	if percent {
		share /= 100
	}
	if err != nil || share < 0 || share > 1 {
		return 0, fmt.Errorf("%q is no share from 0 to 1 or 0%% to 100%%", text)
	}
	return share, nil
}

// judge holds r, whose response times are given in full, against the objective.
func (o objective) judge(r *Result, response *hdrhistogram.Histogram) SLOResult {
	var value float64
	var shown string
	switch o.metric {
	case "latency":
		ns := response.ValueAtQuantile(o.quantile)
		value, shown = float64(ns)/1e9, time.Duration(ns).String()
	case "errors":
		value = r.errorShare()
		shown = strconv.FormatFloat(value*100, 'f', 3, 64) + "%"
	default:
		value = r.Throughput
		shown = strconv.FormatFloat(value, 'f', 0, 64)
	}
	met := o.orEqual && value == o.bound
	if o.above {
		met = met || value > o.bound
	} else {
		met = met || value < o.bound
	}
	return SLOResult{Objective: o.text, Measured: shown, Met: met}
}

// errorShare is the share of payments and reads that were not answered 2xx, the
// skipped ones included.
func (r *Result) errorShare() float64 {
	var all, bad uint64
	for code, n := range r.Codes {
		all += n
		if code[0] != '2' {
			bad += n
		}
	}
	skipped := r.Skipped * uint64(r.Config.Batch)
	if all+skipped == 0 {
		return 1
	}
	return float64(bad+skipped) / float64(all+skipped)
}
