//go:build linux || darwin

package site

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// network is a bridge with a namespace behind each of its ports. The addresses are
// from the range for benchmarks of network devices, 198.18.0.0/15, which nobody
// routes.
//
// All know each other's hardware addresses for good, so that nothing depends on
// ARP. A packet to a wrong one is lost: that is how a direction is cut, for open
// connections, too.
type network struct {
	name   string
	number int

	mu sync.Mutex // one command at a time
}

// openNetwork makes the network and makes sure that it carries packets.
func openNetwork(ctx context.Context, s *slot) (*network, error) {
	n := &network{name: s.name, number: s.number}
	var root strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&root, format+"\n", args...) }
	line("link add %s address %s type bridge", n.name, n.hardware(0))
	line("addr add %s/24 dev %s", n.ip(0), n.name)
	line("link set %s up", n.name)
	for i := 1; i <= Size; i++ {
		link := fmt.Sprintf("pc-%d-%d", n.number, i)
		line("netns add %s", n.namespace(i))
		line("link add %s type veth peer name eth0 address %s netns %s", link, n.hardware(i), n.namespace(i))
		line("link set %s master %s up", link, n.name)
		line("neigh replace %s lladdr %s nud permanent dev %s", n.ip(i), n.hardware(i), n.name)
	}
	if err := runInput(ctx, root.String(), "ip", "-batch", "-"); err != nil {
		return nil, err
	}
	for i := 1; i <= Size; i++ {
		inside := fmt.Sprintf("link set lo up\naddr add %s/24 dev eth0\nlink set eth0 up\n", n.ip(i))
		for other := 0; other <= Size; other++ {
			if other != i {
				inside += n.neighbour(other, n.hardware(other))
			}
		}
		if err := n.within(ctx, i, inside); err != nil {
			return nil, err
		}
		if err := n.probe(ctx, i); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// within runs ip's commands in the namespace of machine i.
func (n *network) within(ctx context.Context, i int, commands string) error {
	return runInput(ctx, commands, "ip", "-n", n.namespace(i), "-batch", "-")
}

// probe makes sure that a process can be put into machine i, and that packets reach
// it and come back: a port where nobody listens refuses.
func (n *network) probe(ctx context.Context, i int) error {
	inside := n.enter(i)
	if err := run(ctx, inside[0], append(inside[1:], "true")...); err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: 2 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", n.ip(i)+":9")
	switch {
	case err == nil:
		return errors.Join(errors.New("somebody listens where nobody can"), conn.Close())
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil
	}
	return fmt.Errorf("packets do not get through: %w", err)
}

// route lets packets from one machine to another through, or loses them.
func (n *network) route(ctx context.Context, from, to int, through bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	hardware := nobody
	if through {
		hardware = n.hardware(to)
	}
	return n.within(ctx, from, n.neighbour(to, hardware))
}

// nobody is a hardware address that no machine has.
const nobody = "02:00:00:00:00:00"

func (n *network) neighbour(i int, hardware string) string {
	return fmt.Sprintf("neigh replace %s lladdr %s nud permanent dev eth0\n", n.ip(i), hardware)
}

// enter is how a command begins that is to run in machine i.
func (n *network) enter(i int) []string {
	return []string{"nsenter", "--net=/run/netns/" + n.namespace(i), "--"}
}

// Machine 0 is this one, where the clients are.

func (n *network) namespace(i int) string { return fmt.Sprintf("%s-%d", n.name, i) }
func (n *network) ip(i int) string        { return fmt.Sprintf("198.18.%d.%d", n.number, 10+i) }
func (n *network) hardware(i int) string  { return fmt.Sprintf("02:00:00:00:%02x:%02x", n.number, 10+i) }
