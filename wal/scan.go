package wal

import (
	"fmt"
	"hash/crc32"

	"purser/internal/planted"
)

// tail is where the frames of a segment end.
type tail struct {
	// off is where the next frame may go, already moved to the next sector if
	// its header needs that.
	off int64
	// chain is the checksum the next frame, or the next segment, must carry.
	chain uint32
	// sealed: the last frame is a seal and no more may follow here.
	sealed bool
	// last is the last valid frame's place, or the segment header's: the only
	// bytes that may be in the file without having been synced.
	last, lastEnd int64
	// torn is the end of the remains of a frame that was being written, or 0.
	// The bytes [off, torn) must read as zero before anything is appended.
	torn int64
}

// scanner verifies the frames of one segment and replays them into an index.
//
// It rests on three facts. A segment is all zero, durably, before its first
// frame. A sector of an unsynced write is as before or as written. A frame is
// written only after the one before was synced, so only the last can be torn.
//
// Hence an all-zero header is the end of the log, or a torn frame if bytes
// follow; a header that is neither zero nor valid is corruption; and a frame
// with a valid header and a bad payload is torn if more of its sectors are zero
// than it was written with, and otherwise is corruption. What lies behind a
// torn frame decides: a valid header there proves the frame was synced once, so
// that it is not torn but damaged.
//
// The remains of a torn frame stay torn when any of its sectors turn to zero,
// so the wiping of them may itself be cut short at any sector.
type scanner struct {
	number uint32
	img    []byte
	x      *index
	offs   []uint32 // of the frame being read, reused
}

func (s *scanner) corrupt(off int64, format string, args ...any) error {
	return &CorruptionError{File: segmentName(s.number), Offset: off, Reason: fmt.Sprintf(format, args...)}
}

// run reads the frames after the header, whose checksum is chain. x.active is
// the segment's entry in the index.
func (s *scanner) run(chain uint32) (tail, error) {
	t := tail{off: segmentHeaderBytes, chain: chain, lastEnd: segmentHeaderBytes}
	for {
		t.off = frameStart(t.off)
		if t.off+frameHeaderBytes > int64(len(s.img)) {
			return t, s.corrupt(t.off, "segment is full but not sealed")
		}
		head := s.img[t.off : t.off+frameHeaderBytes]
		if isZero(head) {
			return t, s.end(&t)
		}
		h, err := s.header(t.off, t.chain)
		if err != nil {
			return t, err
		}
		end := t.off + h.size()
		if crc32.Checksum(s.img[t.off+frameHeaderBytes:end], castagnoli) != h.payloadCRC {
			if planted.Is(planted.LogTruncated) {
				return t, nil
			}
			return t, s.torn(&t, &h)
		}
		if err := s.apply(t.off, &h); err != nil {
			return t, err
		}
		t.last, t.lastEnd = t.off, end
		t.off, t.chain = end, h.crc
		if h.kind == frameSeal {
			t.sealed = true
			return t, nil
		}
	}
}

// header decodes the frame header at off and checks all but its payload.
func (s *scanner) header(off int64, chain uint32) (frameHeader, error) {
	h, ok := decodeFrameHeader(s.img[off:])
	switch {
	case !ok:
		return h, s.corrupt(off, "frame header checksum mismatch")
	case h.segment != s.number || int64(h.offset) != off:
		return h, s.corrupt(off, "frame was written for segment %d offset %d", h.segment, h.offset)
	case h.chain != chain:
		return h, s.corrupt(off, "frame does not follow the one before it")
	case h.payload < 8 || h.payload%frameAlign != 0 || off+h.size() > int64(len(s.img)):
		return h, s.corrupt(off, "frame has an impossible length")
	}
	if reason := s.x.check(&h); reason != "" {
		return h, s.corrupt(off, "%s", reason)
	}
	return h, nil
}

// end decides what an all-zero header at t.off means.
func (s *scanner) end(t *tail) error {
	rest := lastNonZero(s.img[t.off:])
	if rest < 0 {
		return nil
	}
	if at := s.findFrame(t.off + frameAlign); at >= 0 {
		return s.corrupt(t.off, "no frame here, but a valid one at offset %d", at)
	}
	t.torn = t.off + int64(rest) + 1
	return nil
}

// torn decides whether the bad payload of the frame at t.off is a torn write.
func (s *scanner) torn(t *tail, h *frameHeader) error {
	end := t.off + h.size()
	if blankSectors(s.img[t.off:end], t.off) <= h.blank {
		return s.corrupt(t.off, "frame payload checksum mismatch")
	}
	if at := s.findFrame(end); at >= 0 {
		return s.corrupt(t.off, "frame is incomplete, but a valid one follows at offset %d", at)
	}
	t.torn = t.off + int64(lastNonZero(s.img[t.off:])) + 1
	return nil
}

// findFrame returns the place of the first valid frame header from off on,
// whatever its chain, or -1.
func (s *scanner) findFrame(off int64) int64 {
	for ; off+frameHeaderBytes <= int64(len(s.img)); off += frameAlign {
		if s.img[off] != byte(frameMagic&0xff) || frameStart(off) != off {
			continue
		}
		h, ok := decodeFrameHeader(s.img[off:])
		if ok && h.segment == s.number && int64(h.offset) == off {
			return off
		}
	}
	return -1
}

// apply walks the entries of a frame whose checksums hold and replays it.
func (s *scanner) apply(off int64, h *frameHeader) error {
	end := off + h.size() - 8
	at := off + frameHeaderBytes
	s.offs = s.offs[:0]
	for i := range uint64(h.entries) {
		if at+entryHeaderBytes > end {
			return s.corrupt(at, "frame has fewer entries than its header says")
		}
		e := decodeEntryHeader(s.img[at:])
		if e.index != h.index+i || at+e.size() > end {
			return s.corrupt(at, "entry does not fit its frame")
		}
		s.offs = append(s.offs, uint32(at))
		at += e.size()
	}
	if end-at >= frameAlign {
		return s.corrupt(at, "frame has bytes that belong to no entry")
	}
	s.x.apply(h, s.offs)
	return nil
}
