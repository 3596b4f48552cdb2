package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// client asks a node for what is not part of the load. It is safe for use by
// several goroutines; close it when they are done.
type client struct {
	http *http.Client
}

// newClient returns a client that keeps up to so many connections per node.
func newClient(connections int) client {
	transport := &http.Transport{
		MaxIdleConnsPerHost: connections,
		DisableCompression:  true,
		IdleConnTimeout:     time.Second, // before servers give up on a connection that was never used
	}
	return client{&http.Client{Transport: transport}}
}

func (c client) close() { c.http.CloseIdleConnections() }

// response is a whole HTTP response.
type response struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request, with in as its JSON body unless that is nil, and with
// header fields given as names and values, and returns the response whatever its
// status.
func (c client) do(ctx context.Context, method, url string, in any, header ...string) (r response, err error) {
	var content []byte
	if in != nil {
		if content, err = json.Marshal(in); err != nil {
			return r, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(content))
	if err != nil {
		return r, err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return r, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return r, fmt.Errorf("read the answer of %s: %w", url, err)
	}
	return response{resp.StatusCode, resp.Header, body}, nil
}

// call is do for what has to succeed: it decodes the answer into out.
func (c client) call(ctx context.Context, method, url string, in, out any) error {
	resp, err := c.do(ctx, method, url, in)
	if err != nil {
		return err
	}
	if resp.status >= http.StatusBadRequest {
		var p struct{ Code, Detail string }
		_ = json.Unmarshal(resp.body, &p) // what is no problem document has none of these
		return fmt.Errorf("%s %s: status %d %s: %s", method, url, resp.status, p.Code, p.Detail)
	}
	if err := json.Unmarshal(resp.body, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	return nil
}
