package raftfsm

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

// openTestStable opens the store in the root of fs; no change of it may fail.
func openTestStable(t *testing.T, fs vfs.FS) *stableStore {
	t.Helper()
	s, err := openStable(fs, "", func(err error) { t.Errorf("fatal: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
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

func requireVote(t *testing.T, s raft.StableStore, term uint64, cand string) {
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

	fs := vfs.NewCrashableMem()
	s := openTestStable(t, fs)
	vote(t, s, 7, "node1", false)
	vote(t, s, 8, "node2", true)
	requireVote(t, s, 7, "node1") // until the second write

	s = openTestStable(t, fs.CrashClone(vfs.CrashCloneCfg{}))
	requireVote(t, s, 7, "node1")
	if err := s.Set([]byte("LastVoteCand"), []byte("node2")); !errors.Is(err, ErrVoteOrder) {
		t.Errorf("candidate without a term: %v, want ErrVoteOrder", err)
	}
	vote(t, s, 8, "node2", false)
	requireVote(t, s, 8, "node2")
}

func TestStableMissReadsAsRaftExpects(t *testing.T) {
	s := openTestStable(t, vfs.NewMem())
	for _, key := range []string{"CurrentTerm", "LastVoteTerm", "LastVoteCand"} {
		if _, err := s.GetUint64([]byte(key)); err == nil || err.Error() != "not found" {
			t.Errorf("%s as a number: %v, want exactly \"not found\"", key, err)
		}
		if val, err := s.Get([]byte(key)); val != nil || err == nil || err.Error() != "not found" {
			t.Errorf("%s: %q, %v, want exactly \"not found\"", key, val, err)
		}
	}
}

func TestStableValues(t *testing.T) {
	fs := vfs.NewMem()
	s := openTestStable(t, fs)
	if err := s.SetUint64([]byte("CurrentTerm"), 9); err != nil {
		t.Fatal(err)
	}
	val := []byte("x")
	if err := s.Set([]byte("other"), val); err != nil {
		t.Fatal(err)
	}
	vote(t, s, 9, "", false)
	val[0] = 'y' // the caller's again
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*stableStore{s, openTestStable(t, fs)} {
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
	if err := s.Set([]byte("other"), make([]byte, 1<<16)); err == nil {
		t.Error("65,536 bytes were taken")
	}
	if b, err := s.Get([]byte("other")); string(b) != "x" || err != nil {
		t.Errorf("other after a refused change: %q, %v", b, err)
	}
}

func TestStableIsLocked(t *testing.T) {
	fs := vfs.NewMem()
	s := openTestStable(t, fs)
	if _, err := openStable(fs, "", nil); err == nil {
		t.Fatal("opened twice")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	openTestStable(t, fs)
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
func stableStates(t *testing.T) []map[string][]byte {
	s := openTestStable(t, vfs.NewMem())
	states := []map[string][]byte{maps.Clone(s.values)}
	for _, change := range stableChanges {
		if err := change(s); err != nil {
			t.Fatal(err)
		}
		states = append(states, maps.Clone(s.values))
	}
	return states
}

// TestStableCrashAnywhere crashes before every operation on the file system,
// with all, none and some of what was not synced lost. The values are those before
// the change under way or those after it.
func TestStableCrashAnywhere(t *testing.T) {
	const seed = 11
	rng := rand.New(rand.NewPCG(seed, seed))
	states := stableStates(t)
	mem := vfs.NewCrashableMem()
	done, clones := 0, 0
	check := func(what string) {
		t.Helper()
		for _, percent := range []int{0, 50, 100} {
			clones++
			fs := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
			read := openTestStable(t, fs).values
			next := states[min(done+1, len(states)-1)]
			if !cmp.Equal(read, states[done]) && !cmp.Equal(read, next) {
				t.Fatalf("%s, %d%% of the unsynced kept: %q, want %q or %q (seed %d)", what, percent, read, states[done], next, seed)
			}
		}
	}
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			check(fmt.Sprintf("before op %d on %s", op.Kind, op.Path))
		}
		return nil
	}))
	s := openTestStable(t, fs)
	for i, change := range stableChanges {
		if err := change(s); err != nil {
			t.Fatal(err)
		}
		done = i + 1
		check(fmt.Sprintf("after change %d", i))
	}
	if clones < 3*4*len(stableChanges)/2 {
		t.Errorf("only %d crashes", clones)
	}
}

// failingWrite returns fs with its n-th write, from 0 on, failing, and the count
// of its writes.
func failingWrite(fs vfs.FS, n int, fault error) (vfs.FS, *int) {
	ops := new(int)
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		if *ops++; *ops == n+1 {
			return fault
		}
		return nil
	})), ops
}

// TestStableFailsForGood fails every write to the file system, one in each run:
// fatal is told, once, the values stay those before, no further change is made,
// and the next process finds the one state or the other, and then no crash of the
// machine takes that back.
func TestStableFailsForGood(t *testing.T) {
	disk := errors.New("input/output error")
	states := stableStates(t)
	for n := 0; ; n++ {
		mem := vfs.NewCrashableMem()
		fs, ops := failingWrite(mem, n, disk)
		told := 0
		s, err := openStable(fs, "", func(error) { told++ })
		if err != nil { // the lock could not be made
			if !errors.Is(err, disk) {
				t.Fatal(err)
			}
			continue
		}
		done := 0
		for ; done < len(stableChanges) && err == nil; done++ {
			err = stableChanges[done](s)
		}
		if err == nil {
			if *ops > n {
				t.Fatalf("write %d failed and nobody said so", n)
			}
			break // every write has failed once
		}
		done--
		if !errors.Is(err, disk) || told != 1 {
			t.Fatalf("write %d: change %d failed with %v, fatal told %d times", n, done, err, told)
		}
		if diff := cmp.Diff(states[done], s.values); diff != "" {
			t.Fatalf("write %d: after the failure:\n%s", n, diff)
		}
		if err := s.Set([]byte("other"), nil); !errors.Is(err, disk) || told != 1 {
			t.Fatalf("write %d: the next change returned %v, fatal told %d times", n, err, told)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		read := openTestStable(t, mem).values
		if !cmp.Equal(read, states[done]) && !cmp.Equal(read, states[done+1]) {
			t.Fatalf("write %d: the file has %q, want %q or %q", n, read, states[done], states[done+1])
		}
		if diff := cmp.Diff(read, openTestStable(t, mem.CrashClone(vfs.CrashCloneCfg{})).values); diff != "" {
			t.Fatalf("write %d: a crash takes back what was read:\n%s", n, diff)
		}
	}
}
