package nodetls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	authorityValidity = 10 * 365 * 24 * time.Hour
	nodeValidity      = 365 * 24 * time.Hour

	// backdate is how far the clock of a node may lag behind the clock of the
	// machine that issues certificates.
	backdate = time.Hour
)

// Authority is the certificate authority of a cluster, kept in a directory:
//
//	ca.pem        its certificate, which every node needs
//	ca-key.pem    its private key; who has it can be any node
//	<id>.pem      certificate of a node
//	<id>-key.pem  private key of a node
//
// Keys are ECDSA P-256. An Authority is for one goroutine.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  crypto.PrivateKey
	now  func() time.Time
}

// CreateAuthority makes an authority in dir, which it creates if need be, or
// opens the one that is there. It is valid for ten years. Half an authority, one
// file without the other, is an error.
func CreateAuthority(dir string) (*Authority, error) {
	a := &Authority{dir: dir, now: time.Now}
	files := NodeFiles(dir, authorityName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create authority: %w", err)
	}
	if checkAbsent(files.Cert, files.Key) == nil {
		if err := a.create(files); err != nil {
			return nil, fmt.Errorf("create authority: %w", err)
		}
	}
	if err := a.open(files); err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	return a, nil
}

func (a *Authority) create(files Files) error {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "purser certificate authority"},
		NotBefore:             a.now().Add(-backdate),
		NotAfter:              a.now().Add(authorityValidity),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	return writePair(files, der, key, false)
}

func (a *Authority) open(files Files) error {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		return err
	}
	if !pair.Leaf.IsCA {
		return fmt.Errorf("%s is not the certificate of an authority", files.Cert)
	}
	a.cert, a.key = pair.Leaf, pair.PrivateKey
	return nil
}

// Request says which certificate to issue.
type Request struct {
	NodeID string
	// Hosts are the names and IP addresses under which the node can be reached. No
	// node checks them; other programs may.
	Hosts []string
	// Replace overwrites the node's files, to renew its certificate. Default:
	// existing files are an error, fs.ErrExist.
	Replace bool
}

// Issue writes a certificate and a new key for a node, valid for a year or as
// long as the authority, and returns the files that the node is to Load. A
// running node takes a replaced certificate by itself.
func (a *Authority) Issue(r Request) (Files, error) {
	files, err := a.issue(r)
	if err != nil {
		return Files{}, fmt.Errorf("issue certificate: %w", err)
	}
	return files, nil
}

func (a *Authority) issue(r Request) (Files, error) {
	if err := checkID(r.NodeID); err != nil {
		return Files{}, err
	}
	if !a.now().Before(a.cert.NotAfter) {
		return Files{}, fmt.Errorf("the authority expired at %s", a.cert.NotAfter.Format(time.RFC3339))
	}
	template, err := a.template(r)
	if err != nil {
		return Files{}, err
	}
	files := NodeFiles(a.dir, r.NodeID)
	if !r.Replace {
		if err := checkAbsent(files.Cert, files.Key); err != nil {
			return Files{}, err
		}
	}
	return files, a.sign(files, template, r.Replace)
}

func (a *Authority) template(r Request) (*x509.Certificate, error) {
	now := a.now()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: r.NodeID},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(nodeValidity),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{idURI(r.NodeID)},
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	for _, host := range r.Hosts {
		ip := net.ParseIP(host)
		switch {
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		case host == "" || strings.ContainsAny(host, ":/[] "):
			return nil, fmt.Errorf("host %q is neither a name nor an IP address", host)
		default:
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return template, nil
}

// sign writes a certificate as template says, with a new key.
func (a *Authority) sign(files Files, template *x509.Certificate, replace bool) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	return writePair(files, der, key, replace)
}

// writePair writes the key first: a certificate whose file exists has its key.
func writePair(files Files, der []byte, key *ecdsa.PrivateKey, replace bool) error {
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(files.Key, "PRIVATE KEY", keyDER, 0o600, replace); err != nil {
		return err
	}
	return writePEM(files.Cert, "CERTIFICATE", der, 0o644, replace)
}
