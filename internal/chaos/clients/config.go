package clients

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Config configures a Load.
type Config struct {
	// APIs are the addresses, host:port, at which the nodes serve the API. Required.
	APIs []string
	// Admins are the addresses of the nodes' admin listeners, in the order of APIs.
	// Check compares the nodes' digests through them. Default: none, no comparison.
	Admins []string
	// Clients is the number of clients. Default 64.
	Clients int
	// Seed decides what each client draws, and is part of the names of accounts and
	// keys: loads with different seeds can run on one cluster, one after the other.
	Seed uint64
	// Pause is the mean time that a client waits before its next request. Default 0.
	Pause time.Duration
}

func (c Config) withDefaults() Config {
	if c.Clients == 0 {
		c.Clients = 64
	}
	return c
}

// Validate returns all faults of c joined, nil if there are none.
func (c Config) Validate() error {
	var faults []error
	if len(c.APIs) == 0 {
		faults = append(faults, errors.New("clients: APIs is required"))
	}
	if len(c.Admins) > 0 && len(c.Admins) != len(c.APIs) {
		faults = append(faults, fmt.Errorf("clients: %d Admins for %d APIs", len(c.Admins), len(c.APIs)))
	}
	if c.Clients < 0 || c.Pause < 0 {
		faults = append(faults, errors.New("clients: Clients and Pause must not be negative"))
	}
	return errors.Join(faults...)
}

// tag begins the names of all accounts and keys of the load.
func (c Config) tag() string { return "c" + strconv.FormatUint(c.Seed, 36) }
