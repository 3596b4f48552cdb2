package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"purser/raftfsm"
)

// download stores a snapshot of a server in a file.
type download struct {
	path  string
	force bool
}

func (d *download) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.path, "out", "", "file to store the snapshot in, as a tar archive")
	cmd.Flags().BoolVar(&d.force, "force", false, "overwrite the file if there is one")
}

// partial is the name of the file until it is whole and verified.
func (d *download) partial() string { return d.path + ".partial" }

// vacant refuses to overwrite a file, or one that is being downloaded, without
// --force.
func (d *download) vacant() error {
	if d.force {
		return nil
	}
	for _, path := range []string{d.path, d.partial()} {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s: %w; --force overwrites it", path, fs.ErrExist)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// run stores the snapshot called id: the file appears under its name once all of
// it is on the disk and was read back and verified. Otherwise it leaves nothing,
// and what was there.
func (d *download) run(ctx context.Context, c *adminClient, id string) (m raftfsm.Meta, err error) {
	if err := d.vacant(); err != nil {
		return m, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/admin/v1/snapshots/"+url.PathEscape(id), nil)
	if err != nil {
		return m, usage(fmt.Errorf("admin address: %w", err))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return m, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		return m, problem(resp.StatusCode, body)
	}
	if err := d.store(resp.Body); err != nil {
		return m, fmt.Errorf("download snapshot %s: %w", id, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(d.partial()))
		}
	}()
	if m, err = raftfsm.Verify(ctx, vfs.Default, d.partial()); err != nil {
		return m, backupError(err)
	}
	if m.ID != id {
		return m, fmt.Errorf("the server sent snapshot %s instead of %s", m.ID, id)
	}
	return m, d.publish()
}

// store writes all of content, durably, under the partial name.
func (d *download) store(content io.Reader) (err error) {
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if !d.force {
		flags |= os.O_EXCL
	}
	f, err := os.OpenFile(d.partial(), flags, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(d.partial()))
	}
	return nil
}

// publish gives the file its name, durably.
func (d *download) publish() error {
	if _, err := os.Lstat(d.path); err == nil && !d.force {
		return fmt.Errorf("%s: %w; --force overwrites it", d.path, fs.ErrExist)
	}
	if err := os.Rename(d.partial(), d.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(d.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
