package peer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"purser/internal/nodetls"
)

// What the first bytes of a connection say that it is.
const (
	kindRaft    = "purser/r"
	kindControl = "purser/c"
	kindForward = "purser/f"
	kindLen     = len(kindRaft)
)

// acceptPause is the wait after a failure to accept: descriptors or memory are
// short, which passes.
const acceptPause = 20 * time.Millisecond

// accept takes in connections until the port is closed. It never waits for one
// of them.
func (p *Port) accept() {
	for {
		conn, err := p.listener.Accept()
		switch {
		case err == nil:
			if err := p.arriving.add(conn, ""); err != nil {
				p.refuse(conn, reasonTooMany, err)
				continue
			}
			p.running.Go(func() { p.arrive(conn) })
		case errors.Is(err, net.ErrClosed):
			return
		default:
			p.cfg.Logger.Error("cannot accept connections of other nodes", "error", err)
			select {
			case <-time.After(acceptPause):
			case <-p.ctx.Done():
				return
			}
		}
	}
}

// arrive finds out what a connection is and passes it on.
func (p *Port) arrive(raw net.Conn) {
	defer p.arriving.remove(raw)
	conn, kind, err := p.identify(raw)
	if err != nil {
		p.refuse(raw, reasonHandshake, err)
		return
	}
	id := nodetls.PeerID(conn)
	switch kind {
	case kindRaft:
		if !p.raft.opened.Load() {
			p.refuse(conn, reasonRaftClosed, errors.New("raft does not run here yet"))
			return
		}
		p.arriveStream(p.raft.stream, reasonRaftClosed, raw, conn, id)
	case kindForward:
		if p.arriveStream(p.forwarded, reasonForwardClosed, raw, conn, id) {
			// Into an empty buffer: this does not wait for the peer. Who serves the
			// connection finds out if it failed.
			_, _ = conn.Write([]byte(welcome))
		}
	case kindControl:
		p.arriveControl(raw, conn, id)
	default:
		p.refuse(conn, reasonKind, errors.New("not a connection of this cluster's nodes"))
	}
}

// identify does the handshake and reads the kind. The deadline that it sets on
// the connection stays.
func (p *Port) identify(raw net.Conn) (conn net.Conn, kind string, err error) {
	if err := raw.SetDeadline(time.Now().Add(p.cfg.ArrivalTimeout)); err != nil {
		return nil, "", err
	}
	conn = raw
	if p.cfg.TLS != nil {
		secure := tls.Server(raw, p.cfg.TLS.ServerConfig())
		if err := secure.HandshakeContext(p.ctx); err != nil {
			return nil, "", err
		}
		conn = secure
	}
	var buf [kindLen]byte
	_, err = io.ReadFull(conn, buf[:])
	return conn, string(buf[:]), err
}

// arriveStream hands a connection of a member to whoever serves s, and says
// whether that was done.
func (p *Port) arriveStream(s *stream, closed string, raw, conn net.Conn, id string) (taken bool) {
	if p.cfg.TLS != nil && !p.cfg.Member(id) {
		p.refuse(conn, reasonMember, fmt.Errorf("node %q is not a member", id))
		return false
	}
	err := p.move(raw, id, s.conns)
	if err == nil {
		err = s.offer(raw, conn)
	}
	switch {
	case err == nil:
		return true
	case errors.Is(err, errTooMany):
		p.refuse(conn, reasonTooMany, err)
	default:
		p.refuse(conn, closed, errors.New("nobody serves such connections here any more"))
	}
	return false
}

// arriveControl serves a control call.
func (p *Port) arriveControl(raw, conn net.Conn, id string) {
	if err := p.move(raw, id, p.control); err != nil {
		p.refuse(conn, reasonTooMany, err)
		return
	}
	defer p.control.remove(raw)
	if err := p.serve(conn, Caller{NodeID: id, RemoteAddr: raw.RemoteAddr().String()}); err != nil {
		p.refuse(conn, reasonCall, err)
		return
	}
	_ = conn.Close() // the answer is sent; how the connection ends changes nothing
}

// move passes a connection on from those arriving. It is never in no set: Close
// would miss it.
func (p *Port) move(raw net.Conn, id string, to *connSet) error {
	if err := to.add(raw, id); err != nil {
		return err
	}
	p.arriving.remove(raw)
	return nil
}

// refuse counts, reports and closes a connection, in this order: who sees it
// closed finds it counted.
func (p *Port) refuse(conn net.Conn, reason string, err error) {
	if p.ctx.Err() == nil { // else the port itself ended it
		p.metrics.refused.WithLabelValues(reason).Inc()
		p.cfg.Logger.Warn("connection to the port for nodes refused", "from", conn.RemoteAddr().String(), "reason", reason, "error", err)
	}
	_ = conn.Close() // it is given up anyway
}
