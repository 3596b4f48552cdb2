package wal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/hashicorp/raft"
)

// FuzzOpen opens arbitrary bytes as the first segment. With fix, checksums and
// places are corrected first, so that what they protect is reached too.
func FuzzOpen(f *testing.F) {
	files, _ := damageLog(f)
	for _, b := range files {
		f.Add(b, false)
		f.Add(b, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, fix bool) {
		if fix {
			b = fixChecksums(b)
		}
		fs := memDir(t, map[string][]byte{segmentName(1): b})
		l, err := Open(Options{FS: fs, Dir: "wal", SegmentBytes: damageSegment})
		if err != nil {
			var c *CorruptionError
			if !errors.As(err, &c) && !errors.Is(err, ErrNewerFormat) {
				t.Fatal(err)
			}
			return
		}
		first, _ := l.FirstIndex()
		last, _ := l.LastIndex()
		if (first == 0) != (last == 0) || first > last || last-first > uint64(len(b)) {
			t.Fatalf("log is [%d, %d] from %d bytes", first, last, len(b))
		}
		var e raft.Log
		for i := first; i <= last && i > 0; i++ {
			if err := l.GetLog(i, &e); err != nil && !errors.As(err, new(*CorruptionError)) {
				t.Fatal(err)
			}
		}
		if last < 1<<63 {
			if err := l.StoreLog(entry(last+1, 1, 2000)); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, l)
		mustClose(t, mustOpen(t, fs, damageSegment))
	})
}

// fixChecksums returns b as a segment whose header and frames have valid
// checksums, places and chain, as far as the frames' lengths allow.
func fixChecksums(b []byte) []byte {
	if len(b) < segmentHeaderBytes {
		return b
	}
	b = append([]byte(nil), b...)
	h := segmentHeader{number: 1, size: int64(len(b)),
		front: binary.LittleEndian.Uint64(b[32:]), next: binary.LittleEndian.Uint64(b[40:])}
	copy(b, encodeSegmentHeader(&h))
	chain := h.crc
	off := int64(segmentHeaderBytes)
	for {
		off = frameStart(off)
		if off+frameHeaderBytes > int64(len(b)) || isZero(b[off:off+frameHeaderBytes]) {
			return b
		}
		fh, _ := decodeFrameHeader(b[off:])
		if off+fh.size() > int64(len(b)) {
			return b
		}
		fh.segment, fh.offset, fh.chain = 1, uint32(off), chain
		fh.payloadCRC = crc32.Checksum(b[off+frameHeaderBytes:off+fh.size()], castagnoli)
		putFrameHeader(b[off:], &fh)
		chain = fh.crc
		off += fh.size()
	}
}
