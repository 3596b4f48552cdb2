//go:build linux || darwin

package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Size is how many machines a site has: the nodes of the cluster that is founded.
const Size = 3

// Config is what a site is made from.
type Config struct {
	// Binary is the path of purser. Required; Build makes one.
	Binary string
	// Flags are further flags of every server.
	Flags []string
	// Plain makes neither namespaces nor file systems, although they could be.
	Plain bool
	// Keep has Close leave the directory with the disks and the logs.
	Keep bool
}

// Site is the machines and what is between them. Its methods are safe for
// concurrent use, and so are those of its machines.
type Site struct {
	// Machines are numbered from 1 to Size by their names, from 0 here.
	Machines [Size]*Machine
	// Missing says what cannot be done here, and why; "" for nothing.
	Missing string

	cfg     Config
	slot    *slot
	network *network // nil: loopback
	loop    bool     // the disks are file systems of their own

	mu     sync.Mutex
	nodes  int     // ids given so far
	faults []error // processes that ended without being told to
}

// Open makes a site: network, disks, certificates. No node runs yet. The caller
// closes it.
func Open(ctx context.Context, cfg Config) (_ *Site, err error) {
	slot, err := claim(cfg.Keep)
	if err != nil {
		return nil, err
	}
	s := &Site{cfg: cfg, slot: slot}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for i := range s.Machines {
		m := &Machine{site: s, number: i + 1, dir: filepath.Join(slot.dir, fmt.Sprintf("m%d", i+1))}
		m.disk.dir = filepath.Join(m.dir, "disk")
		if err := os.MkdirAll(m.disk.dir, 0o755); err != nil {
			return nil, err
		}
		s.Machines[i] = m
	}
	if err := s.wire(ctx); err != nil {
		return nil, err
	}
	for _, m := range s.Machines {
		if err := m.equip(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// wire makes the network, and finds out whether disks can be made.
func (s *Site) wire(ctx context.Context) (err error) {
	var noNetwork, noDisk error
	if s.cfg.Plain {
		noNetwork, noDisk = errPlain, errPlain
	} else {
		s.network, noNetwork = openNetwork(ctx, s.slot)
		noDisk = tryDisk(ctx, s.slot.dir)
	}
	s.loop = noDisk == nil
	if noNetwork != nil {
		s.Missing = fmt.Sprintf("partitions: %v", noNetwork)
		err = s.shareLoopback()
	}
	if noDisk != nil {
		if s.Missing != "" {
			s.Missing += "; "
		}
		s.Missing += fmt.Sprintf("slow and hung disks: %v", noDisk)
	}
	return err
}

var errPlain = errors.New("a plain site was asked for")

// CanCut reports whether machines can be cut off from each other.
func (s *Site) CanCut() bool { return s.network != nil }

// CanFreeze reports whether disks can be slow or hang.
func (s *Site) CanFreeze() bool { return s.loop }

// newID names the next node and makes its certificate.
func (s *Site) newID(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes++
	id := fmt.Sprintf("n%d", s.nodes)
	return id, run(ctx, s.cfg.Binary, "cluster", "certs", "--dir", s.certs(), "--node", id)
}

func (s *Site) certs() string { return filepath.Join(s.slot.dir, "certs") }

// Faults returns what went wrong with processes so far: EndErrors, and what the
// race detector said.
func (s *Site) Faults() []error {
	s.mu.Lock()
	faults := slices.Clone(s.faults)
	s.mu.Unlock()
	for _, m := range s.Machines {
		if err := m.races(); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

func (s *Site) fault(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, err)
}

// Close ends every process and takes away all that was made, but for the directory
// if it is to be kept: Dir says where it is then.
func (s *Site) Close() error {
	var faults []error
	for _, m := range s.Machines {
		if m != nil {
			faults = append(faults, m.Kill())
		}
	}
	return errors.Join(append(faults, s.slot.release())...)
}

// Dir is where everything lies that the site has on disk.
func (s *Site) Dir() string { return s.slot.dir }
