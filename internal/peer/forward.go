package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// welcome is what the accepting side of a connection for forwarded requests says
// once its API has taken it. Before that nothing is sent on it: a request on a
// connection that is then refused would be in doubt.
const welcome = kindForward

// errNotWelcome is the fault of a node that begins with anything else.
var errNotWelcome = errors.New("it does not take forwarded requests")

// Forwarded returns the connections on which other members forward requests to
// this node, for the server of its API. Closing the listener ends no connection;
// Close of the port ends all.
func (p *Port) Forwarded() net.Listener { return p.forwarded }

// DialForward connects to the API of the node at addr, over this port's TLS;
// timeout bounds the attempt. With TLS the node has to be expectedID; the error is
// nodetls.ErrWrongNode if it is another one. The connection is the caller's, also
// to close: Close of the port does not.
func (p *Port) DialForward(addr, expectedID string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := p.bounded(context.Background(), timeout)
	defer cancel()
	conn, err := p.connect(ctx, addr, expectedID, kindForward)
	if err == nil {
		err = awaitWelcome(ctx, conn)
	}
	if err != nil {
		return nil, fmt.Errorf("connection to the API of node %q at %s: %w", expectedID, addr, p.cause(ctx, err))
	}
	return conn, nil
}

// awaitWelcome returns once the other side has taken conn, and closes it
// otherwise.
func awaitWelcome(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }) // fails the read
	var said [len(welcome)]byte
	_, err := io.ReadFull(conn, said[:])
	switch {
	case !stop():
		err = ctx.Err()
	case err == nil && string(said[:]) != welcome:
		err = errNotWelcome
	}
	if err != nil {
		_ = conn.Close() // err is what counts
	}
	return err
}
