package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// request is one HTTP request. A body is sent as application/json unless media
// says otherwise.
type request struct {
	method, path string
	key          string // Idempotency-Key, empty for none
	body         string
	media        string
	header       string // further lines, each ended by CRLF
}

func post(path, key, body string) request {
	return request{method: "POST", path: path, key: key, body: body}
}

func get(path string) request { return request{method: "GET", path: path} }

func (r *request) bytes() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: purser\r\n%s", r.method, r.path, r.header)
	if r.key != "" {
		fmt.Fprintf(&b, "Idempotency-Key: %s\r\n", r.key)
	}
	if r.body != "" {
		media := r.media
		if media == "" {
			media = "application/json"
		}
		fmt.Fprintf(&b, "Content-Type: %s\r\n", media)
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(r.body), r.body)
	return []byte(b.String())
}

// answer is the response to a request.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a *answer) replayed() bool { return a.header.Get("Idempotent-Replayed") == "true" }

// sameAs reports whether a client cannot tell the two apart.
func (a *answer) sameAs(b *answer) bool {
	return a.status == b.status && a.body == b.body && a.header.Get("Content-Type") == b.header.Get("Content-Type")
}

// code is the error code, empty for none.
func (a *answer) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal([]byte(a.body), &p) // no problem has no code
	if a.status < 400 {
		return ""
	}
	return p.Code
}

// conn is one connection to a server. Unlike net/http's client it never sends a
// request twice, so that an error tells that the outcome is unknown.
type conn struct {
	tb   testing.TB
	addr string
	nc   net.Conn
	in   *bufio.Reader
}

// dial returns a connection that is made when the first request is sent.
func dial(tb testing.TB, addr string) *conn { return &conn{tb: tb, addr: addr} }

func (c *conn) open() error {
	nc, err := net.DialTimeout("tcp", c.addr, patience)
	if err != nil {
		return err
	}
	c.nc, c.in = nc, bufio.NewReader(nc)
	return nil
}

func (c *conn) close() {
	if c.nc != nil {
		_ = c.nc.Close() // only ever read from here
		c.nc = nil
	}
}

// send writes a request in one piece.
func (c *conn) send(r request) error {
	if c.nc == nil {
		if err := c.open(); err != nil {
			return err
		}
	}
	_ = c.nc.SetDeadline(time.Now().Add(patience)) // fails only on a closed connection
	_, err := c.nc.Write(r.bytes())
	return err
}

// receive reads the response to a request of the given method.
func (c *conn) receive(method string) (*answer, error) {
	resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close() // read to its end
	if resp.Close {
		c.close()
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: string(body)}, nil
}

// do sends a request and returns its answer, even if the server would not read
// the whole request. After an error the outcome of the request is unknown, and
// the connection closed.
func (c *conn) do(r request) (*answer, error) {
	err := c.send(r)
	if c.nc == nil {
		return nil, err
	}
	a, fault := c.receive(r.method)
	if fault != nil {
		c.close()
		return nil, errors.Join(err, fault)
	}
	if err != nil {
		c.close()
	}
	return a, nil
}

// must is do for requests that must be answered, on the test's own goroutine.
func (c *conn) must(r request) *answer {
	c.tb.Helper()
	a, err := c.do(r)
	if err != nil {
		c.tb.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	return a
}

// expect is must for requests that must be answered with status.
func (c *conn) expect(status int, r request) *answer {
	c.tb.Helper()
	a := c.must(r)
	if a.status != status {
		c.tb.Fatalf("%s %s %s answered %d, want %d: %s", r.method, r.path, r.body, a.status, status, a.body)
	}
	return a
}
