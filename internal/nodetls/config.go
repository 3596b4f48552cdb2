package nodetls

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// checkEvery bounds how often handshakes look at the files. It costs three small
// reads.
const checkEvery = time.Second

// Config makes TLS configurations from a node's files and follows the files when
// they change. All methods may be called from any goroutine.
type Config struct {
	files  Files
	nodeID string
	report func(error)
	now    func() time.Time

	current atomic.Pointer[material] // never nil

	// checking is held while the files are read; it guards checked, the time of
	// the last look at them.
	checking sync.Mutex
	checked  time.Time
}

// Load reads a node's files. A certificate of another node is ErrWrongNode; files
// that could not complete a handshake, as an expired certificate, are refused
// too.
//
// When the files change, the next handshake takes them, at most a second later.
// Files that would be refused here leave the old ones in use and are tried again.
// report is told of each such attempt, with nil when new files were taken; it
// must not block, and may be nil.
func Load(files Files, nodeID string, report func(error)) (*Config, error) {
	if report == nil {
		report = func(error) {}
	}
	if err := checkID(nodeID); err != nil {
		return nil, fmt.Errorf("load certificates: %w", err)
	}
	c := &Config{files: files, nodeID: nodeID, report: report, now: time.Now}
	c.checked = c.now()
	next, err := c.read()
	if err != nil {
		return nil, err
	}
	c.current.Store(next)
	return c, nil
}

// Reload reads the files now. On an error the old ones stay in use.
func (c *Config) Reload() error {
	c.checking.Lock()
	defer c.checking.Unlock()
	_, err := c.reload()
	return err
}

// Expiry returns when this node's certificate and the authority that signed it
// expire.
func (c *Config) Expiry() (node, authority time.Time) {
	m := c.current.Load()
	return m.cert.Leaf.NotAfter, m.authority.NotAfter
}

// ServerConfig returns the configuration of the accepting side. It follows the
// files and may be kept.
func (c *Config) ServerConfig() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.serverConfig(c.fresh()), nil
		},
	}
}

// serverConfig is the configuration for one handshake.
func (c *Config) serverConfig(m *material) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Time:         c.now,
		Certificates: []tls.Certificate{m.cert},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    m.roots,
		// A resumed session would skip the checks of the certificate that have
		// changed since.
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			return checkCertifiedID(state.PeerCertificates[0], "")
		},
	}
}

// ClientConfig returns the configuration of the side that dials the node
// expectedID; "" accepts any node of this cluster, which only a node that joins
// can want. It follows the files and may be kept.
func (c *Config) ClientConfig(expectedID string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		Time:       c.now,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &c.fresh().cert, nil
		},
		// crypto/tls cannot check the chain without the host name, so it checks
		// neither, and VerifyConnection, which cannot be skipped, checks the chain
		// and the node id.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			cert := state.PeerCertificates[0]
			if _, err := c.fresh().verify(cert, x509.ExtKeyUsageServerAuth, c.now()); err != nil {
				return err
			}
			return checkCertifiedID(cert, expectedID)
		},
	}
}

// fresh returns what to use for a handshake, after a look at the files if the
// last one is a while ago. Handshakes that come while another one looks do not
// wait for it.
func (c *Config) fresh() *material {
	if c.checking.TryLock() {
		if now := c.now(); now.Sub(c.checked) >= checkEvery {
			c.checked = now
			if changed, err := c.reload(); changed || err != nil {
				c.report(err)
			}
		}
		c.checking.Unlock()
	}
	return c.current.Load()
}

// reload takes the files if they differ from those in use. The caller holds
// checking.
func (c *Config) reload() (changed bool, err error) {
	next, err := c.read()
	if err != nil || next == c.current.Load() {
		return false, err
	}
	c.current.Store(next)
	return true, nil
}

// read returns what the files hold now: the material in use if it is the same.
//
// It compares contents, not times of modification, which a copy may keep and a
// coarse clock may repeat.
func (c *Config) read() (*material, error) {
	from, err := c.files.read()
	if err != nil {
		return nil, fmt.Errorf("load certificates: %w", err)
	}
	if m := c.current.Load(); m != nil && m.from.equal(from) {
		return m, nil
	}
	m, err := newMaterial(c.files, from, c.nodeID, c.now())
	if err != nil {
		return nil, fmt.Errorf("load certificates: %w", err)
	}
	return m, nil
}
