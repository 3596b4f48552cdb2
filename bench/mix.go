package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// kind is what a request asks for.
type kind uint8

const (
	pay kind = iota
	authorize
	capture
	void
	refund
	read
	create  // an account; Setup's
	journal // the newest entries of an account; the audit's
	kinds   = iota
)

var kindNames = [kinds]string{"pay", "authorize", "capture", "void", "refund", "read", "create", "journal"}

func (k kind) String() string { return kindNames[k] }

// follows reports whether requests of the kind name an earlier payment.
func (k kind) follows() bool { return k == capture || k == void || k == refund }

// mix is kinds with weights.
type mix struct {
	kinds   []kind
	weights []float64 // running totals
}

// parseMix reads "kind=weight,…".
func parseMix(text string) (m mix, err error) {
	total := 0.0
	for part := range strings.SplitSeq(text, ",") {
		name, number, _ := strings.Cut(strings.TrimSpace(part), "=")
		k := slices.Index(kindNames[:create], name)
		weight, err := strconv.ParseFloat(number, 64)
		if k < 0 || err != nil || weight < 0 || weight > 1e9 || slices.Contains(m.kinds, kind(k)) {
			return mix{}, fmt.Errorf("mix: %q: want kind=weight, each kind once: %s", part, strings.Join(kindNames[:create], ", "))
		}
		if weight == 0 {
			continue
		}
		total += weight
		m.kinds = append(m.kinds, kind(k))
		m.weights = append(m.weights, total)
	}
	if total == 0 {
		return mix{}, fmt.Errorf("mix %q: no weight", text)
	}
	return m, nil
}

// only reports whether the mix has this kind and no other.
func (m mix) only(k kind) bool { return len(m.kinds) == 1 && m.kinds[0] == k }

func (m mix) has(k kind) bool { return slices.Contains(m.kinds, k) }

// draw returns one of the kinds.
func (m mix) draw(rng *random) kind {
	if len(m.kinds) == 1 {
		return m.kinds[0]
	}
	at := rng.fraction() * m.weights[len(m.weights)-1]
	for i, total := range m.weights {
		if at < total {
			return m.kinds[i]
		}
	}
	return m.kinds[len(m.kinds)-1]
}
