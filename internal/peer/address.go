package peer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

var (
	// ErrNotAdvertisable says that the address which other nodes would be told to
	// dial cannot be dialled: it is unspecified (0.0.0.0, ::), or has no host or no
	// port.
	ErrNotAdvertisable = errors.New("address cannot be advertised to other nodes")

	// ErrInsecure says that without TLS whoever reaches the port would be a member:
	// it has to be loopback, or Config.AllowInsecure set. The caller's message
	// names its flag for that.
	ErrInsecure = errors.New("address is not loopback, and there is no TLS between nodes")
)

// Loopback reports whether addr, "host:port", can only be reached from this
// machine. Of names only localhost counts: others could resolve to anything.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// name is a "host:port" whose host may be a name. It is told to other nodes
// unresolved, so that it may move.
type name string

var _ net.Addr = name("")

func (n name) Network() string { return "tcp" }
func (n name) String() string  { return string(n) }

// checkAdvertisable refuses an address that a node on another machine could not
// dial.
func checkAdvertisable(addr string) error {
	if err := checkHost(addr); err != nil {
		return err
	}
	if _, port, _ := net.SplitHostPort(addr); port == "" || port == "0" {
		return fmt.Errorf("%w: %q has no port", ErrNotAdvertisable, addr)
	}
	return nil
}

// checkHost refuses an address without a definite host. Port 0 passes: it may be
// bound, and the port that the system picks be advertised.
func checkHost(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotAdvertisable, err)
	}
	if host == "" {
		return fmt.Errorf("%w: %q has no host", ErrNotAdvertisable, addr)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsUnspecified() {
		return fmt.Errorf("%w: %q is unspecified", ErrNotAdvertisable, addr)
	}
	return nil
}
