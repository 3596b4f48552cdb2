package wal

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// twoFrames is a segment with the entries 1 and 2 in a frame each, and where
// the second frame is.
func twoFrames(t *testing.T) (img []byte, off, end int64) {
	t.Helper()
	fs := vfs.NewMem()
	l := mustOpen(t, fs, damageSegment)
	if err := l.StoreLog(entry(1, 1, 50)); err != nil {
		t.Fatal(err)
	}
	off = frameStart(l.off)
	if err := l.StoreLog(entry(2, 1, 50)); err != nil {
		t.Fatal(err)
	}
	end = l.off
	mustClose(t, l)
	return readDir(t, fs)[segmentName(1)], off, end
}

// TestCraftedFrames changes a field of a frame and makes its checksum right, so
// that only the check of that field can notice.
func TestCraftedFrames(t *testing.T) {
	img, off, _ := twoFrames(t)
	for name, change := range map[string]func(*frameHeader){
		"another offset":        func(h *frameHeader) { h.offset += 8 },
		"another segment":       func(h *frameHeader) { h.segment++ },
		"another chain":         func(h *frameHeader) { h.chain++ },
		"unknown kind":          func(h *frameHeader) { h.kind = 9 },
		"kind 0":                func(h *frameHeader) { h.kind = 0 },
		"too many entries":      func(h *frameHeader) { h.entries++ },
		"no entries":            func(h *frameHeader) { h.entries = 0 },
		"a gap":                 func(h *frameHeader) { h.index++ },
		"an overlap":            func(h *frameHeader) { h.index-- },
		"too long":              func(h *frameHeader) { h.payload = damageSegment },
		"huge":                  func(h *frameHeader) { h.payload = 1<<32 - 8 },
		"unaligned":             func(h *frameHeader) { h.payload -= 4 },
		"empty":                 func(h *frameHeader) { h.payload = 0 },
		"cut with entries":      func(h *frameHeader) { h.kind = frameCutBack; h.index = 1 },
		"cut outside":           func(h *frameHeader) { h.kind = frameCutBack; h.index = 2; h.entries = 0 },
		"cut at 0":              func(h *frameHeader) { h.kind = frameCutFront; h.index = 0; h.entries = 0 },
		"bytes of no entry":     func(h *frameHeader) { h.kind = frameCutBack; h.index = 1; h.entries = 0 },
		"seal of another index": func(h *frameHeader) { h.kind = frameSeal; h.entries = 0; h.index = 7 },
	} {
		b := slices.Clone(img)
		h, ok := decodeFrameHeader(b[off:])
		if !ok {
			t.Fatal("no frame where one was written")
		}
		change(&h)
		putFrameHeader(b[off:], &h)
		if checkDamaged(t, map[string][]byte{segmentName(1): b}, segmentName(1), name, nil) {
			t.Fatalf("%s passed", name)
		}
	}
}

// TestFlipsInFrameWithBlankSectors damages every byte of a last frame some of
// whose sectors are zero by content: none of it may look torn.
func TestFlipsInFrameWithBlankSectors(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, fs, 8192)
	zeros := append(make([]byte, 2500), 1, 2, 3)
	if err := l.StoreLog(&raft.Log{Index: 1, Term: 1, Data: zeros}); err != nil {
		t.Fatal(err)
	}
	end := l.off
	mustClose(t, l)
	img := readDir(t, fs)[segmentName(1)]
	for off := range end {
		b := slices.Clone(img)
		b[off] ^= 0x41
		what := fmt.Sprintf("byte %d", off)
		if checkDamaged(t, map[string][]byte{segmentName(1): b}, segmentName(1), what, nil) {
			t.Fatalf("%s: cut a synced frame", what)
		}
	}
}

// TestEmbeddedFrame stores the image of a segment as data and loses the sector
// with the frame's header: the frames within the data are no proof of anything.
func TestEmbeddedFrame(t *testing.T) {
	inner, _, _ := twoFrames(t)
	for shift := range 8 {
		fs := vfs.NewMem()
		l := mustOpen(t, fs, 8192)
		m := model(entries(1, 1, 10))
		if err := l.StoreLogs(m); err != nil {
			t.Fatal(err)
		}
		off := frameStart(l.off)
		data := slices.Concat(make([]byte, 600+shift), inner)
		if err := l.StoreLog(&raft.Log{Index: 2, Term: 1, Data: data}); err != nil {
			t.Fatal(err)
		}
		mustClose(t, l)
		img := readDir(t, fs)[segmentName(1)]
		clear(img[off:sectorBytes])
		if !checkDamaged(t, map[string][]byte{segmentName(1): img}, segmentName(1), "embedded", m) {
			t.Fatal("a torn frame was refused for what its data look like")
		}
	}
}

func TestLostSeal(t *testing.T) {
	files, _ := damageLog(t)
	img := files[segmentName(2)]
	for off := frameStart(segmentHeaderBytes); ; {
		h, ok := decodeFrameHeader(img[off:])
		if !ok {
			t.Fatal("no seal")
		}
		if h.kind == frameSeal {
			clear(img[off : off+h.size()])
			break
		}
		off = frameStart(off + h.size())
	}
	if checkDamaged(t, files, segmentName(2), "lost seal", nil) {
		t.Fatal("a lost seal passed")
	}
}

func TestBlankSegmentIsBlank(t *testing.T) {
	img, _, _ := twoFrames(t)
	next := make([]byte, damageSegment)
	next[700] = 1
	files := map[string][]byte{segmentName(1): img, segmentName(2): next}
	if checkDamaged(t, files, segmentName(2), "not blank", nil) {
		t.Fatal("a segment with bytes but no header passed")
	}
}

func TestLeftOversAreRemoved(t *testing.T) {
	img, _, _ := twoFrames(t)
	fs := memDir(t, map[string][]byte{segmentName(1): img, tempName(2): {1, 2}, tempName(7): {3}, "other.tmp": {4}})
	l := mustOpen(t, fs, damageSegment)
	l.awaitPrepared()
	mustClose(t, l)
	names, err := fs.List("wal")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	if want := []string{segmentName(1), segmentName(2), lockName, "other.tmp"}; !slices.Equal(names, want) {
		t.Fatalf("files are %v, want %v", names, want)
	}
}

// TestDamageWhileOpen changes bytes under an open log.
func TestDamageWhileOpen(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, fs, damageSegment)
	defer mustClose(t, l)
	if err := l.StoreLog(entry(1, 1, 50)); err != nil {
		t.Fatal(err)
	}
	f, err := fs.OpenReadWrite("wal/"+segmentName(1), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	start := int64(l.index.segs[0].offs[0])
	for off := start; off < start+entryBytes(entry(1, 1, 50)); off++ {
		var b [1]byte
		if _, err := f.ReadAt(b[:], off); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{b[0] ^ 0x80}, off); err != nil {
			t.Fatal(err)
		}
		var e raft.Log
		var c *CorruptionError
		if err := l.GetLog(1, &e); !errors.As(err, &c) || c.File != segmentName(1) || c.Offset != start {
			t.Fatalf("byte %d: %v", off, err)
		}
		if _, err := f.WriteAt(b[:], off); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLargeBufferIsNotKept(t *testing.T) {
	l := mustOpen(t, vfs.NewMem(), 64<<10)
	defer mustClose(t, l)
	if err := l.StoreLog(&raft.Log{Index: 1, Data: make([]byte, maxRetained+1)}); err != nil {
		t.Fatal(err)
	}
	if cap(l.buf) > maxRetained {
		t.Fatalf("%d bytes are kept", cap(l.buf))
	}
}

// TestForeignSegment follows a seal with a begun, still empty segment whose
// header is valid but continues another log.
func TestForeignSegment(t *testing.T) {
	files, _ := damageLog(t)
	name := segmentName(3)
	img := files[name]
	for other := range files {
		if other > name {
			delete(files, other)
		}
	}
	h, err := decodeSegmentHeader(3, img)
	if err != nil {
		t.Fatal(err)
	}
	clear(img[segmentHeaderBytes:])
	for what, change := range map[string]func(*segmentHeader){
		"chain": func(h *segmentHeader) { h.chain++ },
		"front": func(h *segmentHeader) { h.front-- },
		"next":  func(h *segmentHeader) { h.next++ },
	} {
		foreign := h
		change(&foreign)
		copy(img, encodeSegmentHeader(&foreign))
		if checkDamaged(t, files, name, what, nil) {
			t.Fatalf("a segment with another %s passed", what)
		}
	}
}
