package store

import (
	"errors"
	"fmt"
	"math"

	"purser/internal/ledger"
)

const (
	defaultRetention = 24 * 3600 * ledger.Second
	defaultRunKeys   = 1 << 20
	runsPerRetention = 24

	// maxRunKeys keeps the counters of a run within its format.
	maxRunKeys = 1 << 28
)

// KeyOptions configures OpenKeys.
type KeyOptions struct {
	// Retention is how long a key is remembered, in log time. Runs are dropped by
	// it, so a longer one than last time does not bring back what is gone.
	// Default: 24 h.
	Retention ledger.Micros

	// RunKeys is the number of keys after which the table in memory is sealed. A
	// table of n keys takes 24·n bytes, and two may be in memory at a time; fewer
	// keys make more runs. Default: 1,048,576.
	RunKeys int

	// RunSpan is the log time after which the table is sealed: a run is forgotten
	// by that much later than its oldest key expires. Default: Retention/24.
	RunSpan ledger.Micros

	// Fatal, if set, is told that a run could not be written, on the goroutine
	// that writes runs. From then on every Insert fails. It must not call Keys.
	Fatal func(error)

	hash func(key []byte) uint64 // replaces the keyed hash, in tests
}

func (o KeyOptions) withDefaults() KeyOptions {
	if o.Retention == 0 {
		o.Retention = defaultRetention
	}
	if o.RunKeys == 0 {
		o.RunKeys = defaultRunKeys
	}
	if o.RunSpan == 0 {
		o.RunSpan = max(o.Retention/runsPerRetention, 1)
	}
	if o.Fatal == nil {
		o.Fatal = func(error) {}
	}
	return o
}

// Validate reports every fault of o at once.
func (o KeyOptions) Validate() error {
	o = o.withDefaults()
	var faults []error
	if o.Retention < 0 || o.Retention > math.MaxInt64/4 {
		faults = append(faults, fmt.Errorf("store: Retention %d is outside [1, 2^61]", o.Retention))
	}
	if o.RunKeys < 1 || o.RunKeys > maxRunKeys {
		faults = append(faults, fmt.Errorf("store: RunKeys %d is outside [1, %d]", o.RunKeys, maxRunKeys))
	}
	if o.RunSpan < 0 {
		faults = append(faults, fmt.Errorf("store: RunSpan %d is negative", o.RunSpan))
	}
	return errors.Join(faults...)
}
