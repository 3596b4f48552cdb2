package raftfsm

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"purser/internal/crashfs"
	"purser/internal/ledger"
	"purser/internal/store"
)

// fatalf is what the helpers need of *testing.T and *rapid.T.
type fatalf interface {
	Helper()
	Fatalf(format string, args ...any)
}

// testNode is one FSM on a file system of its own, with the snapshots beside it and
// no raft.
type testNode struct {
	t         fatalf
	fs        vfs.FS
	fsm       *FSM
	snapshots *SnapshotStore
	meta      checkpointMeta
	covered   uint64
	last      uint64 // index of the last entry applied
}

func openTestNode(t fatalf, fs vfs.FS, shards int) *testNode {
	t.Helper()
	n, err := tryTestNode(t, fs, shards, testRetention)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return n
}

func tryTestNode(t fatalf, fs vfs.FS, shards int, retention ledger.Micros) (*testNode, error) {
	n := &testNode{t: t, fs: fs}
	var err error
	if n.snapshots, err = OpenSnapshots(SnapshotConfig{Dir: "snapshots", FS: fs}); err != nil {
		return nil, err
	}
	list, err := n.snapshots.List()
	if err != nil {
		return nil, err
	}
	if len(list) > 0 {
		n.covered = list[0].Index
	}
	dirs := stateDirs{fs: fs, root: "states", newest: ledger.NewestFormat}
	dir, err := dirs.current()
	if err != nil {
		return nil, err
	}
	cfg := machineConfig{
		fs: fs, dir: dir, shards: shards, retention: retention, runKeys: 8,
		store: store.Options{MemTableBytes: 64 << 10, CacheBytes: 1 << 20},
	}
	n.fsm, n.meta, err = newFSM(dirs, cfg, n.covered, 1<<40, func(err error) { panic(err) })
	if err != nil {
		return nil, err
	}
	n.fsm.awaited.Add(1) // the tests look at every result
	n.fsm.machine.arenas.spoil = true
	return n, syncPath(fs, "")
}

// apply hands entries to ApplyBatch, those above the newest snapshot as raft does.
func (n *testNode) apply(log []logEntry) []*ledger.Applied {
	n.t.Helper()
	batch := make([]*raft.Log, len(log))
	for i := range log {
		batch[i] = &raft.Log{Index: log[i].index, Term: 7, Type: raft.LogCommand, Data: log[i].encode()}
		n.last = log[i].index
	}
	applied := make([]*ledger.Applied, len(log))
	for i, r := range n.fsm.ApplyBatch(batch) {
		if r != nil {
			applied[i] = r.(*ledger.Applied)
			applied[i].Release = releaseWith(applied[i].Release, batch[i].Data)
		}
	}
	return applied
}

// releaseWith overwrites the entry, too, as its proposer may.
func releaseWith(release func(), entry []byte) func() {
	return func() {
		release()
		for i := range entry {
			entry[i] = 0xdb
		}
	}
}

// snapshot does what raft does for one.
func (n *testNode) snapshot() error {
	snap, err := n.fsm.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Release()
	sink, err := n.snapshots.Create(raft.SnapshotVersionMax, n.last, 7, raft.Configuration{}, 0, nil)
	if err != nil {
		return err
	}
	return snap.Persist(sink)
}

func (n *testNode) close() {
	n.t.Helper()
	if err := n.fsm.close(); err != nil {
		n.t.Fatalf("close: %v", err)
	}
}

// outcome is what must be equal wherever the same log was executed.
type outcome struct {
	position position
	accounts uint64
	worlds   string
}

func (n *testNode) outcome() outcome {
	m := n.fsm.machine
	pos := m.position()
	pos.NextDue = 0 // a hint, which in a replay can be of a hold that is still to come
	o := outcome{position: pos, accounts: m.group.StateHash()}
	for _, c := range currencies(m.worlds) {
		o.worlds += fmt.Sprintf("%s %+v; ", c, m.worlds[c])
	}
	return o
}

// balanced fails unless the books balance.
func (n *testNode) balanced(deep bool) {
	n.t.Helper()
	report, err := n.fsm.Verify(context.Background(), deep)
	if err != nil {
		n.t.Fatalf("verify: %v", err)
	}
	if !report.OK || report.Rows != n.fsm.machine.pos.Seq {
		n.t.Fatalf("the books do not balance: %+v", report)
	}
}

// cut splits log into random groups.
func cut(t *rapid.T, log []logEntry) (groups [][]logEntry) {
	for len(log) > 0 {
		size := rapid.IntRange(1, len(log)).Draw(t, "group")
		groups = append(groups, log[:size])
		log = log[size:]
	}
	return groups
}

// reference executes log on one shard, one entry at a time, compares each entry
// with the model, and returns what every other execution must come to.
func reference(t *rapid.T, log []logEntry, answers [][]answer, m *logModel) (lines [][]string, end outcome) {
	n := openTestNode(t, vfs.NewMem(), 1)
	defer n.close()
	first := map[uint64]string{}
	for i := range log {
		applied := n.apply(log[i : i+1])[0]
		if err := m.check(&log[i], answers[i], applied); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		lines = append(lines, transcript(applied))
		n.balanced(false)
		for _, r := range applied.Results {
			if r.Record == nil {
				continue
			}
			if !r.Replayed {
				first[r.Record.Seq] = spell(r.Record)
			} else if got := spell(r.Record); got != first[r.Record.Seq] {
				t.Fatalf("entry %d: replay\n%s\nof\n%s", i, got, first[r.Record.Seq])
			}
		}
	}
	n.balanced(true)
	if got, want := n.fsm.machine.pos.Seq, uint64(len(m.rows)); got != want {
		t.Fatalf("last seq %d, want %d", got, want)
	}
	for id, a := range m.book.Accounts {
		view, ok, err := n.fsm.Account([]byte(id))
		if err != nil || !ok {
			t.Fatalf("account %s: %t, %v", id, ok, err)
		}
		if err := m.book.CompareAccount(&view); err != nil {
			t.Fatalf("account %s, %+v: %v", id, a, err)
		}
	}
	for id, want := range m.history() {
		page, ok, err := n.fsm.Entries([]byte(id), true, 0, len(m.rows))
		if err != nil || !ok {
			t.Fatalf("history of %s: %t, %v", id, ok, err)
		}
		var got []uint64
		for _, e := range page.Entries {
			got = append(got, e.Seq)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("history of %s: %d, want %d", id, got, want)
		}
	}
	return lines, n.outcome()
}

// TestSameResultsForAnyShardsAndGroups compares them with those of a node that releases
// no results, while these do, sooner or later.
func TestSameResultsForAnyShardsAndGroups(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log, answers, model := drawLog(t, 30)
		want, end := reference(t, log, answers, model)
		for _, shards := range []int{2, 3, 16} {
			n := openTestNode(t, vfs.NewMem(), shards)
			i := 0
			for _, group := range cut(t, log) {
				for _, applied := range n.apply(group) {
					if got := transcript(applied); !slices.Equal(got, want[i]) {
						t.Fatalf("%d shards, entry %d:\n%q\nwant\n%q", shards, i, got, want[i])
					}
					if rapid.IntRange(0, 3).Draw(t, "release") > 0 {
						applied.Release()
					}
					i++
				}
			}
			n.balanced(true)
			if got := n.outcome(); got != end {
				t.Fatalf("%d shards: %+v, want %+v", shards, got, end)
			}
			n.close()
		}
	})
}

func TestSameResultsAcrossCrashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log, answers, model := drawLog(t, 40)
		want, end := reference(t, log, answers, model)
		fs := crashfs.New()
		n := openTestNode(t, fs, 1)
		copies := 0
		for done := 0; ; {
			group := log[done : done+rapid.IntRange(0, min(8, len(log)-done)).Draw(t, "entries")]
			for i, applied := range n.apply(group) {
				if applied == nil {
					t.Fatalf("entry %d was skipped", done+i)
				}
				if got := transcript(applied); !slices.Equal(got, want[done+i]) {
					t.Fatalf("entry %d:\n%q\nwant\n%q", done+i, got, want[done+i])
				}
				applied.Release()
			}
			done += len(group)
			if done == len(log) {
				break
			}
			switch rapid.SampledFrom([]string{"go on", "snapshot", "checkpoint", "flush", "crash", "crash"}).Draw(t, "event") {
			case "snapshot":
				if n.last > n.covered {
					if err := n.snapshot(); err != nil {
						t.Fatalf("snapshot: %v", err)
					}
					n.covered = n.last
				}
			case "checkpoint": // of a snapshot that never came to be
				if n.last > n.covered {
					abandonSnapshot(n)
				}
			case "flush": // rows that the next replay has not come to
				copies++
				if err := n.fsm.machine.store.SaveTo(fmt.Sprint("copy-", copies)); err != nil {
					t.Fatalf("flush: %v", err)
				}
			case "crash":
				seed := rapid.Uint64().Draw(t, "seed")
				percent := rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "unsynced")
				fs = crashed(t, n, fs, percent, seed)
				n = openTestNode(t, fs, rapid.IntRange(1, 3).Draw(t, "shards"))
				replay(n, log[:done], want)
			}
		}
		n.balanced(true)
		if got := n.outcome(); got != end {
			t.Fatalf("%+v, want %+v", got, end)
		}
		n.close()
	})
}

// crashed ends n by a crash and returns what is left on disk.
func crashed(_ *rapid.T, n *testNode, fs *crashfs.FS, percent int, seed uint64) *crashfs.FS {
	clone := fs.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 0)),
	})
	n.close()
	return clone
}

// abandonSnapshot writes the checkpoint of a snapshot and loses the snapshot.
func abandonSnapshot(n *testNode) {
	snap, err := n.fsm.Snapshot()
	if err != nil {
		n.t.Fatalf("snapshot: %v", err)
	}
	defer snap.Release()
	s := snap.(*fsmSnapshot)
	if err := s.frozen.write(n.last); err != nil {
		n.t.Fatalf("write checkpoint: %v", err)
	}
	s.frozen.accounts.Done(true)
	s.done = true
}

// replay hands over again what raft would after a restart. What is not skipped
// must come out as it did the first time.
func replay(n *testNode, log []logEntry, want [][]string) {
	if n.meta.Snapshot < n.covered {
		n.t.Fatalf("the state of entry %d is behind the snapshot of entry %d", n.meta.Snapshot, n.covered)
	}
	for i := range log {
		if log[i].index <= n.covered {
			n.last = log[i].index
			continue
		}
		at := n.fsm.machine.pos.Index
		applied := n.apply(log[i : i+1])[0]
		if skipped := applied == nil; skipped != (log[i].index <= at) {
			n.t.Fatalf("entry %d skipped: %t, with a state of %d", log[i].index, skipped, at)
		}
		if applied == nil {
			continue
		}
		if got := transcript(applied); !slices.Equal(got, want[i]) {
			n.t.Fatalf("replayed entry %d:\n%q\nwant\n%q", i, got, want[i])
		}
		applied.Release()
	}
}
