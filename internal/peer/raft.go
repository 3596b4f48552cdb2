package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// ErrUnknownNode refuses to dial for raft an address of which it is not known
// whose it is, so that no certificate would be the wrong one.
var ErrUnknownNode = errors.New("no node is known at the address")

// raftLayer is what raft sees of a port.
type raftLayer struct {
	*stream
	port   *Port
	opened atomic.Bool
}

var _ raft.StreamLayer = (*raftLayer)(nil)

// Close ends Accept and closes the connections that it returned: raft's own
// Close leaves its goroutines waiting for the next request on them. A second
// call does nothing.
func (l *raftLayer) Close() error {
	l.end()
	return nil
}

// Dial connects to the raft of another node; timeout bounds the attempt. Errors,
// with TLS: ErrUnknownNode, nodetls.ErrWrongNode.
func (l *raftLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	addr, id := string(address), ""
	if l.port.cfg.TLS != nil {
		if id = l.port.cfg.Resolve(addr); id == "" {
			return nil, fmt.Errorf("%w %q", ErrUnknownNode, addr)
		}
	}
	ctx, cancel := l.port.bounded(context.Background(), timeout)
	defer cancel()
	conn, err := l.port.connect(ctx, addr, id, kindRaft)
	if err != nil {
		return nil, fmt.Errorf("raft connection to %s: %w", addr, l.port.cause(ctx, err))
	}
	return conn, nil
}
