package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"

	"purser/internal/ledger"
)

// A backup is a snapshot outside of a node: a file with the stream that a node
// gives of it, or a snapshot's directory. What is done with it here needs no node.

// Inspect reads the meta of a backup and nothing behind it. fs is vfs.Default
// outside tests.
func Inspect(fs vfs.FS, path string) (m Meta, err error) {
	stream, err := openBackup(fs, path)
	if err != nil {
		return Meta{}, err
	}
	defer closeBackup(path, stream, &err)
	return unpackMeta(stream, ledger.NewestFormat)
}

// Verify reads every byte of a backup and compares it with the meta. The error
// wraps ErrSnapshotDamaged or ErrStreamMalformed and names the first broken,
// missing or surplus file. It costs one read of the whole backup and ends early
// with ctx.
func Verify(ctx context.Context, fs vfs.FS, path string) (Meta, error) {
	return readBackup(fs, path, func(tar io.Reader) (Meta, error) {
		return checkTar(stoppable{ctx, tar}, ledger.NewestFormat)
	})
}

// unpackBackup is Verify, and unpackTar into dir.
func unpackBackup(ctx context.Context, fs vfs.FS, path, dir string) (Meta, error) {
	return readBackup(fs, path, func(tar io.Reader) (Meta, error) {
		return unpackTar(fs, stoppable{ctx, tar}, dir, ledger.NewestFormat)
	})
}

// readBackup runs read on the stream of a backup.
func readBackup(fs vfs.FS, path string, read func(tar io.Reader) (Meta, error)) (m Meta, err error) {
	stream, err := openBackup(fs, path)
	if err != nil {
		return Meta{}, err
	}
	defer closeBackup(path, stream, &err)
	if err := checkListing(stream); err != nil {
		return Meta{}, err
	}
	return read(stream)
}

// openBackup opens the stream of the backup at path.
func openBackup(fs vfs.FS, path string) (io.ReadCloser, error) {
	info, err := fs.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open backup: %w", err)
	}
	if !info.IsDir() {
		f, err := fs.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open backup: %w", err)
		}
		return f, nil
	}
	m, raw, err := readMeta(fs, path, ledger.NewestFormat)
	if err != nil {
		return nil, err
	}
	return newTarStream(fs, path, m, raw, nil), nil
}

// closeBackup ends the use of a backup, and says which one *err is about.
func closeBackup(path string, stream io.Closer, err *error) {
	if *err = errors.Join(*err, stream.Close()); *err != nil {
		*err = fmt.Errorf("backup %s: %w", path, *err)
	}
}

// checkListing refuses a directory with other files than its meta lists, or of
// other sizes: its stream has as much of each as the meta says, whatever else is
// there.
func checkListing(stream io.Reader) error {
	dir, ok := stream.(*tarStream)
	if !ok {
		return nil
	}
	if err := checkSizes(dir.fs, dir.state, dir.files); err != nil {
		return err
	}
	names, err := dir.fs.List(dir.state)
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(dir.files))
	for _, f := range dir.files {
		known[f.Name] = true
	}
	for _, name := range names {
		if !known[name] {
			return damaged(name, "not in the meta")
		}
	}
	return nil
}

// stoppable is a reader that fails once ctx is done.
type stoppable struct {
	ctx context.Context
	in  io.Reader
}

func (r stoppable) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(p)
}
