package raftfsm

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"purser/internal/ledger"
	"purser/internal/pace"
)

var (
	// ErrSnapshotIncomplete says that a sink was closed before a whole snapshot
	// was put into it.
	ErrSnapshotIncomplete = errors.New("snapshot is incomplete")

	// ErrSnapshotMismatch says that a stream's state stands at another log
	// position than raft announced. raft.Restore does that on purpose; a backup
	// is restored offline instead, into an empty data directory.
	ErrSnapshotMismatch = errors.New("snapshot is of another log position")

	// ErrSinkUsed says that a sink was used after its end, or in both ways.
	ErrSinkUsed = errors.New("snapshot sink used twice")
)

// snapshotSink is a snapshot being made. It is filled in one of two ways: by
// Commit, when this node's state machine makes the snapshot, or by Write, when
// a stream of another node's arrives. Close makes it durable and visible;
// Cancel, or a failed Close, removes it.
//
// Not safe for concurrent use.
type snapshotSink struct {
	store   *SnapshotStore
	tmp     string
	meta    Meta
	urgency func() pace.Urgency // of reading it back, nil for calm

	filled bool // Commit succeeded: meta is complete
	ended  bool // Close or Cancel was called

	// Of the second way. The unpacker goroutine starts with the first Write and
	// ends with Close or Cancel, which wait for it on received.
	pipe     *io.PipeWriter
	received chan receipt
}

// receipt is what the unpacker leaves behind.
type receipt struct {
	meta Meta
	err  error
}

var _ raft.SnapshotSink = (*snapshotSink)(nil)

// ID is the snapshot's id.
func (k *snapshotSink) ID() string { return k.meta.ID }

// Commit has fill put the state into dir, which does not exist yet: a Pebble
// checkpoint makes it. The state must reflect the log up to exactly the index
// raft gave. Then every file that the newest snapshot does not share is read once
// for its checksum, through a buffer of 256 KiB, and synced: that read is the cost
// of the snapshot, as the files themselves are hard links.
//
// On error the snapshot is void; the caller returns the error to raft, which
// cancels the sink.
func (k *snapshotSink) Commit(fill func(dir string) (SnapshotStats, error)) error {
	if k.ended || k.filled || k.pipe != nil {
		return ErrSinkUsed
	}
	fs, state := k.store.cfg.FS, k.store.cfg.FS.PathJoin(k.tmp, stateName)
	stats, err := fill(state)
	if err != nil {
		return fmt.Errorf("fill snapshot %s: %w", k.meta.ID, err)
	}
	names, err := fs.List(state)
	if err != nil {
		return fmt.Errorf("fill snapshot %s: %w", k.meta.ID, err)
	}
	slices.Sort(names)
	files := make([]SnapshotFile, 0, len(names))
	buf := make([]byte, copyBuffer)
	known, rest := sumsOf(k.store), pace.NewBreather(k.urgency)
	for _, name := range names {
		if row, ok := known.find(state, name); ok {
			files = append(files, row)
			continue
		}
		row, err := sumFile(fs, state, name, buf, rest)
		if err != nil {
			return err
		}
		if err := syncPath(fs, fs.PathJoin(state, name)); err != nil {
			return err
		}
		files = append(files, row)
	}
	if err := syncPath(fs, state); err != nil {
		return err
	}
	k.meta.Stats, k.meta.Files = stats, files
	if err := k.meta.check(); err != nil {
		return fmt.Errorf("fill snapshot %s: %w", k.meta.ID, err)
	}
	k.filled = true
	return nil
}

// Write takes the next bytes of a stream as Open gives it. A stream that cannot
// be a snapshot's is refused here or in Close.
func (k *snapshotSink) Write(p []byte) (int, error) {
	if k.ended || k.filled {
		return 0, ErrSinkUsed
	}
	if k.pipe == nil {
		r, w := io.Pipe()
		k.pipe, k.received = w, make(chan receipt, 1)
		fs, state := k.store.cfg.FS, k.store.cfg.FS.PathJoin(k.tmp, stateName)
		go func() {
			meta, err := unpackTar(fs, r, state, k.store.cfg.newest)
			// Unblocks a Write, which then answers with the reason. Without one
			// the stream has been read to its end.
			_ = r.CloseWithError(err)
			k.received <- receipt{meta, err}
			if errors.Is(err, ledger.ErrFormat) {
				k.store.cfg.Fatal(fmt.Errorf("receive snapshot: %w", err))
			}
		}()
	}
	return k.pipe.Write(p)
}

// Close makes the snapshot durable and then visible under its id, and retires
// the oldest. After an error it is gone, unless the error is of the retiring. A
// second call, or one after Cancel, does nothing.
func (k *snapshotSink) Close() error {
	if k.ended {
		return nil
	}
	if err := k.receive(io.EOF); err != nil {
		return errors.Join(err, k.Cancel())
	}
	if err := k.publish(); err != nil {
		return errors.Join(err, k.Cancel())
	}
	k.ended = true
	k.store.release(k.meta.ID)
	return k.store.reap()
}

// Cancel removes what was written. A second call, or one after Close, does nothing.
func (k *snapshotSink) Cancel() error {
	if k.ended {
		return nil
	}
	_ = k.receive(ErrSnapshotIncomplete)
	k.ended = true
	defer k.store.release(k.meta.ID)
	if err := k.store.cfg.FS.RemoveAll(k.tmp); err != nil {
		return fmt.Errorf("cancel snapshot %s: %w", k.meta.ID, err)
	}
	return nil
}

// receive ends the stream with cause, awaits the unpacker and takes over what
// it received.
func (k *snapshotSink) receive(cause error) error {
	if k.pipe == nil {
		if !k.filled {
			return fmt.Errorf("%w: %s", ErrSnapshotIncomplete, k.meta.ID)
		}
		return nil
	}
	_ = k.pipe.CloseWithError(cause)
	got := <-k.received
	k.pipe, k.received = nil, nil
	if got.err != nil {
		return fmt.Errorf("receive snapshot %s: %w", k.meta.ID, got.err)
	}
	if got.meta.Index != k.meta.Index || got.meta.Term != k.meta.Term {
		return fmt.Errorf("%w: it has (index %d, term %d), announced (%d, %d)", ErrSnapshotMismatch,
			got.meta.Index, got.meta.Term, k.meta.Index, k.meta.Term)
	}
	k.meta.Format = got.meta.Format
	// The id stays this node's, and the configuration the one raft sent along.
	k.meta.CreatedAt, k.meta.Stats, k.meta.Files = got.meta.CreatedAt, got.meta.Stats, got.meta.Files
	k.filled = true
	return nil
}

// publish writes the meta and renames the directory to its id. The state is
// synced already.
func (k *snapshotSink) publish() error {
	fs, final := k.store.cfg.FS, k.store.path(k.meta.ID)
	raw, err := encodeMeta(k.meta)
	if err != nil {
		return err
	}
	if err := writeSynced(fs, fs.PathJoin(k.tmp, metaName), raw); err != nil {
		return err
	}
	if err := syncPath(fs, k.tmp); err != nil {
		return err
	}
	if err := fs.Rename(k.tmp, final); err != nil {
		return fmt.Errorf("publish snapshot %s: %w", k.meta.ID, err)
	}
	if err := syncPath(fs, k.store.cfg.Dir); err != nil {
		// Whether the rename is durable is unknown; take it back before raft
		// hears that there is no such snapshot.
		return errors.Join(err, fs.Rename(final, k.tmp))
	}
	return nil
}

// writeSynced makes a file of b and syncs it, not its directory.
func writeSynced(fs vfs.FS, path string, b []byte) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
