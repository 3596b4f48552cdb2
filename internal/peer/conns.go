package peer

import (
	"errors"
	"net"
	"slices"
	"sync"
)

// How many connections may be open at once. A node whose peers all behave stays
// far below; the bounds keep one that does not from taking all memory.
const (
	// A handshake costs a goroutine and some 20 KiB, for ArrivalTimeout at most. What
	// a connection is for shows only after it, so all kinds share this; the API of
	// another node opens at most 32 at once.
	maxArriving = 256
	// raft holds a buffer of 256 KiB per connection: 32 MiB in all. It keeps fewer
	// than ten to each peer. Those of a peer that vanished end by TCP keepalive.
	maxRaft = 128
	// The API has its own bound of connections. Another node opens no more than it
	// has requests under way, 4096 by default.
	maxForwarded = 16_384
	// A call holds a request and a response of up to maxFrame each: 128 MiB in all.
	maxControl = 64
)

var errTooMany = errors.New("too many connections")

// connSet is a bounded set of open connections that can be closed together. It
// holds TCP connections: to close one below its TLS never waits for the peer.
type connSet struct {
	most int

	mu     sync.Mutex
	closed bool
	open   map[net.Conn]string // the id of the node, "" if that is not known
}

func newConnSet(most int) *connSet {
	return &connSet{most: most, open: map[net.Conn]string{}}
}

// add takes in a connection of the node id. Errors: errTooMany, net.ErrClosed.
func (s *connSet) add(c net.Conn, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	if len(s.open) == s.most {
		return errTooMany
	}
	s.open[c] = id
	return nil
}

// remove forgets a connection, if it is there, without closing it.
func (s *connSet) remove(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// closeOf closes the connections of some nodes.
func (s *connSet) closeOf(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, id := range s.open {
		if slices.Contains(ids, id) {
			_ = c.Close() // whoever uses it gets the error, and takes it out
		}
	}
}

// close closes all connections and lets no more in.
func (s *connSet) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		_ = c.Close() // whoever uses it gets the error
	}
}

func (s *connSet) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}
