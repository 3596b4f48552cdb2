package nodetls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// outcome is what both sides of one connection saw.
type outcome struct {
	serverErr, clientErr   error
	serverSaw, clientSaw   string // node ids
	resumed                bool
	serverCert, clientCert *x509.Certificate
}

// shake makes one connection over TCP. The server sends a byte, so that the
// client learns whether it was accepted: in TLS 1.3 it cannot know before.
func shake(t *testing.T, server, client *tls.Config) outcome {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var got outcome
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw, err := listener.Accept()
		if err != nil {
			got.serverErr = err
			return
		}
		conn := tls.Server(raw, server)
		defer conn.Close()
		if got.serverErr = conn.Handshake(); got.serverErr != nil {
			return
		}
		got.serverSaw = PeerID(conn)
		got.clientCert = conn.ConnectionState().PeerCertificates[0]
		if _, got.serverErr = conn.Write([]byte("k")); got.serverErr == nil {
			_, _ = io.Copy(io.Discard, conn) // until the client has closed
		}
	}()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, client)
	if got.clientErr = conn.Handshake(); got.clientErr == nil {
		_, got.clientErr = io.ReadFull(conn, make([]byte, 1))
		state := conn.ConnectionState()
		got.clientSaw, got.resumed, got.serverCert = PeerID(conn), state.DidResume, state.PeerCertificates[0]
	}
	_ = conn.Close()
	_ = raw.Close()
	<-done
	return got
}

// three makes nodes n1, n2, n3 of one authority.
func three(t *testing.T) (*Authority, [3]*Config) {
	t.Helper()
	a := newAuthority(t)
	var nodes [3]*Config
	for i, id := range []string{"n1", "n2", "n3"} {
		nodes[i] = load(t, issue(t, a, Request{NodeID: id}), id)
	}
	return a, nodes
}

func TestNodesProveWhoTheyAre(t *testing.T) {
	_, nodes := three(t)
	for _, expected := range []string{"n1", ""} {
		got := shake(t, nodes[0].ServerConfig(), nodes[1].ClientConfig(expected))
		if got.serverErr != nil || got.clientErr != nil {
			t.Fatalf("expecting %q: server %v, client %v", expected, got.serverErr, got.clientErr)
		}
		if got.serverSaw != "n2" || got.clientSaw != "n1" {
			t.Errorf("expecting %q: server saw %q, client saw %q", expected, got.serverSaw, got.clientSaw)
		}
	}
}

func TestDialRefusesAnotherNode(t *testing.T) {
	_, nodes := three(t)
	got := shake(t, nodes[0].ServerConfig(), nodes[1].ClientConfig("n3"))
	if !errors.Is(got.clientErr, ErrWrongNode) || !strings.Contains(got.clientErr.Error(), `want "n3", got "n1"`) {
		t.Errorf("%v, want ErrWrongNode that names both", got.clientErr)
	}
	if got.serverErr == nil {
		t.Error("the server did not notice")
	}
}

// TestPeerIDNeedsAHandshake: who has proven nothing is nobody.
func TestPeerIDNeedsAHandshake(t *testing.T) {
	_, nodes := three(t)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if id := PeerID(a); id != "" {
		t.Errorf("plain connection of %q", id)
	}
	if id := PeerID(tls.Client(a, nodes[0].ClientConfig("n2"))); id != "" {
		t.Errorf("connection of %q before its handshake", id)
	}
}

// pair is a certificate without the checks that Load makes.
func pair(t *testing.T, files Files, above ...[]byte) tls.Certificate {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert.Certificate = append(cert.Certificate, above...)
	return cert
}

// impostors returns certificates that must not be believed, by what is wrong, and
// a part of the error that says so.
func impostors(t *testing.T, a *Authority) map[string]struct {
	cert tls.Certificate
	says string
} {
	t.Helper()
	other := newAuthority(t)
	unnamed := NodeFiles(a.dir, "unnamed")
	template, err := a.template(Request{NodeID: "n9"})
	if err != nil {
		t.Fatal(err)
	}
	template.URIs = nil
	if err := a.sign(unnamed, template, false); err != nil {
		t.Fatal(err)
	}
	twice := NodeFiles(a.dir, "twice")
	template.URIs = []*url.URL{idURI("n1"), idURI("n9")}
	if err := a.sign(twice, template, false); err != nil {
		t.Fatal(err)
	}
	useless := NodeFiles(a.dir, "useless")
	template.URIs, template.ExtKeyUsage = []*url.URL{idURI("n9")}, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	if err := a.sign(useless, template, false); err != nil {
		t.Fatal(err)
	}
	// A node that signs certificates with its own.
	signer := issue(t, a, Request{NodeID: "signer"})
	signing := pair(t, signer)
	node := &Authority{dir: filepath.Dir(signer.Cert), cert: signing.Leaf, key: signing.PrivateKey, now: a.now}
	return map[string]struct {
		cert tls.Certificate
		says string
	}{
		"another authority":  {pair(t, issue(t, other, Request{NodeID: "n1"})), "unknown authority"},
		"expired":            {pair(t, expire(t, a, "n8")), "expired"},
		"no node id":         {pair(t, unnamed), "names 0 node ids"},
		"two node ids":       {pair(t, twice), "names 2 node ids"},
		"for other purposes": {pair(t, useless), "usage"},
		"signed by a node":   {pair(t, issue(t, node, Request{NodeID: "n7"}), signing.Certificate[0]), "unknown authority"},
	}
}

func TestServerRefusesImpostors(t *testing.T) {
	a, nodes := three(t)
	for name, c := range impostors(t, a) {
		client := nodes[1].ClientConfig("n1")
		client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.cert, nil }
		got := shake(t, nodes[0].ServerConfig(), client)
		if got.serverErr == nil || !strings.Contains(got.serverErr.Error(), c.says) {
			t.Errorf("%s: server says %v, want %q", name, got.serverErr, c.says)
		}
		if got.clientErr == nil {
			t.Errorf("%s: the client was served", name)
		}
	}
	anonymous := nodes[1].ClientConfig("n1")
	anonymous.GetClientCertificate = nil
	if got := shake(t, nodes[0].ServerConfig(), anonymous); got.serverErr == nil || got.clientErr == nil {
		t.Errorf("no certificate: server %v, client %v", got.serverErr, got.clientErr)
	}
}

func TestClientRefusesImpostors(t *testing.T) {
	a, nodes := three(t)
	for name, c := range impostors(t, a) {
		server := nodes[0].serverConfig(nodes[0].current.Load())
		server.Certificates = []tls.Certificate{c.cert}
		got := shake(t, server, nodes[1].ClientConfig(""))
		if got.clientErr == nil || !strings.Contains(got.clientErr.Error(), c.says) {
			t.Errorf("%s: client says %v, want %q", name, got.clientErr, c.says)
		}
	}
}

func TestOnlyTLS13(t *testing.T) {
	_, nodes := three(t)
	client := nodes[1].ClientConfig("n1")
	client.MinVersion, client.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if got := shake(t, nodes[0].ServerConfig(), client); got.serverErr == nil || got.clientErr == nil {
		t.Errorf("TLS 1.2 client: server %v, client %v", got.serverErr, got.clientErr)
	}
	server := nodes[0].serverConfig(nodes[0].current.Load())
	server.MinVersion, server.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if got := shake(t, server, nodes[1].ClientConfig("n1")); got.serverErr == nil || got.clientErr == nil {
		t.Errorf("TLS 1.2 server: server %v, client %v", got.serverErr, got.clientErr)
	}
}

// TestNoSessionIsResumed: a client that would resume cannot, and even a session
// of a server that allowed it could not get past the pin.
func TestNoSessionIsResumed(t *testing.T) {
	_, nodes := three(t)
	cache := tls.NewLRUClientSessionCache(8)
	dial := func(server *tls.Config, expected string) outcome {
		client := nodes[1].ClientConfig(expected)
		client.ClientSessionCache, client.ServerName = cache, "n"
		return shake(t, server, client)
	}
	for range 3 {
		if got := dial(nodes[0].ServerConfig(), "n1"); got.clientErr != nil || got.resumed {
			t.Fatalf("resumed %v, %v", got.resumed, got.clientErr)
		}
	}

	lax := nodes[0].serverConfig(nodes[0].current.Load())
	lax.SessionTicketsDisabled = false
	if got := dial(lax, "n1"); got.clientErr != nil || got.resumed {
		t.Fatalf("first: resumed %v, %v", got.resumed, got.clientErr)
	}
	if got := dial(lax, "n1"); got.clientErr != nil || !got.resumed {
		t.Fatalf("not resumed although both sides would, so this test shows nothing: %v", got.clientErr)
	}
	if got := dial(lax, "n3"); !errors.Is(got.clientErr, ErrWrongNode) {
		t.Errorf("resumed past the pin: %v", got.clientErr)
	}
}
