package raftfsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A snapshot travels as a tar stream, to a follower and into a backup:
//
//	meta.json            first, whole
//	state/<name> ...     the meta's files, in its order, no others
//	1,024 zero bytes
//
// Content is padded with zeros to 512 bytes, and every header is one block of
// the GNU format:
//
//	offset  size  field
//	     0   100  name, zero-padded
//	   100     8  mode "0000600\0"
//	   108    16  uid, gid "0000000\0" each
//	   124    12  size: 11 octal digits and \0; from 8 GiB on the byte 0x80 and
//	              11 bytes big-endian
//	   136    12  mtime "00000000000\0"
//	   148     8  sum of the header's bytes, these eight as spaces: 6 octal
//	              digits, \0, space
//	   156     1  type "0": a regular file
//	   257     8  magic "ustar  \0"
//
// and zeros elsewhere. Any tar program reads it. The reader here accepts no
// other bytes than the writer's, so that no feature of tar (links, paths, long
// names, sparse files) exists for it, and the length of the stream follows from
// the meta: raft announces that length and cuts the stream there.
const (
	tarBlock   = 512
	tarTrailer = 2 * tarBlock
)

// ErrStreamMalformed says that a stream is not a snapshot as described above:
// an entry of another kind, name, order or size, an early end or surplus bytes.
var ErrStreamMalformed = errors.New("malformed snapshot stream")

// errReleased is what a stream answers after Close.
var errReleased = errors.New("read of a closed snapshot stream")

// zeros is the source of padding and trailer.
var zeros [tarTrailer]byte

// tarPadding is how many zero bytes follow content of n bytes.
func tarPadding(n int64) int64 { return -n & (tarBlock - 1) }

// streamSize is the length of the stream of m, whose encoding has metaLen bytes.
func streamSize(m Meta, metaLen int) int64 {
	n := int64(metaLen)
	size := tarBlock + n + tarPadding(n) + tarTrailer
	for _, f := range m.Files {
		size += tarBlock + f.Size + tarPadding(f.Size)
	}
	return size
}

// tarHeader is the header block of a regular file. name has up to 100 bytes,
// which checkName sees to.
func tarHeader(name string, size int64) []byte {
	b := make([]byte, tarBlock)
	copy(b[:100], name)
	copy(b[100:], "0000600\x000000000\x000000000\x00")
	if size < 8<<30 {
		copy(b[124:], fmt.Sprintf("%011o\x00", size))
	} else {
		b[124] = 0x80
		binary.BigEndian.PutUint64(b[128:], uint64(size))
	}
	copy(b[136:], "00000000000\x00")
	copy(b[148:], "        ")
	b[156] = '0'
	copy(b[257:], "ustar  \x00")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// tarStream reads a snapshot directory as a tar stream, on the goroutine that
// calls Read, with one file open at a time. It sums what it reads: a file that
// is not as the meta says ends the stream with an error that wraps
// ErrSnapshotDamaged and names the file, before the trailer, so that no
// receiver takes the stream for a whole one.
//
// Not safe for concurrent use. Close must be called.
type tarStream struct {
	fs      vfs.FS
	state   string         // the state directory
	files   []SnapshotFile // those not yet begun
	pending []byte         // bytes to hand out before anything else
	err     error          // sticky, once pending is empty

	file vfs.File // the file being read, or nil
	row  SnapshotFile
	got  int64
	sum  uint32

	// done is called by Close, once, with the damage found, if any.
	done func(err error) error
}

// newTarStream streams dir, whose meta m has the encoding raw.
func newTarStream(fs vfs.FS, dir string, m Meta, raw []byte, done func(error) error) *tarStream {
	head := append(tarHeader(metaName, int64(len(raw))), raw...)
	head = append(head, zeros[:tarPadding(int64(len(raw)))]...)
	return &tarStream{
		fs: fs, state: fs.PathJoin(dir, stateName), files: m.Files, pending: head, done: done,
	}
}

// Read hands out the next bytes of the stream.
func (s *tarStream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if len(s.pending) > 0 {
			n := copy(p, s.pending)
			s.pending = s.pending[n:]
			return n, nil
		}
		if s.err != nil {
			return 0, s.err
		}
		if s.file == nil {
			s.err = s.begin()
			continue
		}
		n, err := s.readFile(p)
		if n > 0 || err != nil {
			s.err = err
			return n, err
		}
	}
}

// Close releases the snapshot. It returns no error of the stream itself.
func (s *tarStream) Close() error {
	var err error
	if s.file != nil {
		err = s.file.Close()
		s.file = nil
	}
	if s.done != nil {
		err = errors.Join(err, s.done(s.err))
		s.done = nil
	}
	s.pending, s.err = nil, errReleased
	return err
}

// begin opens the next file behind its header, or ends the stream.
func (s *tarStream) begin() error {
	if len(s.files) == 0 {
		s.pending = zeros[:]
		return io.EOF
	}
	s.row, s.got, s.sum = s.files[0], 0, 0
	s.files = s.files[1:]
	f, err := s.fs.Open(s.fs.PathJoin(s.state, s.row.Name))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshotDamaged, err)
	}
	s.file = f
	s.pending = tarHeader(stateName+"/"+s.row.Name, s.row.Size)
	return nil
}

// readFile reads on in the current file, and closes it behind its last byte.
func (s *tarStream) readFile(p []byte) (int, error) {
	if left := s.row.Size - s.got; int64(len(p)) > left {
		p = p[:left]
	}
	var n int
	var err error
	if len(p) > 0 {
		n, err = s.file.Read(p)
	}
	s.got += int64(n)
	s.sum = crc32.Update(s.sum, castagnoli, p[:n])
	if err != nil && err != io.EOF {
		return n, fmt.Errorf("read snapshot file %s: %w", s.row.Name, err)
	}
	if s.got < s.row.Size && err == nil {
		return n, nil
	}
	if err := s.row.compare(s.got, s.sum); err != nil {
		return n, err
	}
	err = s.file.Close()
	s.file = nil
	s.pending = zeros[:tarPadding(s.row.Size)]
	return n, err
}

// unpackTar reads a stream to its end and writes the state's files to dir,
// which must be new or empty: dir is then a Pebble directory. It returns the
// meta that the stream brought. Everything written is checked against that meta
// and synced, dir included; the entry of dir in its parent is the caller's to
// sync. After an error dir holds a part of the state and must be removed.
//
// The stream must be, byte for byte, what tarStream writes for that meta;
// anything else is ErrStreamMalformed or ErrSnapshotDamaged, and a newer format than
// newest ledger.ErrFormat. No path is taken from an entry: its header is compared with
// the one expected.
func unpackTar(fs vfs.FS, r io.Reader, dir string, newest int) (Meta, error) {
	if err := freshDir(fs, dir); err != nil {
		return Meta{}, err
	}
	m, err := readTar(r, newest, func(f SnapshotFile, content io.Reader, buf []byte) error {
		return unpackFile(fs, content, dir, f, buf)
	})
	if err != nil {
		return Meta{}, err
	}
	return m, syncPath(fs, dir)
}

// checkTar is unpackTar without a place to write to.
func checkTar(r io.Reader, newest int) (Meta, error) {
	return readTar(r, newest, func(f SnapshotFile, content io.Reader, buf []byte) error {
		return f.check(content, nil, buf)
	})
}

// readTar reads a stream to its end and hands the content of each file to take,
// which has to read it through buf and check it.
func readTar(r io.Reader, newest int, take func(f SnapshotFile, content io.Reader, buf []byte) error) (Meta, error) {
	m, err := unpackMeta(r, newest)
	if err != nil {
		return Meta{}, err
	}
	buf := make([]byte, copyBuffer)
	for _, f := range m.Files {
		if err := expect(r, tarHeader(stateName+"/"+f.Name, f.Size), "header of "+f.Name); err != nil {
			return Meta{}, err
		}
		if err := take(f, io.LimitReader(r, f.Size), buf); err != nil {
			return Meta{}, err
		}
		if err := expect(r, zeros[:tarPadding(f.Size)], "padding of "+f.Name); err != nil {
			return Meta{}, err
		}
	}
	if err := expect(r, zeros[:], "the trailer"); err != nil {
		return Meta{}, err
	}
	if n, err := io.ReadFull(r, buf[:1]); n > 0 || err != io.EOF {
		return Meta{}, fmt.Errorf("%w: after the trailer: %d bytes, %w", ErrStreamMalformed, n, err)
	}
	return m, nil
}

// unpackMeta reads the first entry.
func unpackMeta(r io.Reader, newest int) (Meta, error) {
	head := make([]byte, tarBlock)
	if _, err := io.ReadFull(r, head); err != nil {
		return Meta{}, fmt.Errorf("%w: header of %s: %w", ErrStreamMalformed, metaName, err)
	}
	size, err := strconv.ParseInt(string(head[124:135]), 8, 64)
	if err != nil || size < 0 || size > maxMetaBytes || !bytes.Equal(head, tarHeader(metaName, size)) {
		return Meta{}, fmt.Errorf("%w: first entry %q, want %s of up to %d bytes",
			ErrStreamMalformed, entryName(head), metaName, maxMetaBytes)
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(r, raw); err != nil {
		return Meta{}, fmt.Errorf("%w: %s: %w", ErrStreamMalformed, metaName, err)
	}
	m, err := decodeMeta(raw, newest)
	if err != nil {
		return Meta{}, err
	}
	return m, expect(r, zeros[:tarPadding(size)], "padding of "+metaName)
}

// unpackFile writes the content that must be that of f and syncs it.
func unpackFile(fs vfs.FS, content io.Reader, dir string, f SnapshotFile, buf []byte) error {
	out, err := fs.Create(fs.PathJoin(dir, f.Name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("unpack snapshot: %w", err)
	}
	err = f.check(content, out, buf)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("unpack snapshot: %w", err)
	}
	return nil
}

// expect reads exactly want, of at most tarTrailer bytes.
func expect(r io.Reader, want []byte, what string) error {
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrStreamMalformed, what, err)
	}
	if bytes.Equal(got, want) {
		return nil
	}
	if len(got) == tarBlock {
		return fmt.Errorf("%w: entry %q instead of the %s", ErrStreamMalformed, entryName(got), what)
	}
	return fmt.Errorf("%w: unexpected bytes in %s", ErrStreamMalformed, what)
}

// entryName is the name in a header block, for an error's text.
func entryName(head []byte) string {
	name, _, _ := bytes.Cut(head[:100], []byte{0})
	return string(name)
}

// freshDir makes dir and refuses one that holds anything.
func freshDir(fs vfs.FS, dir string) error {
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("unpack snapshot: %w", err)
	}
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("unpack snapshot: %w", err)
	}
	if len(names) > 0 {
		return fmt.Errorf("unpack snapshot: %s is not empty: it holds %s", dir, names[0])
	}
	return nil
}
