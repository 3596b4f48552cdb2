package raftfsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

// requireNothingLeft fails unless fs holds the backup and nothing else.
func requireNothingLeft(t *testing.T, fs *vfs.MemFS, what string) {
	t.Helper()
	if names, err := fs.List("/"); err != nil || len(names) != 1 {
		t.Errorf("%s: left %q, %v", what, names, err)
	}
}

// TestRestoreRefusesDamage flips each byte of a backup and cuts it at many places:
// Verify and Restore refuse it and name the file inside, and nothing is made.
func TestRestoreRefusesDamage(t *testing.T) {
	source := vfs.NewMem()
	busyBackup(t, source, "backup.tar", false)
	good := readFile(t, source, "backup.tar")
	meta, err := Inspect(source, "backup.tar")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{metaName, "trailer"}
	for _, f := range meta.Files {
		names = append(names, f.Name)
	}
	turn := 0
	refused := func(what string, bad []byte) {
		t.Helper()
		fs := vfs.NewMem()
		if err := writeSynced(fs, "backup.tar", bytes.Clone(bad)); err != nil {
			t.Fatal(err)
		}
		readOnly := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				t.Errorf("%s: op %d on %s", what, op.Kind, op.Path)
			}
			return nil
		}))
		_, verifying := Verify(t.Context(), readOnly, "backup.tar")
		found := []error{verifying}
		if turn++; turn%16 == 1 { // it begins with the same
			_, restoring := memRestorer(t, readOnly).run(t.Context())
			found = append(found, restoring)
		}
		for _, err := range found {
			if !errors.Is(err, ErrSnapshotDamaged) && !errors.Is(err, ErrStreamMalformed) && !errors.Is(err, ledger.ErrFormat) {
				t.Fatalf("%s: %v", what, err)
			}
			named := func(name string) bool { return strings.Contains(err.Error(), name) }
			if !strings.Contains(err.Error(), "backup.tar") || !slices.ContainsFunc(names, named) {
				t.Fatalf("%s: no file is named: %v", what, err)
			}
		}
		requireNothingLeft(t, fs, what)
	}
	for i := range good {
		good[i] ^= 0x20
		refused(fmt.Sprintf("byte %d of %d flipped", i, len(good)), good)
		good[i] ^= 0x20
	}
	for n := 0; n < len(good); n += 97 {
		refused(fmt.Sprintf("%d of %d bytes", n, len(good)), good[:n])
	}
	refused("one byte less", good[:len(good)-1])
	refused("one byte more", append(bytes.Clone(good), 0))
}

// TestRestoreRefuses covers what has nothing to do with damage.
func TestRestoreRefuses(t *testing.T) {
	fs := vfs.NewMem()
	busyBackup(t, fs, "backup.tar", false)
	for name, change := range map[string]func(*RestoreConfig){
		"no backup":       func(c *RestoreConfig) { c.Backup = "" },
		"no directory":    func(c *RestoreConfig) { c.DataDir = "" },
		"no node id":      func(c *RestoreConfig) { c.NodeID = "" },
		"no address":      func(c *RestoreConfig) { c.RaftAddr = "" },
		"no host":         func(c *RestoreConfig) { c.RaftAddr = ":7000" },
		"unspecified":     func(c *RestoreConfig) { c.RaftAddr = "0.0.0.0:7000" },
		"unspecified six": func(c *RestoreConfig) { c.RaftAddr = "[::]:7000" },
		"no port":         func(c *RestoreConfig) { c.RaftAddr = "10.0.0.1" },
		"port 0":          func(c *RestoreConfig) { c.RaftAddr = "10.0.0.1:0" },
	} {
		cfg := restoreConfig(t, "backup.tar", filepath.Join(t.TempDir(), "data"))
		change(&cfg)
		if _, err := Restore(t.Context(), cfg); err == nil || errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := memRestorer(t, fs)
	r.cfg.Backup = "nothing.tar"
	if _, err := r.run(t.Context()); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "nothing.tar") {
		t.Errorf("a backup that is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := memRestorer(t, fs).run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	requireNothingLeft(t, fs, "refused")

	for _, name := range append(slices.Clone(restoredParts), "notes.txt") {
		full := vfs.NewMem()
		busyBackup(t, full, "backup.tar", false)
		if err := full.MkdirAll("data", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := writeSynced(full, "data/"+name, []byte("mine")); err != nil {
			t.Fatal(err)
		}
		if _, err := memRestorer(t, full).run(t.Context()); !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), name) {
			t.Errorf("into a directory with %s: %v", name, err)
		}
		if names, err := full.List("data"); err != nil || len(names) != 1 || string(readFile(t, full, "data/"+name)) != "mine" {
			t.Errorf("into a directory with %s: left %q, %v", name, names, err)
		}
	}
	// The directory of a new file system has something in it, too.
	if err := fs.MkdirAll("data/lost+found", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := memRestorer(t, fs).run(t.Context()); err != nil {
		t.Errorf("into a new file system: %v", err)
	}
}

// TestRestoreRefusesWrongBooks: a state that is not what its meta says, or whose
// sums are not 0, is not put into service, although every checksum is right.
func TestRestoreRefusesWrongBooks(t *testing.T) {
	forge := func(change func(m *machine, stats *SnapshotStats)) *vfs.MemFS {
		n := openTestNode(t, vfs.NewMem(), 1)
		defer n.close()
		n.apply(fewEntries())
		snap, err := n.fsm.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		defer snap.Release()
		f := snap.(*fsmSnapshot).frozen
		stats := f.stats()
		for i := range f.meta.Worlds {
			change(n.fsm.machine, &stats)
			f.meta.Worlds[i].Posted = n.fsm.machine.worlds[ledgertest.Currency("USD")].Posted
		}
		sink, err := n.snapshots.Create(raft.SnapshotVersionMax, n.last, 7, raft.Configuration{}, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		own := sink.(*snapshotSink)
		err = f.write(n.last)
		if err == nil {
			err = own.Commit(func(dir string) (SnapshotStats, error) { return stats, n.fsm.machine.store.SaveTo(dir) })
		}
		if err = errors.Join(err, own.Close()); err != nil {
			t.Fatal(err)
		}
		fs := vfs.NewMem()
		_, raw := stream(t, n.snapshots, sink.ID())
		if err := writeSynced(fs, "backup.tar", raw); err != nil {
			t.Fatal(err)
		}
		return fs
	}
	fs := forge(func(*machine, *SnapshotStats) {})
	if _, err := memRestorer(t, fs).run(t.Context()); err != nil {
		t.Fatalf("the forger cannot make a good backup: %v", err)
	}
	fs = forge(func(_ *machine, stats *SnapshotStats) { stats.Digest = "00" })
	if _, err := memRestorer(t, fs).run(t.Context()); !errors.Is(err, ErrSnapshotDamaged) || !strings.Contains(err.Error(), metaName) {
		t.Errorf("another digest: %v", err)
	}
	requireNothingLeft(t, fs, "another digest")
	fs = forge(func(m *machine, stats *SnapshotStats) {
		usd := ledgertest.Currency("USD")
		w := m.worlds[usd]
		w.Posted = w.Posted.Add(1)
		m.worlds[usd] = w
		stats.Totals[0].Posted, stats.Totals[0].Issued = "1", "99"
	})
	if _, err := Verify(t.Context(), fs, "backup.tar"); err != nil {
		t.Errorf("the bytes are those that were saved: %v", err)
	}
	if _, err := memRestorer(t, fs).run(t.Context()); !errors.Is(err, ErrBooks) {
		t.Errorf("a unit that came from nowhere: %v", err)
	}
	requireNothingLeft(t, fs, "wrong books")
	if _, report, err := Audit(t.Context(), fs, "backup.tar", "scratch", func(err error) { panic(err) }); err != nil || report.OK {
		t.Errorf("audit: %+v, %v", report, err)
	}
}
