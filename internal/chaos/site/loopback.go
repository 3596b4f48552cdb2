//go:build linux || darwin

package site

import (
	"errors"
	"fmt"
	"net"
)

// Ports of sites on loopback: below those that the system gives to connections, or
// one of these could have the port of a node that is down.
const (
	portsFrom  = 20_000
	portsUntil = 32_000
	portsEach  = 3 * Size
)

// shareLoopback gives the machines ports that are free now.
func (s *Site) shareLoopback() error {
	for base := portsFrom + s.slot.number*portsEach; base+portsEach <= portsUntil; base += slots * portsEach {
		addrs, free := freePorts(base)
		if !free {
			continue
		}
		for i, m := range s.Machines {
			m.api, m.admin, m.raft = addrs[3*i], addrs[3*i+1], addrs[3*i+2]
		}
		return nil
	}
	return errors.New("site: no free ports")
}

func freePorts(base int) (addrs [portsEach]string, free bool) {
	for i := range addrs {
		addrs[i] = fmt.Sprintf("127.0.0.1:%d", base+i)
		l, err := net.Listen("tcp", addrs[i])
		if err != nil {
			return addrs, false
		}
		if l.Close() != nil {
			return addrs, false
		}
	}
	return addrs, true
}

func (s *Site) raftAddresses() (addrs []string) {
	for _, m := range s.Machines {
		addrs = append(addrs, m.raft)
	}
	return addrs
}
