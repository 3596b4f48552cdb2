package transport

import (
	"fmt"
	"net"
	"net/netip"
)

// CheckListenAddress refuses to serve addr to other machines: there is no
// authentication yet, so whoever reaches the port can move money.
// allowUnauthenticated accepts that explicitly. A host must be an IP address or
// localhost; any other name could resolve to anything.
func CheckListenAddress(addr string, allowUnauthenticated bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("listen address %q: %w", addr, err)
	}
	if allowUnauthenticated || host == "localhost" {
		return nil
	}
	ip, err := netip.ParseAddr(host)
	if err == nil && ip.Unmap().IsLoopback() {
		return nil
	}
	return fmt.Errorf("listen address %q is not a loopback address, and there is no authentication yet: "+
		"whoever reaches it can move money; allow that explicitly or listen on 127.0.0.1", addr)
}
