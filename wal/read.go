package wal

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// FirstIndex returns the index of the first entry, 0 if there is none.
func (l *Log) FirstIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return 0, ErrClosed
	}
	first, _ := l.bounds()
	return first, nil
}

// LastIndex returns the index of the last entry, 0 if there is none.
func (l *Log) LastIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return 0, ErrClosed
	}
	_, last := l.bounds()
	return last, nil
}

// GetLog reads entry i into e, which then owns its bytes. It returns
// raft.ErrLogNotFound if the log does not have it, and a *CorruptionError if
// the bytes on disk no longer are what Open verified or StoreLogs wrote. It runs
// beside appends and waits for none of their writes and syncs.
func (l *Log) GetLog(i uint64, e *raft.Log) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return ErrClosed
	}
	s, off, ok := l.index.find(i)
	if !ok {
		return raft.ErrLogNotFound
	}
	head := l.heads.Get().(*[entryHeaderBytes]byte)
	defer l.heads.Put(head)
	if _, err := s.file.ReadAt(head[:], int64(off)); err != nil {
		return fmt.Errorf("wal: read entry %d: %w", i, err)
	}
	h := decodeEntryHeader(head[:])
	if h.index != i || int64(off)+h.size() > s.size {
		return &CorruptionError{File: segmentName(s.number), Offset: int64(off),
			Reason: fmt.Sprintf("entry %d was overwritten", i)}
	}
	var body []byte
	if n := h.dataLen + h.extLen; n > 0 {
		body = make([]byte, n)
		if _, err := s.file.ReadAt(body, int64(off)+entryHeaderBytes); err != nil {
			return fmt.Errorf("wal: read entry %d: %w", i, err)
		}
	}
	if !decodeEntry(h, head[:], body, e) {
		return &CorruptionError{File: segmentName(s.number), Offset: int64(off),
			Reason: fmt.Sprintf("entry %d checksum mismatch", i)}
	}
	return nil
}

// Stats describes what a Log holds.
type Stats struct {
	Segments    int   // files in use, without the one prepared ahead
	Bytes       int64 // size of those files
	First, Last uint64
}

// Stats returns the present state; it remains available after Close.
func (l *Log) Stats() Stats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	st := Stats{Segments: len(l.index.segs)}
	for _, s := range l.index.segs {
		st.Bytes += s.size
	}
	st.First, st.Last = l.bounds()
	return st
}

// bounds needs mu or writeMu.
func (l *Log) bounds() (first, last uint64) {
	if l.index.empty() {
		return 0, 0
	}
	return l.index.front, l.index.next - 1
}
