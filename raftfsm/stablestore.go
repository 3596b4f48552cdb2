package raftfsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
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

// stableStore is raft's stable store: the term and the vote, and whose data
// directory this is. That is some hundred bytes, and rarely changes, so that every
// change writes all of it anew: into a file of another name, synced, which then
// takes the place of the old one. A crash leaves the values as they were before
// the change or after it, and whatever else becomes of the file, the checksum
// over all of it tells.
//
// raft writes a vote as two values, the term and then the candidate. A crash
// between the two would pair the new term with an older candidate, whose repeated
// request would then be granted a second vote in the new term (hashicorp/raft#661).
// So the term is held back until its candidate comes, and one change has both.
//
// Not safe for concurrent use: raft uses it on its main goroutine only.
type stableStore struct {
	fs    vfs.FS
	dir   string
	path  string
	fatal func(error)
	lock  io.Closer

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
// store wrote: the node must not vote then, so it must not start.
func openStable(fsys vfs.FS, dir string, fatal func(error)) (_ *stableStore, err error) {
	s := &stableStore{fs: fsys, dir: dir, path: fsys.PathJoin(dir, stableName), fatal: fatal}
	if s.lock, err = fsys.Lock(fsys.PathJoin(dir, lockName)); err != nil {
		return nil, fmt.Errorf("lock %s (is another process using it?): %w", dir, err)
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", s.path, err), s.lock.Close())
	}
	return s, nil
}

// load reads the file, if there is one, and makes sure that it stays: a crash may
// have come before its name was durable, and raft relies on what it reads.
func (s *stableStore) load() error {
	f, err := s.fs.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		s.values = map[string][]byte{}
		return nil
	}
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxStableBytes+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if s.values, err = decodeStable(raw); err != nil {
		return err
	}
	return syncPath(s.fs, s.dir)
}

// Close lets another process use the directory.
func (s *stableStore) Close() error { return s.lock.Close() }

// Set stores val under key, durably. The two values of a vote are stored with the
// second; see stableStore.
func (s *stableStore) Set(key, val []byte) error {
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
	if err := s.replace(raw); err != nil {
		s.failed = fmt.Errorf("write %s: %w", s.path, err)
		s.fatal(s.failed)
		return s.failed
	}
	s.values = values
	return nil
}

func (s *stableStore) replace(raw []byte) error {
	tmp := s.path + tmpSuffix
	if err := writeSynced(s.fs, tmp, raw); err != nil {
		return err
	}
	if err := s.fs.Rename(tmp, s.path); err != nil {
		return err
	}
	return syncPath(s.fs, s.dir)
}
