package nodetls

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newAuthority(t *testing.T) *Authority {
	t.Helper()
	a, err := CreateAuthority(filepath.Join(t.TempDir(), "certs"))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *Authority, r Request) Files {
	t.Helper()
	files, err := a.Issue(r)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestIssuedCertificateSaysWhoAndWhere(t *testing.T) {
	a := newAuthority(t)
	files := issue(t, a, Request{NodeID: "n1", Hosts: []string{"node1.example", "10.0.0.1", "::1"}})
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pair.Leaf
	if got := cert.URIs[0].String(); len(cert.URIs) != 1 || got != "purser://node/n1" {
		t.Errorf("URIs %v", cert.URIs)
	}
	if cert.Subject.CommonName != "n1" {
		t.Errorf("common name %q", cert.Subject.CommonName)
	}
	if len(cert.DNSNames) != 1 || cert.DNSNames[0] != "node1.example" {
		t.Errorf("names %v", cert.DNSNames)
	}
	if len(cert.IPAddresses) != 2 || !cert.IPAddresses[0].Equal(net.ParseIP("10.0.0.1")) || !cert.IPAddresses[1].Equal(net.IPv6loopback) {
		t.Errorf("addresses %v", cert.IPAddresses)
	}
	if cert.IsCA {
		t.Error("a node could sign certificates")
	}
	for name, want := range map[string]fs.FileMode{files.Key: 0o600, NodeFiles(a.dir, authorityName).Key: 0o600, files.Cert: 0o644} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %v", name, info.Mode(), err, want)
		}
	}
}

func TestAuthorityIsReused(t *testing.T) {
	a := newAuthority(t)
	before := readFile(t, NodeFiles(a.dir, authorityName).Cert)
	again, err := CreateAuthority(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	if after := readFile(t, NodeFiles(a.dir, authorityName).Cert); before != after {
		t.Error("a second CreateAuthority made another authority")
	}
	first, second := load(t, issue(t, a, Request{NodeID: "n1"}), "n1"), load(t, issue(t, again, Request{NodeID: "n2"}), "n2")
	if got := shake(t, first.ServerConfig(), second.ClientConfig("n1")); got.serverErr != nil || got.clientErr != nil {
		t.Errorf("nodes of one authority: %v, %v", got.serverErr, got.clientErr)
	}
}

func TestExistingFilesAreKept(t *testing.T) {
	a := newAuthority(t)
	files := issue(t, a, Request{NodeID: "n1"})
	cert, key := readFile(t, files.Cert), readFile(t, files.Key)
	if _, err := a.Issue(Request{NodeID: "n1"}); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), files.Key) {
		t.Errorf("second certificate for a node: %v, want fs.ErrExist that names the file", err)
	}
	if readFile(t, files.Cert) != cert || readFile(t, files.Key) != key {
		t.Error("refused, but the files changed")
	}
	// One of the two is enough to refuse, and to leave no other behind.
	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Issue(Request{NodeID: "n1"}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("certificate without key: %v, want fs.ErrExist", err)
	}
	if _, err := os.Stat(files.Key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused request left a key: %v", err)
	}
	issue(t, a, Request{NodeID: "n1", Replace: true})
	if readFile(t, files.Cert) == cert || readFile(t, files.Key) == key {
		t.Error("Replace kept the old files")
	}
	if info, err := os.Stat(files.Key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("replaced key: %v, %v", info.Mode(), err)
	}
}

func TestHalfAnAuthorityIsRefused(t *testing.T) {
	files := NodeFiles(newAuthority(t).dir, authorityName)
	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateAuthority(filepath.Dir(files.Key)); err == nil || !strings.Contains(err.Error(), files.Key) {
		t.Errorf("authority without key: %v, want the missing file's name", err)
	}
}

func TestIssueRefusesWhatCannotBeCertified(t *testing.T) {
	a := newAuthority(t)
	for _, id := range []string{"", "ca", "n1-key", "../n1", "a/b", ".n1", "-n1", "n 1", "n:1", strings.Repeat("n", 64)} {
		if _, err := a.Issue(Request{NodeID: id, Replace: true}); err == nil {
			t.Errorf("issued to node id %q", id)
		}
	}
	for _, host := range []string{"", "node1:7001", "[::1]", "http://node1", "node 1"} {
		if _, err := a.Issue(Request{NodeID: "n1", Hosts: []string{host}}); err == nil {
			t.Errorf("issued for host %q", host)
		}
	}
}

func TestNoCertificateOutlivesItsAuthority(t *testing.T) {
	a := newAuthority(t)
	end := a.cert.NotAfter
	a.now = func() time.Time { return end.Add(-time.Hour) }
	files := issue(t, a, Request{NodeID: "n1"})
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	if !pair.Leaf.NotAfter.Equal(end) {
		t.Errorf("certificate until %v, authority until %v", pair.Leaf.NotAfter, end)
	}
	a.now = func() time.Time { return end }
	if _, err := a.Issue(Request{NodeID: "n2"}); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired authority issues: %v", err)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
