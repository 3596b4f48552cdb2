//go:build !linux

package bench

import (
	"context"
	"net"
	"time"
)

// drive runs the closed loop of w over the sockets, one for each of its
// connections, until all have ended or ctx has. It closes the sockets and
// returns after all goroutines that it started.
func (w *worker) drive(ctx context.Context, start time.Time, sockets []net.Conn) error {
	return w.driveBlocking(ctx, start, sockets)
}
