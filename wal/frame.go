package wal

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// A frame is one mutation of the log and the unit of durability: it is written
// with one WriteAt and made durable with one SyncData before the next begins.
//
//	 0      4      5     8         12        16              24        28
//	+------+------+-----+---------+---------+---------------+---------+
//	| "Fr4m| kind | 0   | segment | offset  | index         | entries |
//	+------+------+-----+---------+---------+---------------+---------+
//	 28        32       36      40        44           48
//	+---------+--------+-------+---------+------------+
//	| payload | blank  | chain | payload | header crc |
//	| bytes   |sectors |       | crc     |            |
//	+---------+--------+-------+---------+------------+
//	 48
//	+-------------+----------------+-----------------+
//	| entries ... | 0 to 8-byte    | trailer, 8 bytes|
//	|             | boundary       | none of them 0  |
//	+-------------+----------------+-----------------+
//
// Integers are little-endian. segment and offset are the frame's own place, so
// that bytes which merely look like a frame do not pass for one. index is the
// first entry's, or the truncation's operand. payload is all after the header,
// a multiple of 8. chain is the header crc of the frame before, which covers
// that frame's payload through its payload crc. header crc covers bytes 0 to 44.
//
// A header does not straddle a 512-byte sector: where it would, the frame starts
// at the next one. The disk writes a sector wholly or not at all, and the area
// was zero before, so a header reads as written or as zeros. The trailer makes
// the last sector of a frame differ from one that was never written; blank
// sectors counts those between that are zero by their content.
const (
	frameHeaderBytes = 48
	frameAlign       = 8
	sectorBytes      = 512

	frameMagic   uint32 = 0x6d347246 // "Fr4m"
	frameTrailer uint64 = 0xf1e2d3c4b5a69788

	// emptyFrameBytes is the size of a frame that has no entries.
	emptyFrameBytes = frameHeaderBytes + 8

	// maxFrameBytes keeps every offset of a segment within 32 bits.
	maxFrameBytes = 1 << 30

	// maxSegmentFile is the size of the largest segment, made for one frame.
	maxSegmentFile = maxFrameBytes + 2*sectorBytes
)

type frameKind uint8

const (
	frameAppend   frameKind = 1 // entries from index on
	frameCutBack  frameKind = 2 // index is now the last entry
	frameCutFront frameKind = 3 // index is now the first entry, or the next if none is left
	frameSeal     frameKind = 4 // the segment ends; index is the next entry's
)

// frameHeader is the decoded first 48 bytes of a frame.
type frameHeader struct {
	kind       frameKind
	segment    uint32
	offset     uint32
	index      uint64
	entries    uint32
	payload    uint32
	blank      uint32
	chain      uint32
	payloadCRC uint32
	crc        uint32
}

func (h *frameHeader) size() int64 { return frameHeaderBytes + int64(h.payload) }

// frameStart returns where a frame begins that follows a byte at off-1.
func frameStart(off int64) int64 {
	if rest := sectorBytes - off%sectorBytes; rest < frameHeaderBytes {
		return off + rest
	}
	return off
}

// appendFrameBytes returns the size of the frame that holds logs.
func appendFrameBytes(logs []*raft.Log) int64 {
	n := int64(0)
	for _, e := range logs {
		n += entryBytes(e)
	}
	return frameHeaderBytes + (n+frameAlign-1)/frameAlign*frameAlign + 8
}

// appendFrame encodes a frame for h.segment and h.offset at the start of buf,
// which is empty, and sets the lengths and checksums of h. The offset of every
// entry within the segment is appended to offs.
func appendFrame(buf []byte, offs []uint32, h *frameHeader, logs []*raft.Log) ([]byte, []uint32) {
	var blank [frameHeaderBytes]byte
	buf = append(buf, blank[:]...)
	for _, e := range logs {
		offs = append(offs, h.offset+uint32(len(buf)))
		buf = appendEntry(buf, e)
	}
	for len(buf)%frameAlign != 0 {
		buf = append(buf, 0)
	}
	buf = binary.LittleEndian.AppendUint64(buf, frameTrailer)

	h.entries = uint32(len(logs))
	h.payload = uint32(len(buf) - frameHeaderBytes)
	h.payloadCRC = crc32.Checksum(buf[frameHeaderBytes:], castagnoli)
	// The header's own sector is never zero, so the count may be taken before
	// the header is filled in, without that sector.
	h.blank = blankSectors(buf, int64(h.offset))
	putFrameHeader(buf, h)
	return buf, offs
}

func putFrameHeader(b []byte, h *frameHeader) {
	binary.LittleEndian.PutUint32(b, frameMagic)
	b[4], b[5], b[6], b[7] = byte(h.kind), 0, 0, 0
	binary.LittleEndian.PutUint32(b[8:], h.segment)
	binary.LittleEndian.PutUint32(b[12:], h.offset)
	binary.LittleEndian.PutUint64(b[16:], h.index)
	binary.LittleEndian.PutUint32(b[24:], h.entries)
	binary.LittleEndian.PutUint32(b[28:], h.payload)
	binary.LittleEndian.PutUint32(b[32:], h.blank)
	binary.LittleEndian.PutUint32(b[36:], h.chain)
	binary.LittleEndian.PutUint32(b[40:], h.payloadCRC)
	h.crc = crc32.Checksum(b[:44], castagnoli)
	binary.LittleEndian.PutUint32(b[44:], h.crc)
}

// decodeFrameHeader reads the header at the start of b. It reports false unless
// the checksum and the magic hold.
func decodeFrameHeader(b []byte) (frameHeader, bool) {
	h := frameHeader{
		kind:       frameKind(b[4]),
		segment:    binary.LittleEndian.Uint32(b[8:]),
		offset:     binary.LittleEndian.Uint32(b[12:]),
		index:      binary.LittleEndian.Uint64(b[16:]),
		entries:    binary.LittleEndian.Uint32(b[24:]),
		payload:    binary.LittleEndian.Uint32(b[28:]),
		blank:      binary.LittleEndian.Uint32(b[32:]),
		chain:      binary.LittleEndian.Uint32(b[36:]),
		payloadCRC: binary.LittleEndian.Uint32(b[40:]),
		crc:        binary.LittleEndian.Uint32(b[44:]),
	}
	ok := binary.LittleEndian.Uint32(b) == frameMagic && crc32.Checksum(b[:44], castagnoli) == h.crc
	return h, ok
}

// blankSectors counts the all-zero parts into which the sector boundaries of
// the file cut b, a frame at offset off, leaving out the part with the header.
func blankSectors(b []byte, off int64) uint32 {
	n := uint32(0)
	for at := sectorBytes - off%sectorBytes; at < int64(len(b)); at += sectorBytes {
		if isZero(b[at:min(at+sectorBytes, int64(len(b)))]) {
			n++
		}
	}
	return n
}

func isZero(b []byte) bool { return firstNonZero(b) < 0 }

// firstNonZero returns the position of the first byte of b that is not zero,
// or -1.
func firstNonZero(b []byte) int {
	i := 0
	for ; i+8 <= len(b) && binary.LittleEndian.Uint64(b[i:]) == 0; i += 8 {
	}
	for ; i < len(b); i++ {
		if b[i] != 0 {
			return i
		}
	}
	return -1
}

// lastNonZero returns the position of the last byte of b that is not zero,
// or -1.
func lastNonZero(b []byte) int {
	i := len(b)
	for ; i >= 8 && binary.LittleEndian.Uint64(b[i-8:]) == 0; i -= 8 {
	}
	for i--; i >= 0; i-- {
		if b[i] != 0 {
			return i
		}
	}
	return -1
}
