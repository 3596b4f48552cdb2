package main

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"purser/internal/nodetls"
)

// TestForwardBetweenNodes: payments by way of every node of a cluster with
// certificates. Whoever has no certificate of a member cannot forward, and a client
// that says that it is a node is served as a client.
func TestForwardBetweenNodes(t *testing.T) {
	c := newTrio(t)
	for i := range c.nodes {
		c.start(i)
	}
	leader := c.leader()
	for i := range c.nodes {
		c.nodes[i].awaitReady()
		conn := dial(t, c.api[i])
		defer conn.close()
		conn.expect(201, request{
			method: "PUT", path: accountPath(sourceID(i)), body: `{"currency":"USD"}`,
			header: "Purser-Forwarded-By: n9\r\nPurser-Request-Id: forged\r\n",
		})
		key := "fund-" + sourceID(i)
		paid := conn.expect(201, post("/v1/payments", key, payBody("world:USD", sourceID(i), 100)))
		other := dial(t, c.api[leader])
		defer other.close()
		if again := other.expect(201, post("/v1/payments", key, payBody("world:USD", sourceID(i), 100))); !again.replayed() || again.body != paid.body {
			t.Errorf("node %d: the leader has %s, the client was told %s", i+1, again.body, paid.body)
		}
	}
	stranger, err := nodetls.Load(c.certify("n9"), "n9", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, secure := range map[string]*tls.Config{
		"no TLS":                   nil,
		"no certificate":           {InsecureSkipVerify: true},
		"certificate of no member": stranger.ClientConfig("n1"),
	} {
		if got := forwardTo(t, c.raft[0], secure); strings.Contains(got, "HTTP") || strings.Contains(got, "purser/f") {
			t.Errorf("%s: answered %q", name, got)
		}
	}
	member, err := nodetls.Load(nodetls.NodeFiles(c.certsDir(), "n2"), "n2", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := forwardTo(t, c.raft[0], member.ClientConfig("n1")); !strings.HasPrefix(got, "purser/fHTTP/1.1 ") {
		t.Errorf("a member is answered %q", got)
	}
}

// forwardTo sends a request as a node that forwards it, and returns what comes back.
func forwardTo(t *testing.T, addr string, secure *tls.Config) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if secure != nil {
		conn = tls.Client(conn, secure)
	}
	// Neither error is a fault: those who are refused may meet the end of the
	// connection anywhere.
	_, _ = io.WriteString(conn, "purser/fGET /v1/accounts HTTP/1.1\r\nHost: leader\r\nConnection: close\r\n\r\n")
	got, _ := io.ReadAll(conn)
	return string(got)
}
