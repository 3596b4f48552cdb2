package ledger

import (
	"encoding/binary"
	"fmt"
)

// EntryHeaderLen is the length of the header before the commands, in bytes.
const EntryHeaderLen = 16

// A log entry is one proposal: a header and its commands.
//
//	 0        1..3      4..7         8..15            16..
//	+--------+---------+------------+----------------+----------------------+
//	| format | zero    | count (LE) | stamped µs (LE)| count × (len command)|
//	+--------+---------+------------+----------------+----------------------+
//
// len is a uvarint. An entry without commands is legal: it advances log time,
// which expires what is due, and serves as a barrier for reads.

// PutEntryHeader fills the first EntryHeaderLen bytes of entry. format is the newest
// that all nodes read.
func PutEntryHeader(entry []byte, format, count int, stamp Micros) {
	_ = entry[:EntryHeaderLen]
	entry[0], entry[1], entry[2], entry[3] = byte(format), 0, 0, 0
	binary.LittleEndian.PutUint32(entry[4:], uint32(count))
	binary.LittleEndian.PutUint64(entry[8:], uint64(stamp))
}

// AppendEntryCommand appends one command with its length to an entry's body.
func AppendEntryCommand(dst []byte, c *Command) []byte {
	// Commands are short: leave one byte for the length, and make room when it
	// turns out to need more.
	at := len(dst)
	dst = AppendCommand(append(dst, 0), c)
	n := len(dst) - at - 1
	if n < 0x80 {
		dst[at] = byte(n)
		return dst
	}
	var length [binary.MaxVarintLen64]byte
	w := binary.PutUvarint(length[:], uint64(n))
	dst = append(dst, length[:w-1]...)
	copy(dst[at+w:], dst[at+1:at+1+n])
	copy(dst[at:], length[:w])
	return dst
}

// Entry is a decoded log entry's header and its undecoded body.
type Entry struct {
	Stamp Micros
	Count int
	body  []byte
}

// DecodeEntry reads an entry's header. newest is the newest format that the caller
// reads: NewestFormat. Errors wrap ErrDecode, or ErrFormat for a newer one.
func DecodeEntry(src []byte, newest int) (Entry, error) {
	if len(src) < EntryHeaderLen {
		return Entry{}, fmt.Errorf("%w: entry of %d bytes", ErrDecode, len(src))
	}
	if err := CheckFormat("the entry", int(src[0]), newest); err != nil {
		return Entry{}, err
	}
	if src[0] < OldestFormat || src[1]|src[2]|src[3] != 0 {
		return Entry{}, fmt.Errorf("%w: entry that begins with %x", ErrDecode, src[:4])
	}
	e := Entry{
		Stamp: Micros(binary.LittleEndian.Uint64(src[8:])),
		Count: int(binary.LittleEndian.Uint32(src[4:])),
		body:  src[EntryHeaderLen:],
	}
	if e.Count > len(e.body) { // a command takes at least one byte
		return Entry{}, fmt.Errorf("%w: %d commands in %d bytes", ErrDecode, e.Count, len(e.body))
	}
	return e, nil
}

// Next decodes the next command into c and returns its encoded bytes. Call it
// Count times, then Done.
func (e *Entry) Next(c *Command) (raw []byte, err error) {
	raw, rest, ok := cutBytes(e.body)
	if !ok {
		return nil, fmt.Errorf("%w: truncated entry", ErrDecode)
	}
	e.body = rest
	return raw, DecodeCommand(raw, c)
}

// Done returns ErrDecode when bytes are left after the last command.
func (e *Entry) Done() error {
	if len(e.body) > 0 {
		return fmt.Errorf("%w: %d bytes after the last command", ErrDecode, len(e.body))
	}
	return nil
}
