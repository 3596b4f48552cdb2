package clients

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// dialTimeout bounds the making of a connection: a node that is cut off takes none.
const dialTimeout = time.Second

// errNotSent is the error of a request that no node can have got.
var errNotSent = errors.New("not sent")

// conn is a connection to one node, made when it is needed. It never sends a
// request twice, so that each error says what is known about the request. It is
// for one goroutine.
type conn struct {
	addr string
	nc   net.Conn
	in   *bufio.Reader
}

func (c *conn) close() {
	if c.nc != nil {
		_ = c.nc.Close() // nothing is written that was not answered
		c.nc = nil
	}
}

// do sends r and returns the answer within patience. After an error the
// connection is closed, and unless the error is errNotSent nobody knows whether
// the node got the request.
func (c *conn) do(r *request, k kind, patience time.Duration) (*answer, error) {
	if c.nc == nil {
		nc, err := net.DialTimeout("tcp", c.addr, min(dialTimeout, patience))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotSent, err)
		}
		c.nc = nc
		if c.in == nil {
			c.in = bufio.NewReader(nc)
		} else {
			c.in.Reset(nc)
		}
	}
	_ = c.nc.SetDeadline(time.Now().Add(patience)) // fails only on a closed connection
	a, err := c.exchange(r)
	if err == nil {
		err = a.parse(k)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return a, nil
}

func (c *conn) exchange(r *request) (*answer, error) {
	if _, err := c.nc.Write(r.bytes()); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(c.in, &http.Request{Method: r.method})
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.Close {
		c.close()
	}
	a := &answer{status: resp.StatusCode, body: string(body), replayed: resp.Header.Get("Idempotent-Replayed") == "true"}
	a.index, err = strconv.ParseUint(resp.Header.Get("Purser-Index"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("answer %d without a Purser-Index: %w", a.status, err)
	}
	return a, nil
}

// failure is how a try without an answer is named.
func failure(err error) string {
	switch {
	case errors.Is(err, errNotSent):
		return "not sent"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	}
	return "cut"
}
