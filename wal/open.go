package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const lockName = "LOCK"

// Open opens the log in o.Dir, or makes an empty one, and reads and verifies all
// of it. A torn tail, which a crash during an unacknowledged append leaves, is
// cut. Anything else that a crash cannot explain is a *CorruptionError, and then
// nothing was changed. What Open shows is durable, whether or not it was
// acknowledged before the crash. Only one Log may have a directory open.
func Open(o Options) (_ *Log, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	l := &Log{opts: o.withDefaults()}
	l.heads.New = func() any { return new([entryHeaderBytes]byte) }
	r := recovery{l: l}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.blank.close(), l.closeFiles())
		}
	}()
	if err := l.openDir(); err != nil {
		return nil, fmt.Errorf("wal: open: %w", err)
	}
	if err := r.verify(); err != nil {
		return nil, err
	}
	l.prep = newPreparer(l.opts, l.dir)
	if err := r.repair(); err != nil {
		return nil, fmt.Errorf("wal: recover: %w", err)
	}
	go l.prep.run()
	return l, nil
}

// openDir makes the directory, durably, and takes its lock.
func (l *Log) openDir() error {
	var made []string
	for dir := l.opts.Dir; ; dir = l.opts.FS.PathDir(dir) {
		_, err := l.opts.FS.Stat(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		made = append(made, dir)
	}
	if err := l.opts.FS.MkdirAll(l.opts.Dir, 0o755); err != nil {
		return err
	}
	for _, dir := range slices.Backward(made) {
		if err := syncDir(l.opts.FS, l.opts.FS.PathDir(dir)); err != nil {
			return err
		}
	}
	var err error
	if l.lock, err = l.opts.FS.Lock(l.opts.FS.PathJoin(l.opts.Dir, lockName)); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	l.dir, err = l.opts.FS.OpenDir(l.opts.Dir)
	return err
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// recovery is the state of one Open.
type recovery struct {
	l     *Log
	temps []string
	tail  tail   // of the last segment begun
	blank *blank // a segment not begun yet, the last file if there is one
	img   []byte // the segment being read, reused
}

// blank is an all-zero segment file.
type blank struct {
	number uint32
	size   int64
	file   vfs.File
}

func (b *blank) close() error {
	if b == nil {
		return nil
	}
	return b.file.Close()
}

// verify reads every file into the index and changes none.
func (r *recovery) verify() error {
	names, err := r.l.opts.FS.List(r.l.opts.Dir)
	if err != nil {
		return fmt.Errorf("wal: open: %w", err)
	}
	var numbers []uint32
	for _, name := range names {
		if n, ok := parseSegmentName(name); ok {
			numbers = append(numbers, n)
		} else if isTempName(name) {
			r.temps = append(r.temps, name)
		}
	}
	slices.Sort(numbers)
	slices.Sort(r.temps)
	x := &r.l.index
	x.front, x.next, x.have = 1, 1, 1
	for i, n := range numbers {
		if i > 0 && n != numbers[i-1]+1 {
			return missing(numbers[i-1] + 1)
		}
		if err := r.read(n, i == 0); err != nil {
			return err
		}
	}
	if r.tail.sealed && r.blank == nil {
		return missing(x.active().number + 1)
	}
	if !x.empty() && x.have > x.front {
		return missing(x.segs[0].number - 1)
	}
	return nil
}

func missing(number uint32) error {
	return &CorruptionError{File: segmentName(number), Reason: "segment is missing"}
}

// read verifies one segment; first is set for the oldest.
func (r *recovery) read(number uint32, first bool) (err error) {
	name := segmentName(number)
	if r.blank != nil {
		return &CorruptionError{File: segmentName(r.blank.number),
			Reason: "segment was never begun, but a later one exists"}
	}
	f, err := r.load(number)
	if err != nil {
		return err
	}
	if isZero(r.img[:segmentHeaderBytes]) {
		r.blank = &blank{number: number, size: int64(len(r.img)), file: f}
		if at := firstNonZero(r.img); at >= 0 {
			return &CorruptionError{File: name, Offset: int64(at), Reason: "segment without a header is not blank"}
		}
		if first && number != 1 {
			return missing(number - 1)
		}
		return nil
	}
	x := &r.l.index
	before := *x
	x.segs = append(x.segs, &segment{number: number, size: int64(len(r.img)), file: f})
	h, err := decodeSegmentHeader(number, r.img)
	if err != nil {
		return err
	}
	switch {
	case first:
		x.front, x.next, x.have = h.front, h.next, h.next
	case !r.tail.sealed:
		return &CorruptionError{File: segmentName(number - 1), Offset: r.tail.off,
			Reason: "segment is not sealed, but a later one is in use"}
	case h.chain != r.tail.chain || h.front != before.front || h.next != before.next:
		return &CorruptionError{File: name, Reason: "segment does not follow the one before it"}
	}
	s := scanner{number: number, img: r.img, x: x}
	r.tail, err = s.run(h.crc)
	return err
}

// load opens a segment and reads it whole into r.img.
func (r *recovery) load(number uint32) (_ vfs.File, err error) {
	path := r.l.opts.FS.PathJoin(r.l.opts.Dir, segmentName(number))
	f, err := r.l.opts.FS.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("wal: open segment %d: %w", number, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("wal: open segment %d: %w", number, err)
	}
	size := info.Size()
	if size < segmentHeaderBytes {
		return nil, &CorruptionError{File: segmentName(number), Offset: size, Reason: "segment truncated"}
	}
	if size > maxSegmentFile {
		return nil, &CorruptionError{File: segmentName(number), Offset: maxSegmentFile,
			Reason: "file is larger than any segment"}
	}
	r.img = slices.Grow(r.img[:0], int(size))[:size]
	if _, err := f.ReadAt(r.img, 0); err != nil {
		return nil, fmt.Errorf("wal: read segment %d: %w", number, err)
	}
	return f, nil
}

// repair makes the verified log ready to be appended to: it cuts a torn tail,
// makes durable what was read, removes left-overs and completes a rotation.
func (r *recovery) repair() error {
	l := r.l
	if len(l.index.segs) > 0 {
		if err := r.settle(); err != nil {
			return err
		}
	}
	for _, name := range r.temps {
		if err := l.opts.FS.Remove(l.opts.FS.PathJoin(l.opts.Dir, name)); err != nil {
			return err
		}
	}
	// The names read may not be durable yet either.
	if err := l.dir.Sync(); err != nil {
		return err
	}
	l.off, l.chain = r.tail.off, r.tail.chain
	if len(l.index.segs) == 0 || r.tail.sealed {
		if err := r.beginNext(); err != nil {
			return err
		}
	}
	if err := l.remove(l.takeDead()); err != nil {
		return err
	}
	return r.requestNext()
}

// settle makes the end of the last segment durable as it was read. A torn tail
// is overwritten with zeros. Otherwise the last frame may never have been
// synced; it is written again before the sync, as the kernel forgets pages that
// once failed to reach the disk.
func (r *recovery) settle() error {
	s := r.l.index.active()
	if r.tail.torn > 0 {
		zeros := make([]byte, min(r.tail.torn-r.tail.off, fillBytes))
		for off := r.tail.off; off < r.tail.torn; off += int64(len(zeros)) {
			if _, err := s.file.WriteAt(zeros[:min(int64(len(zeros)), r.tail.torn-off)], off); err != nil {
				return err
			}
		}
		return s.file.SyncData()
	}
	last := make([]byte, r.tail.lastEnd-r.tail.last)
	if _, err := s.file.ReadAt(last, r.tail.last); err != nil {
		return err
	}
	if _, err := s.file.WriteAt(last, r.tail.last); err != nil {
		return err
	}
	return s.file.SyncData()
}

// beginNext begins the first segment of a new log, or the one after a seal.
func (r *recovery) beginNext() error {
	l := r.l
	number := uint32(1)
	if len(l.index.segs) > 0 {
		number = l.index.active().number + 1
	}
	s := &segment{number: number, size: l.opts.SegmentBytes}
	if r.blank != nil && r.blank.size == s.size {
		s.file, r.blank = r.blank.file, nil
	} else {
		var err error
		if s.file, err = l.prep.create(number, s.size); err != nil {
			return err
		}
	}
	return l.begin(s)
}

// requestNext hands the preparer the blank segment that was found, if it is of
// use, or asks for one.
func (r *recovery) requestNext() error {
	l := r.l
	number := l.index.active().number + 1
	found := r.blank
	r.blank = nil
	if found != nil && found.number == number && found.size == l.opts.SegmentBytes {
		l.prep.ready <- prepared{file: found.file}
		return nil
	}
	l.prep.want <- number
	return found.close()
}
