package nodetls

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// watched is a node whose clock the test moves, with what it reported.
type watched struct {
	*Config
	files    Files
	late     atomic.Int64 // how far the node's clock is ahead
	reported []error
}

func watch(t *testing.T, a *Authority, nodeID string) *watched {
	t.Helper()
	w := &watched{files: issue(t, a, Request{NodeID: nodeID})}
	c, err := Load(w.files, nodeID, func(err error) { w.reported = append(w.reported, err) })
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	c.now = func() time.Time { return start.Add(time.Duration(w.late.Load())) }
	c.checked = start
	w.Config = c
	return w
}

func (w *watched) pass(d time.Duration) { w.late.Add(int64(d)) }

// serial is the serial number of the certificate that w shows to client.
func (w *watched) serial(t *testing.T, client *Config) string {
	t.Helper()
	got := shake(t, w.ServerConfig(), client.ClientConfig("n1"))
	if got.serverErr != nil || got.clientErr != nil {
		t.Fatalf("server %v, client %v", got.serverErr, got.clientErr)
	}
	return got.serverCert.SerialNumber.String()
}

func TestRenewedCertificateIsTaken(t *testing.T) {
	a := newAuthority(t)
	w, client := watch(t, a, "n1"), load(t, issue(t, a, Request{NodeID: "n2"}), "n2")
	first := w.serial(t, client)
	issue(t, a, Request{NodeID: "n1", Replace: true})
	w.pass(checkEvery - 1)
	if w.serial(t, client) != first || len(w.reported) != 0 {
		t.Error("the files are read at every handshake")
	}
	w.pass(1)
	second := w.serial(t, client)
	if second == first || len(w.reported) != 1 || w.reported[0] != nil {
		t.Errorf("a second later: renewed %v, reported %v", second != first, w.reported)
	}
	w.pass(checkEvery)
	if w.serial(t, client) != second || len(w.reported) != 1 {
		t.Errorf("unchanged files: reported %v", w.reported)
	}

	issue(t, a, Request{NodeID: "n1", Replace: true})
	w.pass(checkEvery - 1)
	if w.serial(t, client) != second {
		t.Error("after the first second the files are read at every handshake")
	}

	// The dialling side follows too.
	w.pass(1)
	got := shake(t, client.ServerConfig(), w.ClientConfig("n2"))
	if got.serverErr != nil || got.clientErr != nil {
		t.Fatalf("server %v, client %v", got.serverErr, got.clientErr)
	}
	if serial := got.clientCert.SerialNumber.String(); serial == second || serial != w.serial(t, client) {
		t.Error("the dialling side showed the old certificate")
	}
}

func TestReloadIsExplicitToo(t *testing.T) {
	a := newAuthority(t)
	w, client := watch(t, a, "n1"), load(t, issue(t, a, Request{NodeID: "n2"}), "n2")
	first := w.serial(t, client)
	issue(t, a, Request{NodeID: "n1", Replace: true})
	if err := w.Reload(); err != nil {
		t.Fatal(err)
	}
	if w.serial(t, client) == first {
		t.Error("Reload took nothing")
	}
	writeFile(t, w.files.Key, "")
	if err := w.Reload(); err == nil || !strings.Contains(err.Error(), w.files.Key) {
		t.Errorf("Reload of an empty key: %v", err)
	}
	if len(w.reported) != 0 {
		t.Errorf("returned and reported: %v", w.reported)
	}
}

func TestBrokenFilesKeepTheOldCertificate(t *testing.T) {
	a := newAuthority(t)
	w, client := watch(t, a, "n1"), load(t, issue(t, a, Request{NodeID: "n2"}), "n2")
	first := w.serial(t, client)
	second := NodeFiles(a.dir, "n2")
	foreign := issue(t, newAuthority(t), Request{NodeID: "n1"})
	cert, key := readFile(t, w.files.Cert), readFile(t, w.files.Key)
	for name, c := range map[string]struct{ cert, key string }{
		"garbage":                   {"garbage", key},
		"half a file":               {cert[:len(cert)/2], key},
		"a certificate without key": {readFile(t, second.Cert), key},
		"another node's":            {readFile(t, second.Cert), readFile(t, second.Key)},
		"another authority's":       {readFile(t, foreign.Cert), readFile(t, foreign.Key)},
	} {
		w.reported = nil
		writeFile(t, w.files.Cert, c.cert)
		writeFile(t, w.files.Key, c.key)
		for range 2 { // tried again, and still with the old one
			w.pass(checkEvery)
			if w.serial(t, client) != first {
				t.Errorf("%s was taken", name)
			}
		}
		if len(w.reported) != 2 || w.reported[0] == nil || !strings.Contains(w.reported[0].Error(), w.files.Cert) {
			t.Errorf("%s: reported %v, want the file's name, twice", name, w.reported)
		}
	}
	if err := os.Remove(w.files.Cert); err != nil {
		t.Fatal(err)
	}
	w.reported = nil
	w.pass(checkEvery)
	if w.serial(t, client) != first || len(w.reported) != 1 || !errors.Is(w.reported[0], os.ErrNotExist) {
		t.Errorf("removed: reported %v", w.reported)
	}
	issue(t, a, Request{NodeID: "n1", Replace: true})
	w.pass(checkEvery)
	if w.serial(t, client) == first {
		t.Error("a good certificate after broken ones was not taken")
	}
}

// TestAuthorityIsReplaced: with the files of a new authority, the old one's nodes
// are refused.
func TestAuthorityIsReplaced(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	w, old := watch(t, a, "n1"), load(t, issue(t, a, Request{NodeID: "n2"}), "n2")
	w.serial(t, old)
	moved := issue(t, b, Request{NodeID: "n1"})
	for to, from := range map[string]string{w.files.CA: moved.CA, w.files.Cert: moved.Cert, w.files.Key: moved.Key} {
		writeFile(t, to, readFile(t, from))
	}
	w.pass(checkEvery)
	if got := shake(t, w.ServerConfig(), old.ClientConfig("n1")); got.clientErr == nil {
		t.Error("a node of the old authority still believes")
	}
	newer := load(t, issue(t, b, Request{NodeID: "n2"}), "n2")
	w.serial(t, newer)
	if got := shake(t, old.ServerConfig(), w.ClientConfig("n2")); got.clientErr == nil || !strings.Contains(got.clientErr.Error(), "unknown authority") {
		t.Errorf("dialling a node of the old authority: %v", got.clientErr)
	}
}
