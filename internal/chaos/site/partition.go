//go:build linux || darwin

package site

import (
	"context"
	"errors"
)

// errLoopback says that what all nodes are on cannot be cut.
var errLoopback = errors.New("site: no partitions on loopback")

// Cut loses all packets from one machine to another from now on, those of open
// connections, too. The other direction is a cut of its own.
func (s *Site) Cut(ctx context.Context, from, to *Machine) error {
	if s.network == nil {
		return errLoopback
	}
	return s.network.route(ctx, from.number, to.number, false)
}

// Part cuts both directions.
func (s *Site) Part(ctx context.Context, a, b *Machine) error {
	return errors.Join(s.Cut(ctx, a, b), s.Cut(ctx, b, a))
}

// Heal ends all cuts.
func (s *Site) Heal(ctx context.Context) error {
	if s.network == nil {
		return nil
	}
	var faults []error
	for _, from := range s.Machines {
		for _, to := range s.Machines {
			if from != to {
				faults = append(faults, s.network.route(ctx, from.number, to.number, true))
			}
		}
	}
	return errors.Join(faults...)
}
