// Package wal is the Raft log of one server: numbered segment files of fixed
// size, filled with zeros ahead of use, to which every change of the log is
// appended as one checksummed frame with one write and one fdatasync.
//
// A Log has one writer at a time and any number of readers beside it. It owns
// its directory and one goroutine, which makes the next segment. It never
// retries a failed write or sync, never drops bytes that may once have been
// durable, never logs, and reads the clock only to time appends for an observer.
package wal

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"purser/internal/planted"
)

var (
	_ raft.LogStore          = (*Log)(nil)
	_ raft.MonotonicLogStore = (*Log)(nil)
)

// maxRetained bounds the encoding buffer kept between appends, so that one
// unusually large append does not hold its memory for ever.
const maxRetained = 4 << 20

// Log is an open write-ahead log. Its methods may be called from any goroutine.
type Log struct {
	opts Options
	dir  vfs.File
	lock io.Closer
	prep *preparer

	// removing admits one DeleteRange, to whose end segments are removed one
	// after another. It is taken before writeMu, and never by an append.
	removing sync.Mutex

	// writeMu admits one writer. It is held over writes and syncs and guards
	// the fields up to mu.
	writeMu sync.Mutex
	failed  error    // the first storage error, wrapped in ErrPoisoned
	off     int64    // where the active segment's frames end
	chain   uint32   // what the next frame must carry
	buf     []byte   // a frame being encoded, reused
	offs    []uint32 // its entries' places, reused

	// mu guards what readers see. It is taken with writeMu held to publish what
	// is already durable, never over a write or a sync. A writer may read index
	// with writeMu alone.
	mu     sync.RWMutex
	index  index
	closed bool

	heads sync.Pool // of *[entryHeaderBytes]byte, for GetLog
}

// IsMonotonic tells raft that the log accepts no gaps.
func (l *Log) IsMonotonic() bool { return true }

// StoreLog appends one entry; see StoreLogs.
func (l *Log) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

// StoreLogs appends logs, whose indexes must continue the log's, or may start
// anywhere if it is empty. They are durable, all of them, when it returns nil.
// After ErrGap and ErrTooLarge the log is unchanged. After any other error it
// is unknown whether they are stored, and the Log is poisoned.
func (l *Log) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if err := l.follows(logs); err != nil {
		return err
	}
	size := appendFrameBytes(logs)
	if size > maxFrameBytes {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	return l.commit(frameHeader{kind: frameAppend, index: logs[0].Index}, logs, size)
}

// DeleteRange removes the entries from min to max, both included, which must
// begin at the first entry or before, or end at the last or after. Indexes the
// log does not have are ignored. The removal is durable when it returns nil; if
// it leaves the log empty, the next entry may have any index. After ErrMiddle the
// log is unchanged. After any other error it is unknown whether the entries are
// removed, and the Log is poisoned.
//
// Appends wait only until the removal is on record. The files go after that,
// beside them: to unlink a segment takes a file system milliseconds.
func (l *Log) DeleteRange(min, max uint64) error {
	l.removing.Lock()
	defer l.removing.Unlock()
	dead, err := l.cut(min, max)
	if err != nil {
		return err
	}
	if err := l.remove(dead); err != nil {
		l.writeMu.Lock()
		defer l.writeMu.Unlock()
		return l.fail(err)
	}
	return nil
}

// cut records the removal of a range and returns the segments that nothing
// needs any more.
func (l *Log) cut(min, max uint64) (dead []*segment, err error) {
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	if err := l.writable(); err != nil {
		return nil, err
	}
	first, last := l.bounds()
	var h frameHeader
	switch {
	case min > max || last == 0 || max < first || min > last:
		return nil, nil
	case min <= first && max >= last:
		h = frameHeader{kind: frameCutFront, index: last + 1}
	case min <= first:
		h = frameHeader{kind: frameCutFront, index: max + 1}
	case max >= last:
		h = frameHeader{kind: frameCutBack, index: min - 1}
	default:
		return nil, fmt.Errorf("%w: [%d, %d] of [%d, %d]", ErrMiddle, min, max, first, last)
	}
	if err := l.commit(h, nil, emptyFrameBytes); err != nil {
		return nil, err
	}
	return l.takeDead(), nil
}

// Close waits for an append or removal in progress, stops the goroutine that
// makes segments and closes the files. Closing twice is allowed.
func (l *Log) Close() error {
	l.removing.Lock()
	defer l.removing.Unlock()
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	return errors.Join(l.prep.close(), l.closeFiles())
}

// closeFiles closes what Open had opened, which after a failed Open may be
// anything.
func (l *Log) closeFiles() error {
	var errs []error
	for _, s := range l.index.segs {
		errs = append(errs, s.file.Close())
	}
	if l.dir != nil {
		errs = append(errs, l.dir.Close())
	}
	if l.lock != nil {
		errs = append(errs, l.lock.Close())
	}
	return errors.Join(errs...)
}

func (l *Log) writable() error {
	if l.closed {
		return ErrClosed
	}
	return l.failed
}

// fail poisons the log and returns the error that all later writes return too.
// The caller holds writeMu. What fails beside another failure is not the first.
func (l *Log) fail(err error) error {
	if l.failed == nil {
		l.failed = fmt.Errorf("%w: %w", ErrPoisoned, err)
	}
	return l.failed
}

func (l *Log) follows(logs []*raft.Log) error {
	next := l.index.next
	if l.index.empty() {
		next = logs[0].Index
	}
	for _, e := range logs {
		if e.Index != next || next == 0 || next+1 == 0 {
			return fmt.Errorf("%w: entry %d where %d is expected", ErrGap, e.Index, next)
		}
		next++
	}
	return nil
}

// commit makes one frame of size bytes durable, then visible.
func (l *Log) commit(h frameHeader, logs []*raft.Log, size int64) error {
	if l.off = frameStart(l.off); !fits(l.off, size, l.index.active().size) {
		if err := l.rotate(size); err != nil {
			return l.fail(err)
		}
	}
	if err := l.writeFrame(&h, logs, size); err != nil {
		return l.fail(err)
	}
	l.mu.Lock()
	l.index.apply(&h, l.offs)
	l.mu.Unlock()
	return nil
}

// fits reports whether a frame of size bytes at off leaves room for the seal.
func fits(off, size, segmentSize int64) bool {
	return frameStart(off+size)+emptyFrameBytes <= segmentSize
}

// writeFrame writes one frame at l.off and syncs it.
func (l *Log) writeFrame(h *frameHeader, logs []*raft.Log, size int64) error {
	s := l.index.active()
	h.segment, h.offset, h.chain = s.number, uint32(l.off), l.chain
	l.buf, l.offs = appendFrame(slices.Grow(l.buf[:0], int(size)), l.offs[:0], h, logs)

	var began, wrote time.Time
	if l.opts.Observe != nil {
		began = time.Now()
	}
	if _, err := s.file.WriteAt(l.buf, l.off); err != nil {
		return fmt.Errorf("write segment %d: %w", s.number, err)
	}
	if l.opts.Observe != nil {
		wrote = time.Now()
	}
	if !planted.Is(planted.AckBeforeFsync) {
		if err := s.file.SyncData(); err != nil {
			return fmt.Errorf("sync segment %d: %w", s.number, err)
		}
	}
	if l.opts.Observe != nil && h.kind == frameAppend {
		l.opts.Observe(Append{Entries: len(logs), Bytes: len(l.buf),
			Write: wrote.Sub(began), Sync: time.Since(wrote)})
	}
	l.off, l.chain = l.off+size, h.crc
	if cap(l.buf) > maxRetained {
		l.buf = nil
	}
	return nil
}

// rotate seals the active segment and begins one that has room for a frame of
// size bytes. A crash in between leaves a seal and an unused segment behind it,
// which Open takes up: that file is in place before the seal is.
func (l *Log) rotate(size int64) error {
	number := l.index.active().number + 1
	next := <-l.prep.ready
	if next.err != nil {
		return next.err
	}
	segmentSize := l.opts.SegmentBytes
	if !fits(segmentHeaderBytes, size, segmentSize) {
		if err := next.file.Close(); err != nil {
			return err
		}
		segmentSize = frameStart(segmentHeaderBytes+size) + emptyFrameBytes
		var err error
		if next.file, err = l.prep.create(number, segmentSize); err != nil {
			return err
		}
	}
	err := l.writeFrame(&frameHeader{kind: frameSeal, index: l.index.next}, nil, emptyFrameBytes)
	if err != nil {
		return errors.Join(err, next.file.Close())
	}
	if err := l.begin(&segment{number: number, size: segmentSize, file: next.file}); err != nil {
		return err
	}
	l.prep.want <- number + 1
	return nil
}

// begin writes the header of s, an all-zero segment, and makes it the active
// one. It takes over s.file.
func (l *Log) begin(s *segment) error {
	h := segmentHeader{number: s.number, size: s.size, chain: l.chain,
		front: l.index.front, next: l.index.next}
	_, err := s.file.WriteAt(encodeSegmentHeader(&h), 0)
	if err == nil {
		err = s.file.SyncData()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("begin segment %d: %w", s.number, err), s.file.Close())
	}
	l.off, l.chain = segmentHeaderBytes, h.crc
	l.mu.Lock()
	l.index.segs = append(l.index.segs, s)
	l.mu.Unlock()
	return nil
}

// takeDead takes the segments that precede the first live entry out of the
// index: no reader comes to them any more.
func (l *Log) takeDead() []*segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.index.dead()
	dead := slices.Clone(l.index.segs[:n])
	l.index.segs = slices.Delete(l.index.segs, 0, n)
	return dead
}

// remove deletes the files of dead segments, oldest first and each durably before
// the next, so that what remains never has a hole.
func (l *Log) remove(dead []*segment) error {
	for i, s := range dead {
		err := s.file.Close()
		if err == nil {
			err = l.opts.FS.Remove(l.opts.FS.PathJoin(l.opts.Dir, segmentName(s.number)))
		}
		if err == nil {
			err = l.dir.Sync()
		}
		if err != nil {
			err = fmt.Errorf("remove segment %d: %w", s.number, err)
			for _, rest := range dead[i+1:] {
				err = errors.Join(err, rest.file.Close())
			}
			return err
		}
	}
	return nil
}
