package wal

import (
	"fmt"
	"math"
)

// index maps entry indexes to places in segments. Recovery replays frames into
// it and appends publish into it, so both agree on what a frame means. It does
// no locking and no I/O.
type index struct {
	// segs is in order of number, without holes; the last one is written to.
	segs []*segment

	// Live entries are [front, next); front == next is an empty log.
	// Invariant: 1 <= front <= next.
	front, next uint64

	// have is the lowest index from which on every entry below next is in segs.
	// It exceeds front only in the middle of a recovery, between the start of
	// the oldest segment and the frame that allowed older ones to be deleted.
	have uint64
}

func (x *index) empty() bool { return x.front == x.next }

func (x *index) active() *segment { return x.segs[len(x.segs)-1] }

// check returns why a frame cannot follow, or "".
func (x *index) check(h *frameHeader) string {
	switch h.kind {
	case frameAppend:
		switch {
		case h.entries == 0 || h.index == 0 || h.index > math.MaxUint64-uint64(h.entries):
			return "append frame has impossible indexes"
		case !x.empty() && h.index != x.next:
			return fmt.Sprintf("append frame starts at index %d, expected %d", h.index, x.next)
		}
	case frameCutBack:
		if h.entries != 0 || h.index < x.front || h.index >= x.next {
			return fmt.Sprintf("log [%d, %d) cannot be cut after index %d", x.front, x.next, h.index)
		}
	case frameCutFront:
		if h.entries != 0 || h.index <= x.front || h.index > x.next {
			return fmt.Sprintf("log [%d, %d) cannot be cut before index %d", x.front, x.next, h.index)
		}
	case frameSeal:
		if h.entries != 0 || h.index != x.next {
			return fmt.Sprintf("seal is for index %d, expected %d", h.index, x.next)
		}
	default:
		return fmt.Sprintf("unknown frame kind %d", h.kind)
	}
	return ""
}

// apply records a frame that check allows. offs are the places of its entries
// in the active segment.
func (x *index) apply(h *frameHeader, offs []uint32) {
	switch h.kind {
	case frameAppend:
		x.append(h.index, offs)
	case frameCutBack:
		x.cutBack(h.index)
	case frameCutFront:
		x.front = h.index
	}
}

func (x *index) append(first uint64, offs []uint32) {
	if x.empty() {
		for _, s := range x.segs {
			s.offs = s.offs[:0]
		}
		x.front, x.have = first, first
	}
	s := x.active()
	if len(s.offs) == 0 {
		s.base = first
	}
	s.offs = append(s.offs, offs...)
	x.next = first + uint64(len(offs))
}

func (x *index) cutBack(last uint64) {
	x.next = last + 1
	x.have = min(x.have, x.next)
	for i := len(x.segs) - 1; i >= 0; i-- {
		s := x.segs[i]
		switch {
		case len(s.offs) == 0:
		case s.base >= x.next:
			s.offs = s.offs[:0]
		default:
			s.offs = s.offs[:min(uint64(len(s.offs)), x.next-s.base)]
			return
		}
	}
}

// dead returns how many of the oldest segments hold no live entry. The active
// one is never among them.
func (x *index) dead() int {
	n := 0
	for n < len(x.segs)-1 {
		s := x.segs[n]
		if !x.empty() && s.base+uint64(len(s.offs)) > x.front && len(s.offs) > 0 {
			break
		}
		n++
	}
	return n
}

// find returns the segment that holds entry i, and the entry's offset in it.
// Recent entries are found first.
func (x *index) find(i uint64) (*segment, uint32, bool) {
	if i < x.front || i >= x.next {
		return nil, 0, false
	}
	for k := len(x.segs) - 1; k >= 0; k-- {
		s := x.segs[k]
		if len(s.offs) > 0 && s.base <= i {
			return s, s.offs[i-s.base], true
		}
	}
	return nil, 0, false
}
