package wal

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"
)

// An entry is one raft.Log inside an append frame, not aligned:
//
//	 0        4        8        12       16               24
//	+--------+--------+--------+--------+----------------+
//	| crc    | data   | ext    | nanos  | unix seconds   |
//	|        | bytes  | bytes  |        | of AppendedAt  |
//	+--------+--------+--------+--------+----------------+
//	 24               32               40     41
//	+----------------+----------------+------+-----------+------------+
//	| term           | index          | type | data      | extensions |
//	+----------------+----------------+------+-----------+------------+
//
// Integers are little-endian. crc is the CRC-32C of everything after it, so that
// a read of one entry needs no more of the frame. AppendedAt keeps its instant
// to the nanosecond and comes back in UTC; the zero time stays the zero time.
// Empty Data and Extensions come back as nil.
const entryHeaderBytes = 41

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func entryBytes(e *raft.Log) int64 {
	return entryHeaderBytes + int64(len(e.Data)) + int64(len(e.Extensions))
}

func appendEntry(buf []byte, e *raft.Log) []byte {
	start := len(buf)
	buf = append(buf, 0, 0, 0, 0)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(e.Data)))
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(e.Extensions)))
	buf = binary.LittleEndian.AppendUint32(buf, uint32(e.AppendedAt.Nanosecond()))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(e.AppendedAt.Unix()))
	buf = binary.LittleEndian.AppendUint64(buf, e.Term)
	buf = binary.LittleEndian.AppendUint64(buf, e.Index)
	buf = append(buf, byte(e.Type))
	buf = append(buf, e.Data...)
	buf = append(buf, e.Extensions...)
	binary.LittleEndian.PutUint32(buf[start:], crc32.Checksum(buf[start+4:], castagnoli))
	return buf
}

// entryHeader is the fixed part of an entry.
type entryHeader struct {
	crc             uint32
	dataLen, extLen int64
	nanos           uint32 // of AppendedAt; valid below 1e9
	seconds         int64  // of AppendedAt, Unix
	term, index     uint64
	typ             raft.LogType
}

func (h *entryHeader) size() int64 { return entryHeaderBytes + h.dataLen + h.extLen }

// decodeEntryHeader reads the header at the start of b, which holds at least
// entryHeaderBytes. The lengths are not yet covered by a checksum: the caller
// bounds them before it allocates.
func decodeEntryHeader(b []byte) entryHeader {
	return entryHeader{
		crc:     binary.LittleEndian.Uint32(b),
		dataLen: int64(binary.LittleEndian.Uint32(b[4:])),
		extLen:  int64(binary.LittleEndian.Uint32(b[8:])),
		nanos:   binary.LittleEndian.Uint32(b[12:]),
		seconds: int64(binary.LittleEndian.Uint64(b[16:])),
		term:    binary.LittleEndian.Uint64(b[24:]),
		index:   binary.LittleEndian.Uint64(b[32:]),
		typ:     raft.LogType(b[40]),
	}
}

// decodeEntry fills e from the header h, whose encoding is head, and body, the
// data and extensions that follow it. e keeps body. It reports whether the
// checksum holds.
func decodeEntry(h entryHeader, head, body []byte, e *raft.Log) bool {
	crc := crc32.Checksum(head[4:entryHeaderBytes], castagnoli)
	if crc32.Update(crc, castagnoli, body) != h.crc || h.nanos >= 1e9 {
		return false
	}
	*e = raft.Log{
		Index:      h.index,
		Term:       h.term,
		Type:       h.typ,
		AppendedAt: time.Unix(h.seconds, int64(h.nanos)).UTC(),
	}
	if h.dataLen > 0 {
		e.Data = body[:h.dataLen:h.dataLen]
	}
	if h.extLen > 0 {
		e.Extensions = body[h.dataLen:]
	}
	return true
}
