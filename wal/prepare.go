package wal

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fillBytes is how much of a segment is zeroed between two syncs. Small steps
// keep the disk's queue short for the appends that go on meanwhile.
const fillBytes = 256 << 10

// errStopped ends a preparation that Close no longer waits for.
var errStopped = errors.New("wal: preparation stopped")

// prepared is a segment file that is all zero and durable under its name.
type prepared struct {
	file vfs.File
	err  error
}

// preparer makes the segment after the active one ahead of its use. Its one
// goroutine is started by Open and stopped and awaited by Close.
type preparer struct {
	fs   vfs.FS
	path string
	dir  vfs.File
	size int64

	// want and ready hold at most one item: a segment is asked for only when
	// the one before has been taken from ready.
	want  chan uint32
	ready chan prepared
	stop  chan struct{}
	done  chan struct{}
}

func newPreparer(o Options, dir vfs.File) *preparer {
	return &preparer{
		fs:    o.FS,
		path:  o.Dir,
		dir:   dir,
		size:  o.SegmentBytes,
		want:  make(chan uint32, 1),
		ready: make(chan prepared, 1),
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
	}
}

// run serves requests until close. A failure goes to ready like a file does:
// the rotation that takes it reports it.
func (p *preparer) run() {
	defer close(p.done)
	for {
		select {
		case <-p.stop:
			return
		case number := <-p.want:
			file, err := p.create(number, p.size)
			p.ready <- prepared{file: file, err: err}
		}
	}
}

// close stops run, waits for it and closes a file that nobody took.
func (p *preparer) close() error {
	close(p.stop)
	<-p.done
	select {
	case next := <-p.ready:
		if next.file != nil {
			return next.file.Close()
		}
	default:
	}
	return nil
}

// create makes an all-zero segment of size bytes, durable under its name; an
// unused one of the same number is replaced. The file is filled, not merely
// allocated: writing into allocated but never written blocks changes metadata,
// which makes each sync of them slower.
func (p *preparer) create(number uint32, size int64) (vfs.File, error) {
	temp := p.fs.PathJoin(p.path, tempName(number))
	f, err := p.fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("create segment %d: %w", number, err)
	}
	err = p.fill(f, size)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = p.fs.Rename(temp, p.fs.PathJoin(p.path, segmentName(number)))
	}
	if err == nil {
		err = p.dir.Sync()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create segment %d: %w", number, err), f.Close())
	}
	return f, nil
}

func (p *preparer) fill(f vfs.File, size int64) error {
	zeros := make([]byte, min(size, fillBytes))
	for off := int64(0); off < size; {
		select {
		case <-p.stop:
			return errStopped
		default:
		}
		n, err := f.WriteAt(zeros[:min(size-off, int64(len(zeros)))], off)
		if err == nil {
			err = f.SyncData()
		}
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}
