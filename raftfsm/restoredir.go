package raftfsm

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"purser/internal/ledger"
	"purser/internal/store"
	"purser/wal"
)

var (
	// ErrNotEmpty says that a backup was to be restored into a directory that holds
	// something.
	ErrNotEmpty = errors.New("data directory is not empty")

	// ErrRestoreUnfinished says that a restore into the data directory was
	// interrupted.
	ErrRestoreUnfinished = errors.New("restore has not finished")

	// ErrBooks says that the books of a backup do not balance.
	ErrBooks = errors.New("the books do not balance")
)

// restoringName is the file that makes a data directory one that a restore has not
// finished: made first, removed last.
const restoringName = "RESTORING"

const restoringText = "purser snapshot restore has not finished here: run it again, or empty the directory.\n"

// RestoreConfig says what to restore, and as whom.
type RestoreConfig struct {
	// Backup is a file or directory; see Verify. Required.
	Backup string
	// DataDir is a directory that is empty or does not exist. Required.
	DataDir string
	// NodeID names the node, which becomes a cluster of its own. Required.
	NodeID string
	// RaftAddr is where nodes that join that cluster reach it, "host:port".
	// Required.
	RaftAddr string
	// Shards is as in Config. Default 1.
	Shards int
	// Fatal is called when the data directory cannot be written, on any goroutine.
	// It must end the process. Required.
	Fatal func(error)
}

// Validate returns every fault of the configuration.
func (c RestoreConfig) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("restore: "+format, args...))
		}
	}
	fault(c.Backup == "", "backup is required")
	fault(c.DataDir == "", "data directory is required")
	fault(c.NodeID == "", "node id is required")
	fault(!dialable(c.RaftAddr), "other nodes cannot reach this one at %q", c.RaftAddr)
	fault(c.Shards < 0, "%d shards", c.Shards)
	fault(c.Fatal == nil, "Fatal is required")
	return errors.Join(faults...)
}

// dialable reports whether addr names a host and a port.
func dialable(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || port == "" || port == "0" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || !ip.Unmap().IsUnspecified()
}

// Restored says what a data directory was made of.
type Restored struct {
	Meta Meta // of the snapshot in the directory

	// Retention is what the state was made under, and a node on the directory has
	// to be started with.
	Retention time.Duration
}

// Restore makes a data directory of a backup, for a node that is a new cluster on
// its own: it has the accounts, the journal and the idempotency keys as of the
// snapshot, and an empty log behind it. The backup is verified before anything is
// written, and its books before the directory can be used.
//
// After an error nothing is left. After a crash there is nothing, or a directory
// that no node opens (ErrRestoreUnfinished) and another Restore does.
func Restore(ctx context.Context, cfg RestoreConfig) (Restored, error) {
	if err := cfg.Validate(); err != nil {
		return Restored{}, err
	}
	cfg.Shards = max(cfg.Shards, 1)
	r := restorer{cfg: cfg, fs: vfs.Default, identify: openIdentity}
	return r.run(ctx)
}

// identity is what a restore needs of the stable store.
type identity interface {
	put(values map[string][]byte) error
	Close() error
}

func openIdentity(dir string, fatal func(error)) (identity, error) {
	return openStable(dir, fatal)
}

// restorer is one Restore. Tests have a file system and a stable store of theirs.
type restorer struct {
	cfg      RestoreConfig
	fs       vfs.FS
	identify func(dir string, fatal func(error)) (identity, error)
	segment  int64 // size of the log's; 0 for the default

	made []string // directories made, the data directory last
}

func (r *restorer) run(ctx context.Context) (out Restored, err error) {
	if _, err := Verify(ctx, r.fs, r.cfg.Backup); err != nil {
		return out, err
	}
	if err := r.requireVacant(); err != nil {
		return out, err
	}
	if err := r.makeDirs(); err != nil {
		return out, errors.Join(err, r.removeDirs())
	}
	// It locks the directory.
	stable, err := r.identify(r.cfg.DataDir, r.cfg.Fatal)
	if err != nil {
		return out, errors.Join(err, r.removeDirs())
	}
	if err := r.requireVacant(); err != nil { // somebody else was faster
		return out, errors.Join(err, stable.Close())
	}
	if err = r.begin(); err == nil {
		out, err = r.build(ctx, stable)
	}
	if err != nil {
		return Restored{}, errors.Join(err, r.undo(stable))
	}
	return out, errors.Join(r.finish(), stable.Close())
}

// requireVacant refuses a data directory with anything in it but what a restore
// that has not finished left.
func (r *restorer) requireVacant() error {
	names, err := r.fs.List(r.cfg.DataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	free := []string{lockName, "lost+found"} // the latter is in every new file system
	if slices.Contains(names, restoringName) {
		free = append(append(free, restoringName), restoredParts...)
	}
	for _, name := range names {
		if !slices.Contains(free, name) {
			return fmt.Errorf("%w: %s holds %s", ErrNotEmpty, r.cfg.DataDir, name)
		}
	}
	return nil
}

// restoredParts is everything that a restore makes in the data directory.
var restoredParts = []string{statesName, snapshotsName, logName, stableName, stableName + tmpSuffix}

// makeDirs makes the data directory, durably, and notes what was not there.
func (r *restorer) makeDirs() error {
	for dir := r.cfg.DataDir; ; dir = r.fs.PathDir(dir) {
		_, err := r.fs.Stat(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("restore: %w", err)
		}
		r.made = append(r.made, dir)
	}
	slices.Reverse(r.made)
	if err := r.fs.MkdirAll(r.cfg.DataDir, 0o755); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	for _, dir := range r.made {
		if err := syncPath(r.fs, r.fs.PathDir(dir)); err != nil {
			return err
		}
	}
	return nil
}

// begin marks the directory and removes what another restore left in it.
func (r *restorer) begin() error {
	if err := writeSynced(r.fs, r.path(restoringName), []byte(restoringText)); err != nil {
		return err
	}
	if err := syncPath(r.fs, r.cfg.DataDir); err != nil {
		return err
	}
	return r.removeAll(statesName, snapshotsName, logName)
}

// build makes everything in the data directory, durably.
func (r *restorer) build(ctx context.Context, stable identity) (out Restored, err error) {
	states := stateDirs{fs: r.fs, root: r.path(statesName), newest: ledger.NewestFormat}
	cfg := machineConfig{fs: r.fs, dir: states.path(1), shards: r.cfg.Shards, store: store.Options{Fatal: r.cfg.Fatal}}
	meta, err := unpackBackup(ctx, r.fs, r.cfg.Backup, cfg.dir)
	if err != nil {
		return out, err
	}
	m, err := openBackupState(cfg, meta)
	if err != nil {
		return out, err
	}
	out.Retention = time.Duration(m.retention) * time.Microsecond
	out.Meta, err = r.takeOver(ctx, m, meta)
	if err = errors.Join(err, m.close()); err != nil {
		return out, err
	}
	if err := syncPath(r.fs, states.root); err != nil {
		return out, err
	}
	own, err := ownCluster(r.cfg, out)
	if err != nil {
		return out, err
	}
	if err := stable.put(own); err != nil {
		return out, err
	}
	log, err := wal.Open(wal.Options{FS: r.fs, Dir: r.path(logName), SegmentBytes: r.segment})
	if err != nil {
		return out, fmt.Errorf("restore: %w", err)
	}
	if err := log.Close(); err != nil {
		return out, fmt.Errorf("restore: %w", err)
	}
	return out, syncPath(r.fs, r.cfg.DataDir)
}

// ownCluster is what makes a restored directory that of another cluster than the
// one that the backup is of, with this node alone. The rest is the snapshot's
// configuration; see takeOver.
//
// The snapshot's term is the current one. An entry of the new cluster has a newer
// term, as raft begins one with every election; a vote is asked of nobody else.
func ownCluster(cfg RestoreConfig, r Restored) (map[string][]byte, error) {
	founders := []MemberRecord{{
		ID: cfg.NodeID, Incarnation: rand.Text(), RaftAddr: cfg.RaftAddr, Formats: ledger.NewestFormat,
	}}
	raw, err := json.Marshal(founders)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return map[string][]byte{
		keyNodeID:      []byte(cfg.NodeID),
		keyRetention:   []byte(r.Retention.String()),
		keyCurrentTerm: binary.BigEndian.AppendUint64(nil, r.Meta.Term),
		keyIncarnation: []byte(founders[0].Incarnation),
		keyCluster:     []byte(clusterOf(founders)),
		keyFounders:    raw,
	}, nil
}

// takeOver checks the books of m, the state of the snapshot with meta, and makes
// of it what the new cluster begins with: a checkpoint, and its snapshot. Rows
// behind the snapshot, of payments that went on while it was taken, are rows of a
// log that the new cluster does not have.
func (r *restorer) takeOver(ctx context.Context, m *machine, meta Meta) (Meta, error) {
	report, err := m.verify(false, ctx.Err)
	if err != nil {
		return Meta{}, err
	}
	if !report.OK {
		return Meta{}, fmt.Errorf("backup %s: %w", r.cfg.Backup, ErrBooks)
	}
	if err := m.store.Rewind(m.pos.Seq + 1); err != nil {
		return Meta{}, err
	}
	snapshots, err := OpenSnapshots(SnapshotConfig{Dir: r.path(snapshotsName), FS: r.fs})
	if err != nil {
		return Meta{}, err
	}
	alone := raft.Configuration{Servers: []raft.Server{{
		ID: raft.ServerID(r.cfg.NodeID), Address: raft.ServerAddress(r.cfg.RaftAddr),
	}}}
	// As raft.RecoverCluster does, as if the configuration were the first entry.
	created, err := snapshots.Create(raft.SnapshotVersionMax, meta.Index, meta.Term, alone, 1, nil)
	if err != nil {
		return Meta{}, err
	}
	sink := created.(*snapshotSink)
	sink.meta.CreatedAt = meta.CreatedAt
	if err := r.fill(sink, m); err != nil {
		return Meta{}, errors.Join(err, sink.Cancel())
	}
	return sink.meta, sink.Close()
}

// fill writes m as a checkpoint and puts that into the snapshot.
func (r *restorer) fill(sink *snapshotSink, m *machine) error {
	f := m.freeze()
	if err := f.write(sink.meta.Index); err != nil {
		f.accounts.Done(false)
		return err
	}
	stats := f.stats()
	sink.meta.Format = f.format()
	f.accounts.Done(true)
	return sink.Commit(func(dir string) (SnapshotStats, error) { return stats, m.store.SaveTo(dir) })
}

// finish makes the directory one that a node opens.
func (r *restorer) finish() error {
	if err := r.fs.Remove(r.path(restoringName)); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return syncPath(r.fs, r.cfg.DataDir)
}

// undo removes what was made. The mark goes last, when the rest is gone for good.
func (r *restorer) undo(stable identity) error {
	err := r.removeAll(restoredParts...)
	if err == nil {
		err = syncPath(r.fs, r.cfg.DataDir)
	}
	if err == nil {
		err = r.removeAll(restoringName)
	}
	err = errors.Join(err, stable.Close())
	if err == nil {
		err = r.removeAll(lockName)
	}
	return errors.Join(err, r.removeDirs())
}

func (r *restorer) removeAll(names ...string) error {
	for _, name := range names {
		if err := r.fs.RemoveAll(r.path(name)); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	return nil
}

// removeDirs removes the directories that were made, as far as they are empty.
func (r *restorer) removeDirs() error {
	for _, dir := range slices.Backward(r.made) {
		if err := r.fs.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("restore: %w", err)
		}
	}
	return nil
}

func (r *restorer) path(name string) string { return r.fs.PathJoin(r.cfg.DataDir, name) }
