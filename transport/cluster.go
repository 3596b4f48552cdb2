package transport

import "context"

// Cluster is what a node knows of the nodes that it works with. Its methods may be
// called by any goroutine.
type Cluster interface {
	// Leader returns the API address (host and port) of the node that leads, as far
	// as this node knows, and "" when it knows of none. self says that this node
	// leads and executes commands now; then apiAddr has no meaning. It is called for
	// nearly every request: it must not block, and should not allocate.
	Leader() (apiAddr string, self bool)
	// AwaitApplied returns nil once the reads of this node reflect the log up to
	// index; the error of ctx when that is done first; or a sentinel of package
	// ledger when it will never be.
	AwaitApplied(ctx context.Context, index uint64) error
}
