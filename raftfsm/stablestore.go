package raftfsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"purser/internal/planted"
)

// ErrVoteOrder says that raft stored a candidate without its term first.
var ErrVoteOrder = errors.New("vote candidate stored without its term")

// errKeyNotFound is a miss. raft compares the text, not the value, and takes
// any other wording for a broken store; it must never be wrapped.
var errKeyNotFound = errors.New("not found")

// raft's keys: its term, and the two values of a vote.
const (
	keyCurrentTerm  = "CurrentTerm"
	keyLastVoteTerm = "LastVoteTerm"
	keyLastVoteCand = "LastVoteCand"
)

// lockName is the file that keeps a second process out of the directory.
const lockName = "LOCK"

// recordKey is the only key in raft.db.
const recordKey = "purser.record"

// stableStore is raft's stable store: the term and the vote, and whose data
// directory this is. That is some hundred bytes, and rarely changes, so that they
// are kept as one record with a checksum, under one key of raft-boltdb, and every
// change is one Set of it: one transaction. A crash leaves the values as they were
// before the change or after it, and whatever else becomes of the file is refused
// at open, before bbolt sees it; see boltRecord.
//
// raft writes a vote as two values, the term and then the candidate. A crash
// between the two would pair the new term with an older candidate. Its request for
// the new term would pass for one repeated, and be granted whatever it has in its
// log (hashicorp/raft#661).
// So the term is held back until its candidate comes, and one change has both.
//
// Not safe for concurrent use: raft uses it on its main goroutine only.
type stableStore struct {
	dir   string
	path  string
	fatal func(error)
	lock  io.Closer
	db    *raftboltdb.BoltStore // nil until the first change makes the file

	// values are those of the file. What is in them was durable before, and what a
	// failed change would have put there never gets in: raft acts on what it reads.
	values map[string][]byte
	failed error // of the change that failed; no other is made

	// staged is the term of the vote being written, or nil. Nothing reads it back:
	// until its candidate comes, the old pair is the vote.
	staged []byte
}

var _ raft.StableStore = (*stableStore)(nil)

// openStable locks dir, which exists, and reads what the store there has. fatal
// is told of the first change that fails, and should end the process. Errors
// wrap ErrStableDamaged or ErrStableFormat when the file is not what a stable
// store wrote: the node must not vote then, so it must not start. A file that is
// refused is not written to.
func openStable(dir string, fatal func(error)) (_ *stableStore, err error) {
	s := &stableStore{dir: dir, path: filepath.Join(dir, stableName), fatal: fatal}
	// bbolt locks the file, too, but only behind the check of it, and another
	// process that writes to the file would look like damage to that.
	if s.lock, err = vfs.Default.Lock(filepath.Join(dir, lockName)); err != nil {
		return nil, fmt.Errorf("lock %s (is another process using it?): %w", dir, err)
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", s.path, err), s.Close())
	}
	return s, nil
}

// load reads the file, if there is one, and makes sure that it stays: a crash may
// have come before its name was durable, and raft relies on what it reads.
func (s *stableStore) load() error {
	raw, err := readBounded(s.path, maxBoltBytes)
	if errors.Is(err, fs.ErrNotExist) {
		s.values = map[string][]byte{}
		return nil
	}
	if err != nil {
		return err
	}
	record, err := boltRecord(raw)
	if err != nil {
		return err
	}
	if _, err := decodeStable(record); err != nil {
		return err
	}
	if s.db, err = openBolt(s.path); err != nil {
		return err
	}
	if record, err = s.db.Get([]byte(recordKey)); err != nil {
		return err
	}
	if s.values, err = decodeStable(record); err != nil {
		return err
	}
	return syncPath(vfs.Default, s.dir)
}

// readBounded reads a file whole, unless it is larger than limit.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err = errors.Join(err, f.Close()); err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%w: more than %d bytes", ErrStableDamaged, limit)
	}
	return raw, err
}

// openBolt opens the file at path, or makes it.
func openBolt(path string) (*raftboltdb.BoltStore, error) { return raftboltdb.New(boltOptions(path)) }

// boltOptions have every transaction synced.
func boltOptions(path string) raftboltdb.Options {
	return raftboltdb.Options{
		Path: path,
		BoltOptions: &bbolt.Options{
			Timeout:        time.Second,
			NoFreelistSync: true,
			FreelistType:   bbolt.FreelistMapType,
		},
		// Part of the file's format; every release must keep it as it is.
		MsgpackUseNewTimeFormat: true,
	}
}

// Close lets another process use the directory.
func (s *stableStore) Close() (err error) {
	if s.db != nil {
		err = s.db.Close()
	}
	return errors.Join(err, s.lock.Close())
}

// Set stores val under key, durably. The two values of a vote are stored with the
// second; see stableStore.
func (s *stableStore) Set(key, val []byte) error {
	if planted.Is(planted.VoteInTwoWrites) {
		return s.put(map[string][]byte{string(key): val})
	}
	switch string(key) {
	case keyLastVoteTerm:
		s.staged = append([]byte{}, val...)
		return nil
	case keyLastVoteCand:
		if s.staged == nil {
			return ErrVoteOrder
		}
		// The term is spent either way.
		term := s.staged
		s.staged = nil
		return s.put(map[string][]byte{keyLastVoteTerm: term, keyLastVoteCand: val})
	}
	return s.put(map[string][]byte{string(key): val})
}

// SetUint64 stores val under key, durably, as Set does.
func (s *stableStore) SetUint64(key []byte, val uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, val))
}

// Get returns the value under key, never nil, which raft takes for no vote. A
// miss is an error that reads "not found".
func (s *stableStore) Get(key []byte) ([]byte, error) {
	val, ok := s.values[string(key)]
	if !ok {
		return nil, errKeyNotFound
	}
	return append([]byte{}, val...), nil
}

// GetUint64 returns the number under key. A miss is an error that reads "not found".
func (s *stableStore) GetUint64(key []byte) (uint64, error) {
	val, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(val) != 8 {
		return 0, fmt.Errorf("read %s: %d bytes are no number", key, len(val))
	}
	return binary.BigEndian.Uint64(val), nil
}

// put stores changed values in one durable step. After an error of the disk
// nobody knows which values the file has, and there is no second try: the process
// has to end, and the next one will read them.
func (s *stableStore) put(changed map[string][]byte) error {
	if s.failed != nil {
		return s.failed
	}
	values := maps.Clone(s.values)
	for key, val := range changed {
		values[key] = append([]byte{}, val...)
	}
	raw, err := encodeStable(values)
	if err != nil {
		return err
	}
	if err := s.write(raw); err != nil {
		s.failed = fmt.Errorf("write %s: %w", s.path, err)
		s.fatal(s.failed)
		return s.failed
	}
	s.values = values
	return nil
}

// write puts the record into the file. The first one makes the file, under another
// name: bbolt makes one in several steps, and a crash between them must not look
// like damage. From its rename on, the file has a record and two valid meta pages.
func (s *stableStore) write(record []byte) error {
	if s.db != nil {
		return s.db.Set([]byte(recordKey), record)
	}
	tmp := s.path + tmpSuffix
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := openBolt(tmp)
	if err != nil {
		return err
	}
	if err := errors.Join(db.Set([]byte(recordKey), record), db.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, s.path); err != nil {
		return err
	}
	if err := syncPath(vfs.Default, s.dir); err != nil {
		return err
	}
	s.db, err = openBolt(s.path)
	return err
}
