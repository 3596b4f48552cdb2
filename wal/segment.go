package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A segment is a file of fixed size that begins with a header and holds frames
// after it:
//
//	 0             8         12      16        24     32      40     48
//	+-------------+---------+-------+---------+------+-------+------+
//	| "PurserWL"  | version | chain | segment | size | front | next |
//	+-------------+---------+-------+---------+------+-------+------+
//	 48    60           64
//	+-----+------------+----------------
//	| 0   | header crc | frames ...
//	+-----+------------+----------------
//
// Integers are little-endian. chain is the header crc of the seal that ends the
// segment before, or 0; the header crc covers bytes 0 to 60 and is the chain of
// the first frame. front and next are the log's first and next index when the
// segment was begun, equal if it was empty. Every version keeps the place of
// magic, version and header crc.
//
// A file is filled with zeros and synced under a temporary name first, so under
// its own name it always has its full size. Until it is begun it stays all zero.
const (
	segmentHeaderBytes = 64
	segmentMagic       = "PurserWL"
	segmentVersion     = 1

	segmentSuffix = ".wal"
	tempSuffix    = ".tmp"
	nameDigits    = 8
)

// segment is one file that is part of the log.
type segment struct {
	number uint32
	size   int64
	file   vfs.File

	// base is the index of the entry at offs[0].
	base uint64
	// offs has the offset in the file of each live entry from base on; entries
	// cut off the front of the log may still be included.
	offs []uint32
}

// segmentHeader is the decoded first 64 bytes of a segment.
type segmentHeader struct {
	number      uint32
	size        int64
	front, next uint64
	chain       uint32
	crc         uint32
}

func segmentName(number uint32) string {
	return fmt.Sprintf("%0*d%s", nameDigits, number, segmentSuffix)
}

func tempName(number uint32) string {
	return fmt.Sprintf("%0*d%s", nameDigits, number, tempSuffix)
}

// parseSegmentName returns the number of a file that is named as a segment.
func parseSegmentName(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), err == nil && n > 0 && segmentName(uint32(n)) == name
}

func isTempName(name string) bool {
	digits, ok := strings.CutSuffix(name, tempSuffix)
	if !ok {
		return false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return err == nil && tempName(uint32(n)) == name
}

// encodeSegmentHeader sets h.crc and returns the header's bytes.
func encodeSegmentHeader(h *segmentHeader) []byte {
	b := make([]byte, segmentHeaderBytes)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], segmentVersion)
	binary.LittleEndian.PutUint32(b[12:], h.chain)
	binary.LittleEndian.PutUint64(b[16:], uint64(h.number))
	binary.LittleEndian.PutUint64(b[24:], uint64(h.size))
	binary.LittleEndian.PutUint64(b[32:], h.front)
	binary.LittleEndian.PutUint64(b[40:], h.next)
	h.crc = crc32.Checksum(b[:60], castagnoli)
	binary.LittleEndian.PutUint32(b[60:], h.crc)
	return b
}

// decodeSegmentHeader reads the header of the segment image img, which has at
// least segmentHeaderBytes and is named for number. Its errors are a
// *CorruptionError or ErrNewerFormat.
func decodeSegmentHeader(number uint32, img []byte) (segmentHeader, error) {
	name := segmentName(number)
	corrupt := func(off int64, reason string) error {
		return &CorruptionError{File: name, Offset: off, Reason: reason}
	}
	h := segmentHeader{
		number: number,
		size:   int64(binary.LittleEndian.Uint64(img[24:])),
		front:  binary.LittleEndian.Uint64(img[32:]),
		next:   binary.LittleEndian.Uint64(img[40:]),
		chain:  binary.LittleEndian.Uint32(img[12:]),
		crc:    binary.LittleEndian.Uint32(img[60:]),
	}
	switch version := binary.LittleEndian.Uint32(img[8:]); {
	case string(img[:8]) != segmentMagic:
		return h, corrupt(0, "segment header has the wrong magic")
	case crc32.Checksum(img[:60], castagnoli) != h.crc:
		return h, corrupt(0, "segment header checksum mismatch")
	case version > segmentVersion:
		return h, fmt.Errorf("%w: %s has version %d, newest known is %d",
			ErrNewerFormat, name, version, segmentVersion)
	case version != segmentVersion:
		return h, corrupt(8, fmt.Sprintf("segment version %d was never written", version))
	case binary.LittleEndian.Uint64(img[16:]) != uint64(number):
		return h, corrupt(16, "segment header is another segment's")
	case h.size > int64(len(img)):
		return h, corrupt(int64(len(img)), fmt.Sprintf("segment truncated: %d bytes of %d", len(img), h.size))
	case h.size < int64(len(img)):
		return h, corrupt(h.size, fmt.Sprintf("segment has %d bytes beyond its end", int64(len(img))-h.size))
	case h.front == 0 || h.front > h.next:
		return h, corrupt(32, "segment header has impossible indexes")
	}
	return h, nil
}
