//go:build linux || darwin

package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// diskBytes is the size of a machine's disk. Its image is sparse.
const diskBytes = 1 << 30

// disk is the file system of one machine: an image mounted by loop, or only a
// directory.
type disk struct {
	dir string

	mu      sync.Mutex
	mounted bool
	frozen  bool
}

// tryDisk finds out whether there can be disks that freeze.
func tryDisk(ctx context.Context, dir string) error {
	d := &disk{dir: filepath.Join(dir, "try", "disk")}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	if err := d.mount(ctx); err != nil {
		return err
	}
	return errors.Join(d.freeze(), d.thaw(), d.unmount(ctx))
}

func (d *disk) image() string { return d.dir + ".img" }

// mount makes a new, empty file system.
func (d *disk) mount(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := os.Create(d.image())
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskBytes), f.Close()); err != nil {
		return err
	}
	if err := run(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", d.image()); err != nil {
		return err
	}
	if err := run(ctx, "mount", "-o", "loop,noatime", d.image(), d.dir); err != nil {
		return err
	}
	d.mounted = true
	return nil
}

// unmount ends the file system, with everything on it. Nobody may use it any more.
func (d *disk) unmount(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := run(ctx, "umount", d.dir); err != nil {
		return err
	}
	d.mounted = false
	return os.Remove(d.image())
}

// wipe puts an empty disk in the place of this one.
func (d *disk) wipe(ctx context.Context) error {
	if !d.isMounted() {
		return errors.Join(os.RemoveAll(d.dir), os.Mkdir(d.dir, 0o755))
	}
	if err := d.unmount(ctx); err != nil {
		return err
	}
	return d.mount(ctx)
}

func (d *disk) isMounted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mounted
}

// freeze has every write hang until the thaw.
func (d *disk) freeze() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.frozen {
		return nil
	}
	if err := d.apart(); err != nil {
		return err
	}
	if err := run(context.Background(), "fsfreeze", "--freeze", d.dir); err != nil {
		return err
	}
	d.frozen = true
	return nil
}

// thaw lets the writes go on. It does nothing for a disk that is not frozen.
func (d *disk) thaw() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.frozen {
		return nil
	}
	if err := run(context.Background(), "fsfreeze", "--unfreeze", d.dir); err != nil {
		return err
	}
	d.frozen = false
	return nil
}

// apart makes sure that a freeze would not hit the file system that everything else
// is on.
func (d *disk) apart() error {
	var own, around syscall.Stat_t
	if err := errors.Join(syscall.Stat(d.dir, &own), syscall.Stat(filepath.Dir(d.dir), &around)); err != nil {
		return err
	}
	if !d.mounted || own.Dev == around.Dev {
		return fmt.Errorf("site: %s is no file system of its own", d.dir)
	}
	return nil
}

// slow freezes and thaws the disk in turns. The caller calls ease, once or more
// often, which ends that.
func (d *disk) slow(frozen, thawed time.Duration) (ease func() error) {
	stop, result := make(chan struct{}), make(chan error, 1)
	go func() { result <- d.takeTurns(stop, frozen, thawed) }()
	return sync.OnceValue(func() error {
		close(stop)
		return <-result
	})
}

func (d *disk) takeTurns(stop <-chan struct{}, frozen, thawed time.Duration) error {
	for {
		if err := d.freeze(); err != nil {
			return err
		}
		wait(stop, frozen)
		if err := d.thaw(); err != nil {
			return err
		}
		if stopped := wait(stop, thawed); stopped {
			return nil
		}
	}
}

// wait returns after a time, or when stop is closed.
func wait(stop <-chan struct{}, d time.Duration) (stopped bool) {
	select {
	case <-stop:
		return true
	case <-time.After(d):
		return false
	}
}
