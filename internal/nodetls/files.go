package nodetls

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Names of the files in an authority's directory.
const (
	authorityName = "ca"
	keySuffix     = "-key"
)

// Files are the paths of what a node needs, all in PEM.
type Files struct {
	CA   string // certificates of the authorities that are trusted, one or more
	Cert string // the node's certificate, signed by one of them
	Key  string // its private key
}

// NodeFiles returns the files of a node in the directory of an Authority.
func NodeFiles(dir, nodeID string) Files {
	return Files{
		CA:   filepath.Join(dir, authorityName+".pem"),
		Cert: filepath.Join(dir, nodeID+".pem"),
		Key:  filepath.Join(dir, nodeID+keySuffix+".pem"),
	}
}

// contents is what the files held.
type contents struct{ ca, cert, key []byte }

func (f Files) read() (contents, error) {
	var c contents
	var errs [3]error
	c.ca, errs[0] = os.ReadFile(f.CA)
	c.cert, errs[1] = os.ReadFile(f.Cert)
	c.key, errs[2] = os.ReadFile(f.Key)
	return c, errors.Join(errs[:]...)
}

// checkAbsent refuses names of which a file exists.
func checkAbsent(names ...string) error {
	var errs []error
	for _, name := range names {
		switch _, err := os.Lstat(name); {
		case err == nil:
			errs = append(errs, fmt.Errorf("%s: %w", name, fs.ErrExist))
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// writePEM creates a file with one block. An existing file is an error unless
// replace is set; then the new one takes its place at once, so that nobody reads
// half of it.
func writePEM(name, kind string, der []byte, perm fs.FileMode, replace bool) error {
	target := name
	if replace {
		target += ".new"
		if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	file, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	err = pem.Encode(file, &pem.Block{Type: kind, Bytes: der})
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil || !replace {
		return err
	}
	return os.Rename(target, name)
}
