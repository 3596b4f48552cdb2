package raftfsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/hashicorp/raft"
)

var (
	// ErrVoteDamaged says that the stored vote cannot be trusted: its checksum,
	// length or magic is wrong. The node must not vote, so it must not start.
	ErrVoteDamaged = errors.New("stored vote is damaged")

	// ErrVoteFormat says that the stored vote was written by a newer purser.
	ErrVoteFormat = errors.New("stored vote has a newer format")

	// ErrVoteForeign says that the store holds a vote in raft's own two keys but
	// none in ours: reading past it would forget that vote.
	ErrVoteForeign = errors.New("store holds a vote not written by purser")

	// ErrVoteOrder says that raft stored a candidate without its term first.
	ErrVoteOrder = errors.New("vote candidate stored without its term")
)

// errKeyNotFound is a miss. raft compares the text, not the value, and takes
// any other wording for a broken store; it must never be wrapped.
var errKeyNotFound = errors.New("not found")

// The two keys of a vote, as raft spells them.
const (
	keyLastVoteTerm = "LastVoteTerm"
	keyLastVoteCand = "LastVoteCand"
)

// keyVote is the one key under which the pair is stored. It is not one of
// raft's, so that a program without the wrapper never takes the encoding for a
// candidate's address.
const keyVote = "purser/vote"

// voteStore makes raft's vote one atomic write. raft stores the term of a vote
// and then its candidate; a crash between the two pairs the new term with the
// candidate of an older one, and a repeat of that old candidate's request would
// then be granted a second vote in the new term.
//
// The wrapper holds the term back until the candidate comes and writes both as
// one value. A crash before that write leaves the old pair, complete. All other
// keys pass through.
//
// Not safe for concurrent use: raft touches the vote on its main goroutine only.
type voteStore struct {
	under raft.StableStore

	// staged is the term of the vote being written; valid only while hasStaged.
	// Nothing reads it back: until the pair is stored, the old pair is the vote.
	staged    uint64
	hasStaged bool
}

var _ raft.StableStore = (*voteStore)(nil)

// newVoteStore wraps under, which must write one Set atomically and durably
// (raftboltdb.BoltStore with NoSync false does). The caller keeps ownership of
// under and closes it. A vote that cannot be read is an error here, before raft
// starts: ErrVoteDamaged, ErrVoteFormat or ErrVoteForeign.
func newVoteStore(under raft.StableStore) (*voteStore, error) {
	v := &voteStore{under: under}
	_, _, err := v.vote()
	if err == nil {
		return v, nil
	}
	if !isMiss(err) {
		return nil, err
	}
	for _, key := range []string{keyLastVoteTerm, keyLastVoteCand} {
		val, err := under.Get([]byte(key))
		if err != nil && !isMiss(err) {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		if len(val) > 0 {
			return nil, fmt.Errorf("%w: key %s", ErrVoteForeign, key)
		}
	}
	return v, nil
}

// Set stores val under key, durably. For raft's two vote keys see voteStore.
func (v *voteStore) Set(key, val []byte) error {
	switch string(key) {
	case keyLastVoteTerm:
		if len(val) != 8 {
			return fmt.Errorf("store %s: %d bytes, want 8", keyLastVoteTerm, len(val))
		}
		return v.SetUint64(key, binary.BigEndian.Uint64(val))
	case keyLastVoteCand:
		return v.storeVote(val)
	}
	return v.under.Set(key, val)
}

// SetUint64 stores val under key, durably, except for LastVoteTerm, which waits
// for its candidate.
func (v *voteStore) SetUint64(key []byte, val uint64) error {
	switch string(key) {
	case keyLastVoteTerm:
		v.staged, v.hasStaged = val, true
		return nil
	case keyLastVoteCand:
		return fmt.Errorf("store %s: a candidate is no number", keyLastVoteCand)
	}
	return v.under.SetUint64(key, val)
}

// Get returns the value under key. A miss is an error that reads "not found".
func (v *voteStore) Get(key []byte) ([]byte, error) {
	switch string(key) {
	case keyLastVoteTerm:
		term, _, err := v.vote()
		if err != nil {
			return nil, err
		}
		return binary.BigEndian.AppendUint64(nil, term), nil
	case keyLastVoteCand:
		_, cand, err := v.vote()
		return cand, err
	}
	return v.under.Get(key)
}

// GetUint64 returns the number under key. A miss is an error that reads "not found".
func (v *voteStore) GetUint64(key []byte) (uint64, error) {
	switch string(key) {
	case keyLastVoteTerm:
		term, _, err := v.vote()
		return term, err
	case keyLastVoteCand:
		return 0, fmt.Errorf("read %s: a candidate is no number", keyLastVoteCand)
	}
	return v.under.GetUint64(key)
}

// storeVote writes the staged term and cand in one transaction. The term is
// spent either way: after a failed write raft withholds its vote and starts
// again with the term.
func (v *voteStore) storeVote(cand []byte) error {
	if !v.hasStaged {
		return ErrVoteOrder
	}
	v.hasStaged = false
	val, err := encodeVote(v.staged, cand)
	if err != nil {
		return err
	}
	if err := v.under.Set([]byte(keyVote), val); err != nil {
		return fmt.Errorf("store vote of term %d: %w", v.staged, err)
	}
	return nil
}

// vote reads the pair as last stored, or errKeyNotFound.
func (v *voteStore) vote() (term uint64, cand []byte, err error) {
	val, err := v.under.Get([]byte(keyVote))
	if err != nil && !isMiss(err) {
		return 0, nil, fmt.Errorf("read vote: %w", err)
	}
	if len(val) == 0 {
		return 0, nil, errKeyNotFound
	}
	return decodeVote(val)
}

// isMiss tells a store's miss from its failure the way raft does: by the text.
func isMiss(err error) bool { return err.Error() == errKeyNotFound.Error() }

// The stored vote, all numbers big-endian:
//
//	offset  size  field
//	     0     2  magic "pv"
//	     2     1  version (1)
//	     3     8  term
//	    11     2  length of the candidate, n
//	    13     n  candidate: the address as raft encodes it
//	  13+n     4  CRC-32C of everything before
const (
	voteMagic   = "pv"
	voteVersion = 1
	voteHeader  = 13
	voteTrailer = 4
)

// castagnoli is the CRC-32C table: the polynomial with hardware support, and
// the one the log uses.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeVote lays the pair out as above. Its only error is a candidate of more
// than 65,535 bytes.
func encodeVote(term uint64, cand []byte) ([]byte, error) {
	if len(cand) > math.MaxUint16 {
		return nil, fmt.Errorf("vote candidate has %d bytes, at most %d", len(cand), math.MaxUint16)
	}
	b := make([]byte, 0, voteHeader+len(cand)+voteTrailer)
	b = append(b, voteMagic...)
	b = append(b, voteVersion)
	b = binary.BigEndian.AppendUint64(b, term)
	b = binary.BigEndian.AppendUint16(b, uint16(len(cand)))
	b = append(b, cand...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

// decodeVote is the inverse of encodeVote. The candidate is a copy and never
// nil: raft takes nil for "has not voted".
func decodeVote(b []byte) (term uint64, cand []byte, err error) {
	if len(b) < voteHeader+voteTrailer {
		return 0, nil, fmt.Errorf("%w: %d bytes", ErrVoteDamaged, len(b))
	}
	body, sum := b[:len(b)-voteTrailer], binary.BigEndian.Uint32(b[len(b)-voteTrailer:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return 0, nil, fmt.Errorf("%w: checksum %08x, stored %08x", ErrVoteDamaged, got, sum)
	}
	if string(body[:2]) != voteMagic {
		return 0, nil, fmt.Errorf("%w: magic %q", ErrVoteDamaged, body[:2])
	}
	if body[2] > voteVersion {
		return 0, nil, fmt.Errorf("%w: version %d, known up to %d", ErrVoteFormat, body[2], voteVersion)
	}
	if body[2] != voteVersion {
		return 0, nil, fmt.Errorf("%w: version %d", ErrVoteDamaged, body[2])
	}
	if n := int(binary.BigEndian.Uint16(body[11:])); n != len(body)-voteHeader {
		return 0, nil, fmt.Errorf("%w: candidate of %d bytes in %d", ErrVoteDamaged, n, len(body)-voteHeader)
	}
	cand = append([]byte{}, body[voteHeader:]...)
	return binary.BigEndian.Uint64(body[3:]), cand, nil
}
