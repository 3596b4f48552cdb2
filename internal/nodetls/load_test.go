package nodetls

import (
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func load(t *testing.T, files Files, nodeID string) *Config {
	t.Helper()
	c, err := Load(files, nodeID, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// expire issues a certificate that expired a year ago.
func expire(t *testing.T, a *Authority, nodeID string) Files {
	t.Helper()
	a.now = func() time.Time { return time.Now().Add(-2 * nodeValidity) }
	defer func() { a.now = time.Now }()
	return issue(t, a, Request{NodeID: nodeID})
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoadRefusesFilesThatCannotWork(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	good := issue(t, a, Request{NodeID: "n1"})
	second := issue(t, a, Request{NodeID: "n2"})
	foreign := issue(t, other, Request{NodeID: "n1"})
	old := expire(t, a, "old")
	garbage := t.TempDir() + "/garbage.pem"
	writeFile(t, garbage, "not PEM")

	for name, c := range map[string]struct {
		files Files
		id    string
		names string // what the error names
	}{
		"another node's certificate": {second, "n1", second.Cert},
		"another node's key":         {Files{good.CA, good.Cert, second.Key}, "n1", second.Key},
		"another authority":          {Files{foreign.CA, good.Cert, good.Key}, "n1", good.Cert},
		"an expired certificate":     {old, "old", old.Cert},
		"no authority":               {Files{garbage, good.Cert, good.Key}, "n1", garbage},
		"a node as authority":        {Files{good.Cert, good.Cert, good.Key}, "n1", good.Cert},
		"garbage as certificate":     {Files{good.CA, garbage, good.Key}, "n1", garbage},
		"garbage as key":             {Files{good.CA, good.Cert, garbage}, "n1", garbage},
		"a missing file":             {Files{good.CA, "/nowhere.pem", good.Key}, "n1", "/nowhere.pem"},
		"an impossible id":           {good, "../n1", `"../n1"`},
	} {
		if _, err := Load(c.files, c.id, nil); err == nil || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s: %v, want an error that names %s", name, err, c.names)
		}
	}
	if _, err := Load(second, "n1", nil); !errors.Is(err, ErrWrongNode) {
		t.Errorf("another node's certificate: %v, want ErrWrongNode", err)
	}
	var invalid x509.CertificateInvalidError
	if _, err := Load(old, "old", nil); !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		t.Errorf("expired: %v", err)
	}
}

func TestExpiryIsReadable(t *testing.T) {
	a := newAuthority(t)
	c := load(t, issue(t, a, Request{NodeID: "n1"}), "n1")
	node, authority := c.Expiry()
	if !authority.Equal(a.cert.NotAfter) || !node.Equal(c.current.Load().cert.Leaf.NotAfter) || !node.Before(authority) {
		t.Errorf("node until %v, authority until %v", node, authority)
	}
}

// TestAuthoritiesOverlap: a file with two authorities lets nodes of both talk, as
// while a cluster changes from one to the other.
func TestAuthoritiesOverlap(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	first, second := issue(t, a, Request{NodeID: "n1"}), issue(t, b, Request{NodeID: "n2"})
	both := t.TempDir() + "/both.pem"
	writeFile(t, both, readFile(t, first.CA)+readFile(t, second.CA))
	first.CA, second.CA = both, both
	c1, c2 := load(t, first, "n1"), load(t, second, "n2")
	if got := shake(t, c1.ServerConfig(), c2.ClientConfig("n1")); got.serverErr != nil || got.clientErr != nil {
		t.Errorf("server %v, client %v", got.serverErr, got.clientErr)
	}
}
