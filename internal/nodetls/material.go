package nodetls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// material is what a node's files held at one moment, checked. It is immutable.
type material struct {
	from      contents
	cert      tls.Certificate
	roots     *x509.CertPool
	authority *x509.Certificate // the one that certifies cert
}

// newMaterial checks everything that a handshake with these files would need, so
// that files which cannot work are never taken: the key belongs to the
// certificate, the certificate is this node's and the authority certifies it now.
func newMaterial(files Files, from contents, nodeID string, now time.Time) (*material, error) {
	roots, err := parseRoots(from.ca)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", files.CA, err)
	}
	cert, err := tls.X509KeyPair(from.cert, from.key)
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", files.Cert, files.Key, err)
	}
	if err := checkCertifiedID(cert.Leaf, nodeID); err != nil {
		return nil, fmt.Errorf("%s: %w", files.Cert, err)
	}
	m := &material{from: from, cert: cert, roots: roots}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		chain, err := m.verify(cert.Leaf, usage, now)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", files.Cert, err)
		}
		m.authority = chain[len(chain)-1]
	}
	return m, nil
}

// verify returns a chain from a certificate to one of the authorities. It knows
// none in between: one that signs nodes' certificates belongs into Files.CA.
func (m *material) verify(cert *x509.Certificate, usage x509.ExtKeyUsage, now time.Time) ([]*x509.Certificate, error) {
	chains, err := cert.Verify(x509.VerifyOptions{
		Roots:       m.roots,
		KeyUsages:   []x509.ExtKeyUsage{usage},
		CurrentTime: now,
	})
	if err != nil {
		return nil, err
	}
	return chains[0], nil
}

func (c contents) equal(o contents) bool {
	return bytes.Equal(c.ca, o.ca) && bytes.Equal(c.cert, o.cert) && bytes.Equal(c.key, o.key)
}

// parseRoots takes several authorities, so that an old and a new one can
// overlap.
func parseRoots(text []byte) (*x509.CertPool, error) {
	roots, found := x509.NewCertPool(), false
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if !cert.IsCA {
			return nil, fmt.Errorf("%q is not an authority", cert.Subject.CommonName)
		}
		roots.AddCert(cert)
		found = true
	}
	if !found {
		return nil, errors.New("no certificate found")
	}
	return roots, nil
}
