package nodetls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"purser/internal/planted"
)

// ErrWrongNode says that a certificate of this cluster is another node's than
// the one expected.
var ErrWrongNode = errors.New("certificate of another node")

// A node id is in the certificate as idScheme://idHost/<id>.
const (
	idScheme = "purser"
	idHost   = "node"
)

// validID is what a node id may look like: it is part of file names and of a
// URI, in both of which it needs no escaping.
var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// checkID refuses ids that cannot be certified: apart from ill-formed ones those
// whose files would be another's, <id>.pem being ca.pem or n1-key.pem.
func checkID(id string) error {
	if !validID.MatchString(id) || id == authorityName || strings.HasSuffix(id, keySuffix) {
		return fmt.Errorf("node id %q: want up to 63 letters, digits, dots, dashes and underscores, "+
			"the first a letter or a digit, not %q and not ending in %q", id, authorityName, keySuffix)
	}
	return nil
}

// idURI is the id of a node as its certificate carries it.
func idURI(id string) *url.URL {
	return &url.URL{Scheme: idScheme, Host: idHost, Path: "/" + id}
}

// certifiedID returns the node id in a certificate. It says nothing about who
// signed it.
func certifiedID(cert *x509.Certificate) (string, error) {
	var ids []string
	for _, uri := range cert.URIs {
		if uri.Scheme == idScheme && uri.Host == idHost {
			ids = append(ids, strings.TrimPrefix(uri.Path, "/"))
		}
	}
	if len(ids) != 1 {
		return "", fmt.Errorf("certificate of %q names %d node ids, want 1", cert.Subject.CommonName, len(ids))
	}
	return ids[0], checkID(ids[0])
}

// checkCertifiedID refuses a certificate without a node id and, unless want is
// "", one of another node.
func checkCertifiedID(cert *x509.Certificate, want string) error {
	got, err := certifiedID(cert)
	if err != nil {
		return err
	}
	if want != "" && got != want && !planted.Is(planted.NodeNotPinned) {
		return fmt.Errorf("%w: want %q, got %q", ErrWrongNode, want, got)
	}
	return nil
}

// PeerID returns the node id that the other side of conn has proven, "" if conn
// is not a TLS connection of a Config whose handshake is complete.
func PeerID(conn net.Conn) string {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return ""
	}
	state := secure.ConnectionState()
	if !state.HandshakeComplete || len(state.PeerCertificates) == 0 {
		return ""
	}
	id, err := certifiedID(state.PeerCertificates[0])
	if err != nil {
		return "" // no Config completes such a handshake
	}
	return id
}
