package raftfsm

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// openTestStable opens the store in dir; no change of it may fail. The test closes it.
func openTestStable(t testing.TB, dir string) *stableStore {
	t.Helper()
	s, err := openStable(dir, func(err error) { t.Errorf("fatal: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStable(t testing.TB, s *stableStore) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// vote does what raft's persistVote does, and stops after the first write if
// crash is set.
func vote(t testing.TB, s raft.StableStore, term uint64, cand string, crash bool) {
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

func requireVote(t testing.TB, s raft.StableStore, term uint64, cand string) {
	t.Helper()
	gotTerm, err := s.GetUint64([]byte("LastVoteTerm"))
	if err != nil {
		t.Fatal(err)
	}
	gotCand, err := s.Get([]byte("LastVoteCand"))
	if err != nil {
		t.Fatal(err)
	}
	if gotTerm != term || string(gotCand) != cand {
		t.Errorf("vote of term %d for %s, want %d, %s", gotTerm, gotCand, term, cand)
	}
}

func TestVoteSurvivesACrashBetweenTermAndCandidate(t *testing.T) {
	// The control: raft's two plain writes leave node1's vote under term 8.
	plain := raft.NewInmemStore()
	vote(t, plain, 7, "node1", false)
	vote(t, plain, 8, "node2", true)
	requireVote(t, plain, 8, "node1")

	dir := t.TempDir()
	s := openTestStable(t, dir)
	vote(t, s, 7, "node1", false)
	vote(t, s, 8, "node2", true)
	requireVote(t, s, 7, "node1") // until the second write
	closeStable(t, s)             // which stores nothing

	s = openTestStable(t, dir)
	requireVote(t, s, 7, "node1")
	if err := s.Set([]byte("LastVoteCand"), []byte("node2")); !errors.Is(err, ErrVoteOrder) {
		t.Errorf("candidate without a term: %v, want ErrVoteOrder", err)
	}
	vote(t, s, 8, "node2", false)
	requireVote(t, s, 8, "node2")
	closeStable(t, s)
}

func TestStableMissReadsAsRaftExpects(t *testing.T) {
	s := openTestStable(t, t.TempDir())
	for _, key := range []string{"CurrentTerm", "LastVoteTerm", "LastVoteCand"} {
		if _, err := s.GetUint64([]byte(key)); err == nil || err.Error() != "not found" {
			t.Errorf("%s as a number: %v, want exactly \"not found\"", key, err)
		}
		if val, err := s.Get([]byte(key)); val != nil || err == nil || err.Error() != "not found" {
			t.Errorf("%s: %q, %v, want exactly \"not found\"", key, val, err)
		}
	}
	closeStable(t, s)
}

func TestStableValues(t *testing.T) {
	dir := t.TempDir()
	s := openTestStable(t, dir)
	if err := s.SetUint64([]byte("CurrentTerm"), 9); err != nil {
		t.Fatal(err)
	}
	val := []byte("x")
	if err := s.Set([]byte("other"), val); err != nil {
		t.Fatal(err)
	}
	vote(t, s, 9, "", false)
	val[0] = 'y' // the caller's again
	closeStable(t, s)
	again := openTestStable(t, dir)
	for _, s := range []*stableStore{s, again} {
		if n, err := s.GetUint64([]byte("CurrentTerm")); n != 9 || err != nil {
			t.Errorf("CurrentTerm: %d, %v", n, err)
		}
		if b, err := s.Get([]byte("other")); string(b) != "x" || err != nil {
			t.Errorf("other: %q, %v", b, err)
		}
		if _, err := s.GetUint64([]byte("other")); err == nil {
			t.Error("a byte was read as a number")
		}
		if b, err := s.Get([]byte("LastVoteCand")); b == nil || len(b) != 0 || err != nil {
			t.Errorf("empty candidate: %v, %v; nil would mean that there was no vote", b, err)
		}
	}
	if err := again.Set([]byte("other"), make([]byte, 1<<16)); err == nil {
		t.Error("65,536 bytes were taken")
	}
	if b, err := again.Get([]byte("other")); string(b) != "x" || err != nil {
		t.Errorf("other after a refused change: %q, %v", b, err)
	}
	closeStable(t, again)
}

// What no test of the file can see: whether the disk was told to keep it.
func TestStableIsSynced(t *testing.T) {
	o := boltOptions("raft.db")
	if o.NoSync || o.BoltOptions.NoSync || o.BoltOptions.NoGrowSync || o.BoltOptions.ReadOnly {
		t.Errorf("transactions are not synced: %+v, %+v", o, o.BoltOptions)
	}
	if !o.BoltOptions.NoFreelistSync || o.BoltOptions.FreelistType != bbolt.FreelistMapType || !o.MsgpackUseNewTimeFormat {
		t.Errorf("another format of the file: %+v, %+v", o, o.BoltOptions)
	}
}

func TestStableIsLocked(t *testing.T) {
	dir := t.TempDir()
	s := openTestStable(t, dir)
	if _, err := openStable(dir, nil); err == nil || !strings.Contains(err.Error(), "is another process using it?") {
		t.Fatalf("opened twice: %v", err)
	}
	closeStable(t, s)
	closeStable(t, openTestStable(t, dir))
}

// stableChanges are what a node stores in its first two terms; each is one call.
var stableChanges = []func(s *stableStore) error{
	func(s *stableStore) error {
		return s.put(map[string][]byte{keyNodeID: []byte("n1"), keyRetention: []byte("24h0m0s")})
	},
	func(s *stableStore) error { return s.SetUint64([]byte(keyCurrentTerm), 1) },
	func(s *stableStore) error { return s.SetUint64([]byte(keyLastVoteTerm), 1) },
	func(s *stableStore) error { return s.Set([]byte(keyLastVoteCand), []byte("127.0.0.1:8082")) },
	func(s *stableStore) error { return s.SetUint64([]byte(keyCurrentTerm), 2) },
	func(s *stableStore) error { return s.SetUint64([]byte(keyLastVoteTerm), 2) },
	func(s *stableStore) error { return s.Set([]byte(keyLastVoteCand), []byte("10.0.0.1:8082")) },
}

// stableStates are the values before the first change and after each.
func stableStates(t testing.TB) []map[string][]byte {
	s := openTestStable(t, t.TempDir())
	states := []map[string][]byte{maps.Clone(s.values)}
	for _, change := range stableChanges {
		if err := change(s); err != nil {
			t.Fatal(err)
		}
		states = append(states, maps.Clone(s.values))
	}
	closeStable(t, s)
	return states
}

// TestStableFailsForGood fails each change in turn: fatal is told, once, the values
// stay those before, no further change is made, and the next process finds the one
// state or the other.
func TestStableFailsForGood(t *testing.T) {
	states := stableStates(t)
	for n := range stableChanges {
		dir := t.TempDir()
		told := 0
		s, err := openStable(dir, func(error) { told++ })
		if err != nil {
			t.Fatal(err)
		}
		for _, change := range stableChanges[:n] {
			if err := change(s); err != nil {
				t.Fatal(err)
			}
		}
		obstacle := filepath.Join(s.path+tmpSuffix, "in the way")
		if s.db == nil {
			err = os.MkdirAll(obstacle, 0o700)
		} else {
			err = s.db.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		done := n // but for the term of a vote, which is written with its candidate
		for ; done < len(stableChanges) && err == nil; done++ {
			err = stableChanges[done](s)
		}
		done--
		if err == nil || told != 1 {
			t.Fatalf("change %d: %v, fatal told %d times", n, err, told)
		}
		if diff := cmp.Diff(states[done], s.values); diff != "" {
			t.Fatalf("change %d: after the failure:\n%s", n, diff)
		}
		if again := s.Set([]byte("other"), nil); !errors.Is(again, err) || told != 1 {
			t.Fatalf("change %d: the next one returned %v, fatal told %d times", n, again, told)
		}
		closeStable(t, s)
		s = openTestStable(t, dir)
		if !cmp.Equal(s.values, states[done]) && !cmp.Equal(s.values, states[done+1]) {
			t.Fatalf("change %d: the file has %q, want %q or %q", n, s.values, states[done], states[done+1])
		}
		closeStable(t, s)
	}
}

// TestStableLargest stores the largest record again and again: the file stays
// within what is read at open.
func TestStableLargest(t *testing.T) {
	dir := t.TempDir()
	s := openTestStable(t, dir)
	for n := range 64 {
		if err := s.Set(fmt.Appendf(nil, "%02d", n%15), bytes.Repeat([]byte{byte(n)}, 1<<16-1)); err != nil {
			t.Fatal(err)
		}
	}
	want := maps.Clone(s.values)
	closeStable(t, s)
	info, err := os.Stat(s.path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxBoltBytes {
		t.Errorf("a file of %d bytes", info.Size())
	}
	s = openTestStable(t, dir)
	if !cmp.Equal(want, s.values) {
		t.Error("other values after the next open")
	}
	closeStable(t, s)
	t.Logf("%d values of 64 KiB: %d bytes", len(want), info.Size())

	if err := os.Truncate(s.path, maxBoltBytes+1); err != nil {
		t.Fatal(err)
	}
	if _, err := openStable(dir, nil); !errors.Is(err, ErrStableDamaged) {
		t.Errorf("opened %d bytes with %v", maxBoltBytes+1, err)
	}
}
