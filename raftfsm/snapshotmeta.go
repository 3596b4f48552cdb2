package raftfsm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"purser/internal/ledger"
	"purser/internal/pace"
)

// ErrSnapshotDamaged says that a snapshot does not hold what its meta says. Errors
// that wrap it name the file.
var ErrSnapshotDamaged = errors.New("snapshot is damaged")

// damaged is an error that wraps ErrSnapshotDamaged and names the file.
func damaged(file, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrSnapshotDamaged, file, fmt.Sprintf(format, args...))
}

// Meta describes a snapshot: where in the log it stands, what it holds, and the
// checksum of each of its files.
type Meta struct {
	// Format is that of meta.json and of the state: the one that the cluster used.
	Format int `json:"-"` // in the envelope

	// ID names the snapshot and its directory: "term-index-milliseconds".
	ID string `json:"id"`

	// Index and Term are those of the last log entry that the state reflects.
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`

	// Configuration is the cluster's committed membership, as of ConfigurationIndex.
	Configuration      raft.Configuration `json:"configuration"`
	ConfigurationIndex uint64             `json:"configuration_index"`

	// CreatedAt is when the node that made the state began the snapshot, UTC, to
	// the millisecond. A node that receives the snapshot keeps it.
	CreatedAt time.Time `json:"created_at"`

	Stats SnapshotStats `json:"stats"`

	// Files are the files of the state directory, in the order of their names.
	Files []SnapshotFile `json:"files"`
}

// SnapshotStats says what the state in a snapshot holds. The store carries it
// and never interprets it.
type SnapshotStats struct {
	// Accounts is the number of accounts.
	Accounts uint64 `json:"accounts"`

	// LastSeq is the last ledger sequence number: the number of journal rows,
	// since the sequence has no gaps.
	LastSeq uint64 `json:"last_seq"`

	// Totals has one row per currency, in the order of the codes.
	Totals []CurrencyTotal `json:"totals"`

	// Digest is the running digest of all results up to the snapshot, in hex.
	Digest string `json:"digest"`
}

// CurrencyTotal sums the accounts of one currency, in minor units, as decimal
// numbers: the sums have up to 128 bits.
type CurrencyTotal struct {
	Currency string `json:"currency"`

	// Posted is the sum over all accounts, the world's included: always "0".
	Posted string `json:"posted"`

	// Held is the sum of all open holds.
	Held string `json:"held"`

	// Issued is what the world's accounts owe: money in customers' accounts.
	Issued string `json:"issued"`
}

// SnapshotFile is one file of the state directory.
type SnapshotFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // bytes
	CRC32C uint32 `json:"crc32c"`
}

const (
	metaName  = "meta.json"
	stateName = "state"

	// maxMetaBytes bounds the meta read into memory, from a peer too. It has room
	// for about 150,000 files.
	maxMetaBytes = 16 << 20

	// maxNameBytes keeps "state/" and the name within a tar header's 100 bytes.
	maxNameBytes = 90

	// copyBuffer is the size of the buffer through which files are copied and
	// summed, whatever their size.
	copyBuffer = 256 << 10
)

// metaEnvelope is meta.json: one line of JSON.
//
//	{"format":1,"crc32c":<CRC-32C of the snapshot value's bytes>,"snapshot":{...}}
type metaEnvelope struct {
	Format   int             `json:"format"`
	CRC32C   uint32          `json:"crc32c"`
	Snapshot json.RawMessage `json:"snapshot"`
}

// encodeMeta is the one encoding of m; decodeMeta accepts no other.
func encodeMeta(m Meta) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode snapshot meta: %w", err)
	}
	b, err := json.Marshal(metaEnvelope{m.Format, crc32.Checksum(body, castagnoli), body})
	if err != nil {
		return nil, fmt.Errorf("encode snapshot meta: %w", err)
	}
	if len(b)+1 > maxMetaBytes {
		return nil, fmt.Errorf("snapshot meta of %d files has %d bytes, at most %d", len(m.Files), len(b)+1, maxMetaBytes)
	}
	return append(b, '\n'), nil
}

// decodeMeta is the inverse of encodeMeta. newest is the newest format that the node
// reads. Errors wrap ErrSnapshotDamaged or ledger.ErrFormat.
func decodeMeta(b []byte, newest int) (Meta, error) {
	var e metaEnvelope
	if err := json.Unmarshal(b, &e); err != nil {
		return Meta{}, damaged(metaName, "%v", err)
	}
	if err := ledger.CheckFormat("the snapshot", e.Format, newest); err != nil {
		return Meta{}, err
	}
	if e.Format < ledger.OldestFormat {
		return Meta{}, damaged(metaName, "format %d", e.Format)
	}
	if got := crc32.Checksum(e.Snapshot, castagnoli); got != e.CRC32C {
		return Meta{}, damaged(metaName, "checksum %08x, stored %08x", got, e.CRC32C)
	}
	m := Meta{Format: e.Format}
	if err := json.Unmarshal(e.Snapshot, &m); err != nil {
		return Meta{}, damaged(metaName, "%v", err)
	}
	// encoding/json takes keys in any case, unknown ones and any spacing; one
	// encoding only leaves no byte unchecked.
	again, err := encodeMeta(m)
	if err != nil {
		return Meta{}, err
	}
	if !bytes.Equal(again, b) {
		return Meta{}, damaged(metaName, "not in canonical form")
	}
	return m, m.check()
}

// check refuses a file list that could not have come from a state directory.
func (m Meta) check() error {
	if id, ok := parseID(m.ID); !ok || id.term != m.Term || id.index != m.Index {
		return damaged(metaName, "id %q of index %d, term %d", m.ID, m.Index, m.Term)
	}
	prev := ""
	for _, f := range m.Files {
		if err := checkName(f.Name); err != nil {
			return err
		}
		if f.Name <= prev {
			return damaged(metaName, "file %q after %q", f.Name, prev)
		}
		if f.Size < 0 {
			return damaged(metaName, "file %q of %d bytes", f.Name, f.Size)
		}
		prev = f.Name
	}
	if len(m.Files) == 0 {
		return damaged(metaName, "no files")
	}
	return nil
}

// checkName accepts the name of a file directly in the state directory: a
// Pebble checkpoint has no directories.
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > maxNameBytes || strings.ContainsAny(name, `/\`) {
		return damaged(metaName, "file name %q", name)
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' {
			return damaged(metaName, "file name %q", name)
		}
	}
	return nil
}

// raftMeta is what raft is told. size is that of the stream which Open gives.
func (m Meta) raftMeta(size int64) *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version:            raft.SnapshotVersionMax,
		ID:                 m.ID,
		Index:              m.Index,
		Term:               m.Term,
		Configuration:      m.Configuration,
		ConfigurationIndex: m.ConfigurationIndex,
		Size:               size,
	}
}

// check reads r to its end, compares it with the row and copies it to w, if w is
// not nil.
func (f SnapshotFile) check(r io.Reader, w io.Writer, buf []byte) error {
	got, err := sumReader(r, w, f.Name, buf)
	if err != nil {
		return err
	}
	return f.compare(got.Size, got.CRC32C)
}

// compare checks what was read of a file against its row of the meta.
func (f SnapshotFile) compare(size int64, sum uint32) error {
	if size != f.Size {
		return damaged(f.Name, "%d bytes, want %d", size, f.Size)
	}
	if sum != f.CRC32C {
		return damaged(f.Name, "checksum %08x, want %08x", sum, f.CRC32C)
	}
	return nil
}

// readMeta reads dir's meta.json, decoded and as it is.
func readMeta(fs vfs.FS, dir string, newest int) (Meta, []byte, error) {
	f, err := fs.Open(fs.PathJoin(dir, metaName))
	if err != nil {
		return Meta{}, nil, fmt.Errorf("%w: %w", ErrSnapshotDamaged, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxMetaBytes+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return Meta{}, nil, fmt.Errorf("read snapshot meta: %w", err)
	}
	m, err := decodeMeta(b, newest)
	if err != nil {
		return Meta{}, nil, fmt.Errorf("snapshot %s: %w", dir, err)
	}
	return m, b, nil
}

// sumFile reads dir/name once and returns its row for the meta.
func sumFile(fs vfs.FS, dir, name string, buf []byte, rest *pace.Breather) (SnapshotFile, error) {
	f, err := fs.Open(fs.PathJoin(dir, name))
	if err != nil {
		return SnapshotFile{}, fmt.Errorf("sum snapshot file: %w", err)
	}
	row, err := sumReader(pace.Reader{Reader: f, Rest: rest}, nil, name, buf)
	return row, errors.Join(err, f.Close())
}

// sumReader reads r to its end through buf and copies it to w, if w is not nil.
func sumReader(r io.Reader, w io.Writer, name string, buf []byte) (SnapshotFile, error) {
	row := SnapshotFile{Name: name}
	for {
		n, err := r.Read(buf)
		row.Size += int64(n)
		row.CRC32C = crc32.Update(row.CRC32C, castagnoli, buf[:n])
		if n > 0 && w != nil {
			// Summed first: a vfs.File may change the slice it writes.
			if _, err := w.Write(buf[:n]); err != nil {
				return SnapshotFile{}, fmt.Errorf("write snapshot file %s: %w", name, err)
			}
		}
		if err == io.EOF {
			return row, nil
		}
		if err != nil {
			return SnapshotFile{}, fmt.Errorf("read snapshot file %s: %w", name, err)
		}
	}
}
