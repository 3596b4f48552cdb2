package transport

import (
	"context"
	"net"
	"time"
)

// Cluster is what a node knows of the nodes that it works with. Its methods may be
// called by any goroutine.
type Cluster interface {
	// Leader returns the id of the node that leads, as far as this node knows, and
	// "" when it knows of none. self says that this node leads and executes commands
	// now; then id has no meaning. It is called for nearly every request: it must
	// not block, and should not allocate.
	Leader() (id string, self bool)
	// Dial connects to the listener that node id, the leader, serves with
	// Server.ServeNodes; timeout bounds the attempt. An error says that there is no
	// connection on which that node could get anything. The caller closes the
	// connection.
	Dial(id string, timeout time.Duration) (net.Conn, error)
	// AwaitApplied returns nil once the reads of this node reflect the log up to
	// index; the error of ctx when that is done first; or a sentinel of package
	// ledger when it will never be.
	AwaitApplied(ctx context.Context, index uint64) error
}
