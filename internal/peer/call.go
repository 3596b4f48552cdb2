package peer

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// callLimit bounds every call and every handler, so that none can hold its
// connection for ever. What takes longer is asked again.
const callLimit = time.Minute

// Call asks the node at addr and decodes its answer into out, unless that is
// nil. It uses a connection of its own, and does not try again. ctx bounds it; so
// does a limit of one minute.
//
// expectedID is the node that has to answer, "" any node of this cluster; without
// TLS it is not checked. Errors: a *RemoteError is what the node answered; the
// others, ErrTooLarge, ErrNewerVersion, nodetls.ErrWrongNode, the context's,
// net.ErrClosed once the port is closed and those of the network, leave open
// whether the call was carried out.
func (p *Port) Call(ctx context.Context, addr, expectedID, method string, in, out any) error {
	ctx, cancel := p.bounded(ctx, callLimit)
	defer cancel()
	answer, err := p.exchange(ctx, addr, expectedID, method, in)
	if err != nil {
		return fmt.Errorf("call %s of node %q at %s: %w", method, expectedID, addr, p.cause(ctx, err))
	}
	if answer.Error != nil {
		return fmt.Errorf("call %s of node %q at %s: %w", method, expectedID, addr, answer.Error)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Body, out); err != nil {
		return fmt.Errorf("call %s of node %q at %s: answer: %w", method, expectedID, addr, err)
	}
	return nil
}

// exchange sends the request and reads the response.
func (p *Port) exchange(ctx context.Context, addr, expectedID, method string, in any) (*response, error) {
	frame, err := encodeRequest(ctx, method, in)
	if err != nil {
		return nil, err
	}
	conn, err := p.connect(ctx, addr, expectedID, kindControl)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // all that matters was read before
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails the read or write under way
	})
	defer stop()
	if _, err := conn.Write(frame); err != nil {
		return nil, err
	}
	var answer response
	if err := readFrame(conn, &answer); err != nil {
		return nil, err
	}
	return &answer, nil
}

// encodeRequest tells the other side how long there is someone to answer.
func encodeRequest(ctx context.Context, method string, in any) ([]byte, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline() // bounded has set one
	return appendFrame(nil, request{Method: method, TimeoutMS: time.Until(deadline).Milliseconds(), Body: body})
}
