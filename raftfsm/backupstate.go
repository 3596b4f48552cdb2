package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"purser/internal/ledger"
	"purser/internal/store"
	"purser/shard"
)

// Audit is Verify, and then opens the state, a copy of it in scratch, and holds
// every account and every key against every row of the journal. scratch is a
// directory that is new or empty, with room for the backup; what is left in it is
// the caller's to remove. fatal is told when it cannot be written, on any
// goroutine, and must end the process.
func Audit(ctx context.Context, fs vfs.FS, path, scratch string, fatal func(error)) (Meta, Report, error) {
	meta, err := unpackBackup(ctx, fs, path, scratch)
	if err != nil {
		return Meta{}, Report{}, err
	}
	m, err := openBackupState(machineConfig{fs: fs, dir: scratch, shards: 1, store: store.Options{Fatal: fatal}}, meta)
	if err != nil {
		return Meta{}, Report{}, fmt.Errorf("backup %s: %w", path, err)
	}
	report, err := m.verify(true, ctx.Err)
	return meta, report, errors.Join(err, m.close())
}

// openBackupState opens the state that was unpacked from a backup into cfg.dir,
// under the retention that it was made with, and requires that it is what meta
// says.
func openBackupState(cfg machineConfig, meta Meta) (*machine, error) {
	at, err := readCheckpoint(cfg)
	if err != nil {
		return nil, damagedState(err)
	}
	cfg.retention = at.Retention
	m, _, err := openMachine(cfg)
	if err != nil {
		return nil, damagedState(err)
	}
	view := m.freeze()
	stats := view.stats()
	view.accounts.Done(false)
	switch {
	case at.Snapshot != meta.Index:
		err = damaged(metaName, "is of log entry %d, the state of %d", meta.Index, at.Snapshot)
	case at.Membership.format() != meta.Format:
		err = damaged(metaName, "has format %d, the state %d", meta.Format, at.Membership.format())
	case !stats.equal(meta.Stats):
		err = damaged(metaName, "says %+v, the state has %+v", meta.Stats, stats)
	}
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

// readCheckpoint returns what the checkpoint in cfg.dir says about itself.
func readCheckpoint(cfg machineConfig) (meta checkpointMeta, err error) {
	cfg.store.FS, cfg.store.Dir = cfg.fs, cfg.dir
	st, err := store.Open(cfg.store)
	if err != nil {
		return meta, fmt.Errorf("open state: %w", err)
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	raw, ok, err := st.LoadCheckpoint()
	if err != nil {
		return meta, err
	}
	if !ok {
		return meta, fmt.Errorf("%w: there is none", ErrCheckpointDamaged)
	}
	return decodeCheckpointMeta(raw, ledger.NewestFormat)
}

// damagedState marks the error of opening a state whose files are as they were
// saved: if it is damaged, it was before.
func damagedState(err error) error {
	var page *shard.DamagedPageError
	if store.Damaged(err) || errors.Is(err, ErrCheckpointDamaged) || errors.As(err, &page) {
		return fmt.Errorf("%w: %s: %w", ErrSnapshotDamaged, stateName, err)
	}
	return err
}

func (s SnapshotStats) equal(other SnapshotStats) bool {
	return s.Accounts == other.Accounts && s.LastSeq == other.LastSeq && s.Digest == other.Digest &&
		slices.Equal(s.Totals, other.Totals)
}
