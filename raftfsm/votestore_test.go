package raftfsm

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

func openBolt(t *testing.T, path string) *raftboltdb.BoltStore {
	t.Helper()
	b, err := raftboltdb.NewBoltStore(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func mustVoteStore(t *testing.T, under raft.StableStore) *voteStore {
	t.Helper()
	v, err := newVoteStore(under)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// vote does what raft's persistVote does, and stops after the first write if
// crash is set.
func vote(t *testing.T, s raft.StableStore, term uint64, cand string, crash bool) {
	t.Helper()
	if err := s.SetUint64([]byte("LastVoteTerm"), term); err != nil {
		t.Fatal(err)
	}
	if crash {
		return
	}
	if err := s.Set([]byte("LastVoteCand"), []byte(cand)); err != nil {
		t.Fatal(err)
	}
}

func readVote(t *testing.T, s raft.StableStore) (uint64, string) {
	t.Helper()
	term, err := s.GetUint64([]byte("LastVoteTerm"))
	if err != nil {
		t.Fatal(err)
	}
	cand, err := s.Get([]byte("LastVoteCand"))
	if err != nil {
		t.Fatal(err)
	}
	return term, string(cand)
}

func TestVoteSurvivesACrashBetweenTermAndCandidate(t *testing.T) {
	dir := t.TempDir()

	// The control: raft's two plain writes leave node1's vote under term 8.
	plain := openBolt(t, filepath.Join(dir, "plain"))
	vote(t, plain, 7, "node1", false)
	vote(t, plain, 8, "node2", true)
	if term, cand := readVote(t, plain); term != 8 || cand != "node1" {
		t.Fatalf("raft's order is no longer at fault: term %d, candidate %s", term, cand)
	}

	bolt := openBolt(t, filepath.Join(dir, "wrapped"))
	v := mustVoteStore(t, bolt)
	vote(t, v, 7, "node1", false)
	vote(t, v, 8, "node2", true)
	if term, cand := readVote(t, v); term != 7 || cand != "node1" {
		t.Errorf("before the second write: term %d, candidate %s, want 7, node1", term, cand)
	}

	reopened := mustVoteStore(t, bolt)
	if term, cand := readVote(t, reopened); term != 7 || cand != "node1" {
		t.Errorf("after the crash: term %d, candidate %s, want 7, node1", term, cand)
	}
	if err := reopened.Set([]byte("LastVoteCand"), []byte("node2")); !errors.Is(err, ErrVoteOrder) {
		t.Errorf("candidate without a term: %v, want ErrVoteOrder", err)
	}
	vote(t, reopened, 8, "node2", false)
	if term, cand := readVote(t, mustVoteStore(t, bolt)); term != 8 || cand != "node2" {
		t.Errorf("after the vote: term %d, candidate %s, want 8, node2", term, cand)
	}
}

func TestVoteMissReadsAsRaftExpects(t *testing.T) {
	for name, under := range map[string]raft.StableStore{
		"bolt":  openBolt(t, filepath.Join(t.TempDir(), "vote")),
		"inmem": raft.NewInmemStore(),
	} {
		v := mustVoteStore(t, under)
		if _, err := v.GetUint64([]byte("LastVoteTerm")); err == nil || err.Error() != "not found" {
			t.Errorf("%s: term: %v, want exactly \"not found\"", name, err)
		}
		if _, err := v.Get([]byte("LastVoteTerm")); err == nil || err.Error() != "not found" {
			t.Errorf("%s: term as bytes: %v, want exactly \"not found\"", name, err)
		}
		if c, err := v.Get([]byte("LastVoteCand")); c != nil || err == nil || err.Error() != "not found" {
			t.Errorf("%s: candidate: %q, %v, want exactly \"not found\"", name, c, err)
		}
	}
}

func TestVoteOtherKeysPassThrough(t *testing.T) {
	under := raft.NewInmemStore()
	v := mustVoteStore(t, under)
	if err := v.SetUint64([]byte("CurrentTerm"), 9); err != nil {
		t.Fatal(err)
	}
	if err := v.Set([]byte("other"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := under.GetUint64([]byte("CurrentTerm")); n != 9 || err != nil {
		t.Errorf("CurrentTerm below the wrapper: %d, %v", n, err)
	}
	if n, err := v.GetUint64([]byte("CurrentTerm")); n != 9 || err != nil {
		t.Errorf("CurrentTerm: %d, %v", n, err)
	}
	if b, err := v.Get([]byte("other")); string(b) != "x" || err != nil {
		t.Errorf("other: %q, %v", b, err)
	}
}

func TestVoteTermAsBytes(t *testing.T) {
	v := mustVoteStore(t, raft.NewInmemStore())
	if err := v.Set([]byte("LastVoteTerm"), []byte{1}); err == nil {
		t.Error("a term of one byte was taken")
	}
	if err := v.Set([]byte("LastVoteTerm"), binary.BigEndian.AppendUint64(nil, 5)); err != nil {
		t.Fatal(err)
	}
	if err := v.Set([]byte("LastVoteCand"), []byte("n")); err != nil {
		t.Fatal(err)
	}
	b, err := v.Get([]byte("LastVoteTerm"))
	if err != nil || binary.BigEndian.Uint64(b) != 5 {
		t.Errorf("term as bytes: %x, %v", b, err)
	}
	if err := v.SetUint64([]byte("LastVoteCand"), 1); err == nil {
		t.Error("a number was taken for a candidate")
	}
	if _, err := v.GetUint64([]byte("LastVoteCand")); err == nil {
		t.Error("a candidate was read as a number")
	}
}

func TestVoteRefusesWhatItCannotTrust(t *testing.T) {
	good, err := encodeVote(7, []byte("node1"))
	if err != nil {
		t.Fatal(err)
	}
	reseal := func(b []byte) []byte {
		body := b[:len(b)-voteTrailer]
		return binary.BigEndian.AppendUint32(body, crc32.Checksum(body, castagnoli))
	}
	newer := bytes.Clone(good)
	newer[2] = voteVersion + 1
	zero := bytes.Clone(good)
	zero[2] = 0
	long := bytes.Clone(good)
	long[12]++
	cases := map[string]struct {
		val  []byte
		want error
	}{
		"short":    {good[:voteHeader], ErrVoteDamaged},
		"cut":      {good[:len(good)-1], ErrVoteDamaged},
		"newer":    {reseal(newer), ErrVoteFormat},
		"version0": {reseal(zero), ErrVoteDamaged},
		"length":   {reseal(long), ErrVoteDamaged},
	}
	for i := range good {
		flipped := bytes.Clone(good)
		flipped[i] ^= 0x10
		cases["flip"+hex.EncodeToString([]byte{byte(i)})] = struct {
			val  []byte
			want error
		}{flipped, ErrVoteDamaged}
	}
	for name, c := range cases {
		under := raft.NewInmemStore()
		if err := under.Set([]byte(keyVote), c.val); err != nil {
			t.Fatal(err)
		}
		if _, err := newVoteStore(under); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}

	foreign := openBolt(t, filepath.Join(t.TempDir(), "foreign"))
	vote(t, foreign, 3, "node1", false)
	if _, err := newVoteStore(foreign); !errors.Is(err, ErrVoteForeign) {
		t.Errorf("a vote in raft's own keys: %v, want ErrVoteForeign", err)
	}
}

func TestVoteWriteFailureIsReturnedAndForgotten(t *testing.T) {
	boom := errors.New("boom")
	under := &failingStable{StableStore: raft.NewInmemStore(), err: boom}
	v := mustVoteStore(t, under)
	if err := v.SetUint64([]byte("LastVoteTerm"), 4); err != nil {
		t.Fatal(err)
	}
	if err := v.Set([]byte("LastVoteCand"), []byte("n")); !errors.Is(err, boom) {
		t.Fatalf("failed write: %v", err)
	}
	if err := v.Set([]byte("LastVoteCand"), []byte("n")); !errors.Is(err, ErrVoteOrder) {
		t.Errorf("the term outlived its failed write: %v", err)
	}
}

type failingStable struct {
	raft.StableStore
	err error
}

func (f *failingStable) Set(_, _ []byte) error { return f.err }

// TestVoteEncodingIsStable pins the bytes: stores in the field hold them.
func TestVoteEncodingIsStable(t *testing.T) {
	got, err := encodeVote(0x0102030405060708, []byte("10.0.0.1:7001"))
	if err != nil {
		t.Fatal(err)
	}
	const golden = "7076010102030405060708000d31302e302e302e313a37303031"
	if h := hex.EncodeToString(got[:len(got)-voteTrailer]); h != golden {
		t.Errorf("encoding changed:\n got %s\nwant %s", h, golden)
	}
	if _, err := encodeVote(1, make([]byte, 1<<16)); err == nil {
		t.Error("a candidate of 65,536 bytes was encoded")
	}
}

func FuzzDecodeVote(f *testing.F) {
	seed, err := encodeVote(7, []byte("node1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		term, cand, err := decodeVote(b)
		if err != nil {
			return
		}
		again, err := encodeVote(term, cand)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x decodes to (%d, %q), which encodes to %x, %v", b, term, cand, again, err)
		}
	})
}
