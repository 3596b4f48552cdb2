package raftfsm

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

// saveBackup streams the newest snapshot of n into a file.
func saveBackup(t *testing.T, n *Node) string {
	t.Helper()
	list, err := n.Snapshots()
	if err != nil || len(list) == 0 {
		t.Fatalf("%d snapshots, %v", len(list), err)
	}
	stream, size, err := n.OpenSnapshot(list[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(stream)
	if err = errors.Join(err, stream.Close()); err != nil || int64(len(raw)) != size {
		t.Fatalf("%d bytes of %d, %v", len(raw), size, err)
	}
	path := filepath.Join(t.TempDir(), "backup.tar")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func restoreConfig(t *testing.T, backup, dir string) RestoreConfig {
	return RestoreConfig{
		Backup: backup, DataDir: dir, NodeID: "r1", RaftAddr: "127.0.0.1:7000", Shards: 3,
		Fatal: func(err error) { t.Errorf("fatal: %v", err) },
	}
}

// TestRestoreGoesOn: a node on a restored directory has the books of the snapshot,
// remembers its keys, and goes on as a cluster of its own, over further restarts
// and snapshots. What was paid after the snapshot is not there.
func TestRestoreGoesOn(t *testing.T) {
	cfg := nodeConfig(t, t.TempDir())
	cfg.Retention = 48 * time.Hour
	n := startNode(t, cfg)
	var p proposer
	p.pay(t, n, 100)
	if _, _, err := n.TakeSnapshot(); err != nil {
		t.Fatal(err)
	}
	before := n.Status()
	late := p
	late.pay(t, n, 30)
	backup := saveBackup(t, n)
	stopNode(t, n)

	dir := filepath.Join(t.TempDir(), "a", "b")
	restored, err := Restore(t.Context(), restoreConfig(t, backup, dir))
	if err != nil {
		t.Fatal(err)
	}
	original, err := Inspect(vfs.Default, backup)
	if err != nil {
		t.Fatal(err)
	}
	got := restored.Meta
	if restored.Retention != cfg.Retention || !got.Stats.equal(original.Stats) || !got.CreatedAt.Equal(original.CreatedAt) ||
		got.Index != original.Index || got.Term != original.Term {
		t.Errorf("restored %+v\nfrom %+v", restored, original)
	}
	alone := []raft.Server{{Suffrage: raft.Voter, ID: "r1", Address: "127.0.0.1:7000"}}
	if !slices.Equal(got.Configuration.Servers, alone) {
		t.Errorf("configuration %+v", got.Configuration)
	}

	own := nodeConfig(t, dir)
	if _, err := Open(own); !errors.Is(err, ErrForeignData) {
		t.Errorf("opened as the node of the backup: %v", err)
	}
	own.NodeID = "r1"
	if _, err := Open(own); !errors.Is(err, ErrRetention) {
		t.Errorf("opened with another retention: %v", err)
	}
	own.Retention = restored.Retention
	for range 2 {
		n = startNode(t, own)
		now := n.Status()
		if now.Digest != before.Digest || now.Sequence != before.Sequence || now.Leader != "r1" || len(now.Members) != 1 ||
			now.Term <= original.Term {
			t.Errorf("%+v, the backup is of %+v", now, before)
		}
		p.check(t, n)
		stopNode(t, n)
	}
	n = startNode(t, own)
	requireReplays(t, n, &p)
	p.pay(t, n, 50) // with keys that the other cluster gave to payments after the snapshot
	p.check(t, n)
	if _, _, err := n.TakeSnapshot(); err != nil {
		t.Fatal(err)
	}
	again := saveBackup(t, n)
	stopNode(t, n)
	if _, report, err := Audit(t.Context(), vfs.Default, again, t.TempDir(), cfg.Fatal); err != nil || !report.OK {
		t.Errorf("a backup of the restored node: %+v, %v", report, err)
	}
}

// TestRestoreUnderTheSameID: a node with an id of the old cluster founds another one
// all the same, with none of the old members, and is let into it again after a
// restart.
func TestRestoreUnderTheSameID(t *testing.T) {
	cfg := nodeConfig(t, t.TempDir())
	n := startNode(t, cfg)
	var p proposer
	p.pay(t, n, 5)
	old := ownMembership(n)
	if _, _, err := n.TakeSnapshot(); err != nil {
		t.Fatal(err)
	}
	restoring := restoreConfig(t, saveBackup(t, n), filepath.Join(t.TempDir(), "data"))
	stopNode(t, n)
	restoring.NodeID = cfg.NodeID
	if _, err := Restore(t.Context(), restoring); err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = restoring.DataDir
	for range 2 {
		n = startNode(t, cfg)
		p.pay(t, n, 5)
		p.check(t, n)
		now := ownMembership(n)
		if now.Cluster == old.Cluster || len(now.Members) != 1 || now.Members[0].Incarnation == old.Members[0].Incarnation {
			t.Errorf("%+v, restored from %+v", now, old)
		}
		stopNode(t, n)
	}
}

// ownMembership waits until the state names the cluster of n, and returns what it
// says of it.
func ownMembership(n *Node) membership {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n.fsm.membership().Cluster != *n.identity.cluster.Load() {
		<-tick.C
	}
	return *n.fsm.membership()
}

// requireReplays repeats every payment that p has proposed.
func requireReplays(t *testing.T, n *Node, p *proposer) {
	t.Helper()
	for i := range p.count {
		applied, err := p.propose(n, ledger.Command{
			Kind: ledger.Pay, Key: fmt.Appendf(nil, "k%d", i+1), Source: []byte("world:USD"),
			Destination: []byte("a"), Currency: ledgertest.Currency("USD"), Amount: 1,
		})
		if err != nil || !applied.Results[0].Replayed || applied.Results[0].Record.Seq != uint64(2*i+2) {
			t.Fatalf("retry of payment %d: %+v, %v", i+1, applied, err)
		}
	}
}

// busyBackup is a backup that was taken while further entries were applied: its
// tables hold rows behind its snapshot. It returns the node that it is of, as it
// was.
func busyBackup(t *testing.T, fs vfs.FS, path string, further bool) outcome {
	t.Helper()
	n := openTestNode(t, vfs.NewMem(), 2)
	defer n.close()
	n.apply(fewEntries())
	was := n.outcome()
	snap, err := n.fsm.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Release()
	sink, err := n.snapshots.Create(raft.SnapshotVersionMax, n.last, 7, raft.Configuration{}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if further {
		n.apply(otherEntries("theirs", "c", 130))
	}
	if err := snap.Persist(sink); err != nil {
		t.Fatal(err)
	}
	_, raw := stream(t, n.snapshots, sink.ID())
	if err := writeSynced(fs, path, raw); err != nil {
		t.Fatal(err)
	}
	return was
}

// otherEntries follow fewEntries: an account, a hold on it, and many payments.
func otherEntries(name, account string, payments int) []logEntry {
	usd := ledgertest.Currency("USD")
	log := []logEntry{{index: 4, stamp: 3000, cmds: []ledger.Command{
		{Kind: ledger.CreateAccount, Source: []byte(account), Currency: usd},
		{Kind: ledger.Pay, Key: []byte(name), Source: []byte("world:USD"), Destination: []byte(account), Currency: usd, Amount: 500},
		{Kind: ledger.Authorize, Key: []byte(name + " hold"), Source: []byte(account), Destination: []byte("a"), Currency: usd, Amount: 5, ExpiresIn: 100},
	}}, {index: 5, stamp: 4000}}
	for i := range payments {
		log[1].cmds = append(log[1].cmds, ledger.Command{
			Kind: ledger.Pay, Key: fmt.Appendf(nil, "%s %d", name, i), Source: []byte(account), Destination: []byte("b"), Currency: usd, Amount: 1,
		})
	}
	return log
}

// memIdentity is a stable store for file systems that the real one cannot use.
type memIdentity struct {
	fs  vfs.FS
	dir string
	io.Closer
}

func (m memIdentity) put(values map[string][]byte) error {
	raw, err := encodeStable(values)
	if err != nil {
		return err
	}
	tmp := m.fs.PathJoin(m.dir, stableName+tmpSuffix)
	if err := writeSynced(m.fs, tmp, raw); err != nil {
		return err
	}
	if err := m.fs.Rename(tmp, m.fs.PathJoin(m.dir, stableName)); err != nil {
		return err
	}
	return syncPath(m.fs, m.dir)
}

func memRestorer(t *testing.T, fs vfs.FS) *restorer {
	cfg := restoreConfig(t, "backup.tar", "data")
	cfg.Fatal = func(err error) { panic(err) }
	return &restorer{cfg: cfg, fs: fs, segment: 4096, identify: func(dir string, _ func(error)) (identity, error) {
		lock, err := fs.Lock(fs.PathJoin(dir, lockName))
		return memIdentity{fs, dir, lock}, err
	}}
}

// testNodeOn opens the state in a restored directory, as a node would.
func testNodeOn(t *testing.T, fs vfs.FS) *testNode {
	t.Helper()
	n := &testNode{t: t, fs: fs, last: 3, covered: 3}
	dirs := stateDirs{fs: fs, root: "data/" + statesName, newest: ledger.NewestFormat}
	dir, err := dirs.current()
	if err != nil {
		t.Fatal(err)
	}
	n.fsm, n.meta, err = newFSM(dirs, machineConfig{fs: fs, dir: dir, shards: 2, retention: testRetention}, 3, 1<<40, func(err error) { panic(err) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRestoreForgetsTheFuture: rows that were written while the snapshot was taken
// are not met by the commands to which the new cluster gives their numbers.
func TestRestoreForgetsTheFuture(t *testing.T) {
	fs := vfs.NewMem()
	was := busyBackup(t, fs, "backup.tar", true)
	if _, err := memRestorer(t, fs).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := testNodeOn(t, fs)
	defer n.close()
	if got := n.outcome(); got != was {
		t.Fatalf("restored %+v, want %+v", got, was)
	}
	n.balanced(true)
	ours := otherEntries("ours", "d", 170)
	// Shifted by one, the blocks of the journal begin within those of the other one.
	ours[0].cmds = slices.Insert(ours[0].cmds, 0, ledger.Command{
		Kind: ledger.Pay, Key: []byte("shift"), Source: []byte("a"), Destination: []byte("b"), Currency: ledgertest.Currency("USD"), Amount: 1,
	})
	for i := range ours {
		n.apply(ours[i : i+1])
		n.balanced(true)
	}
	if ids, _, err := n.fsm.machine.store.AccountIDs(nil, nil, 10, 1<<60); err != nil || len(ids) != 3 {
		t.Errorf("accounts %q, %v; want a, b and d", ids, err)
	}
	for _, id := range []string{"a", "b", "d", "world:USD"} {
		up, _, err := n.fsm.Entries([]byte(id), true, 0, 500)
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
		down, _, err := n.fsm.Entries([]byte(id), false, 0, 500)
		slices.Reverse(down.Entries)
		if err != nil || len(up.Entries) != len(down.Entries) {
			t.Errorf("%s: %d entries up, %d down, %v", id, len(up.Entries), len(down.Entries), err)
		}
	}
	if due, err := n.fsm.machine.store.Due(n.fsm.machine.pos.Swept, 1<<60, 10, 1<<60); err != nil || len(due) != 1 {
		t.Errorf("holds that lapse: %v, %v; want ours", due, err)
	}
}

// TestUnfinishedRestoreIsRefused: no node opens the directory or changes it, and
// another restore does.
func TestUnfinishedRestoreIsRefused(t *testing.T) {
	cfg := nodeConfig(t, t.TempDir())
	n := startNode(t, cfg)
	var p proposer
	p.pay(t, n, 5)
	if _, _, err := n.TakeSnapshot(); err != nil {
		t.Fatal(err)
	}
	backup := saveBackup(t, n)
	stopNode(t, n)
	dir := t.TempDir()
	if _, err := Restore(t.Context(), restoreConfig(t, backup, dir)); err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(dir, restoringName)
	if err := os.WriteFile(mark, []byte(restoringText), 0o600); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	own := nodeConfig(t, dir)
	own.NodeID = "r1"
	if _, err := Open(own); !errors.Is(err, ErrRestoreUnfinished) || !strings.Contains(err.Error(), dir) {
		t.Errorf("opened with %v", err)
	}
	if after := tree(t, dir); !maps.Equal(before, after) {
		t.Errorf("the refusal changed %v into %v", before, after)
	}
	if _, err := Restore(t.Context(), restoreConfig(t, backup, dir)); err != nil {
		t.Fatal(err)
	}
	n = startNode(t, own)
	p.check(t, n)
	if _, err := Restore(t.Context(), restoreConfig(t, backup, dir)); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("over a running node: %v", err)
	}
	stopNode(t, n)
}

// tree is every file under dir with its size.
func tree(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	files := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		files[path] = info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
