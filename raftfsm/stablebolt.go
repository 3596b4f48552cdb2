package raftfsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
)

// boltRecord returns the record in a raft.db, given all bytes of the file, or
// refuses the file; its errors wrap ErrStableDamaged. It comes before bbolt, which
// maps the file and trusts it: a damaged page crashes bbolt, partly on goroutines
// of its own, which no recover reaches, and a damaged meta page makes it take the
// other one, which forgets the last vote. Behind this check bbolt meets nothing
// but what it wrote.
//
// The file is one of bbolt's (go.etcd.io/bbolt/internal/common, format 2): pages,
// all numbers in the byte order of the machine. The first two are meta pages:
//
//	 0      8          10          12             16      20        24          28      32
//	+------+----------+-----------+--------------+-------+---------+-----------+-------+
//	| id   | flags    | count     | overflow     | magic | version | page size | flags |
//	+------+----------+-----------+--------------+-------+---------+-----------+-------+
//	 32     40         48          56             64      72                            80
//	+------+----------+-----------+--------------+-------+-----------------------------+
//	| root | sequence | free list | pages in use | tx id | FNV-1a of bytes 16 to 71    |
//	+------+----------+-----------+--------------+-------+-----------------------------+
//
// Transaction n writes its leaf pages into pages that are free, syncs, writes meta
// page n mod 2, which is all zero behind byte 80, and syncs. A disk writes a sector
// of 512 bytes whole or not at all. So a crash leaves the meta of transaction n-1 or
// n, but never half of one; both are valid at all times, with neighbouring ids, and
// the greater is the newest. What a crash leaves in pages that the newest does not
// reach, or behind the pages in use, is of no matter: bbolt is opened without a
// free list in the file, takes every page that it does not reach for free, and
// writes a page before it reads it.
//
// A leaf page, of as many pages as overflow says besides its own:
//
//	 0    8       10      12         16
//	+----+-------+-------+----------+--------------------------------------+------------+
//	| id | flags | count | overflow | elements: flags, pos, len key, len   | keys and   |
//	|    |       |       |          | value (4 each); pos from the element | values     |
//	+----+-------+-------+----------+--------------------------------------+------------+
//
// The value of a bucket is its root page and a sequence (8 each), and where the root
// is 0, a leaf page of id 0 in place of another page. raft-boltdb makes the buckets
// conf and logs in the root; of them, logs is empty, and conf has the record only.
// Nodes of so few elements are never split: there are no branch pages. Elements lie
// without gaps. So each byte that bbolt reads has one right value, but for those of
// the record, which have a checksum.
func boltRecord(raw []byte) ([]byte, error) {
	record, err := readBolt(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStableDamaged, err)
	}
	return record, nil
}

const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	boltLeafFlag   = 2  // of a page
	boltMetaFlag   = 4  // of a page
	boltBucketFlag = 1  // of an element
	boltHeaderLen  = 16 // of a page, of an element, and of a bucket's value
	boltMetaLen    = 80
	boltNoFreelist = 1<<64 - 1

	// maxBoltBytes bounds what is read into memory: 32 KiB are usual, and a record
	// of maxStableBytes that is replaced again and again makes 4 MiB.
	maxBoltBytes = 16 << 20
)

// bolt is the byte order of bbolt's numbers.
var bolt = binary.NativeEndian

type boltMeta struct{ pageSize, root, freelist, pages, tx uint64 }

type boltElement struct {
	flags      uint32
	key, value []byte
}

func readBolt(raw []byte) ([]byte, error) {
	meta, err := newestBoltMeta(raw)
	if err != nil {
		return nil, err
	}
	raw = raw[:meta.pages*meta.pageSize]
	root, err := boltPage(raw, meta.pageSize, meta.root)
	if err != nil {
		return nil, err
	}
	if len(root) != 2 || string(root[0].key) != "conf" || string(root[1].key) != "logs" {
		return nil, fmt.Errorf("other buckets than conf and logs")
	}
	var buckets [2][]boltElement
	for i, e := range root {
		if buckets[i], err = boltBucket(raw, meta.pageSize, e); err != nil {
			return nil, fmt.Errorf("bucket %s: %w", e.key, err)
		}
	}
	conf, logs := buckets[0], buckets[1]
	if len(logs) != 0 || len(conf) != 1 || string(conf[0].key) != recordKey || conf[0].flags != 0 {
		return nil, fmt.Errorf("other keys than %s", recordKey)
	}
	return conf[0].value, nil
}

// newestBoltMeta checks both meta pages, and that all pages in use are in the file.
func newestBoltMeta(raw []byte) (newest boltMeta, err error) {
	var metas [2]boltMeta
	for id := range metas {
		at := uint64(id) * metas[0].pageSize
		if metas[id], err = boltMetaPage(raw[min(at, uint64(len(raw))):], uint64(id)); err != nil {
			return newest, fmt.Errorf("meta page %d: %w", id, err)
		}
	}
	newest, older := metas[0], metas[1]
	if newest.tx < older.tx {
		newest, older = older, newest
	}
	size, page := uint64(len(raw)), newest.pageSize
	switch {
	case newest.tx != older.tx+1:
		return newest, fmt.Errorf("meta pages of transactions %d and %d", older.tx, newest.tx)
	case older.pageSize != page:
		return newest, fmt.Errorf("pages of %d and of %d bytes", older.pageSize, page)
	case size%page != 0 || size/page < newest.pages:
		return newest, fmt.Errorf("%d bytes, where %d pages of %d are in use", size, newest.pages, page)
	case newest.freelist != boltNoFreelist:
		return newest, errors.New("a free list")
	}
	return newest, nil
}

func boltMetaPage(b []byte, id uint64) (m boltMeta, err error) {
	if len(b) < boltMetaLen {
		return m, fmt.Errorf("%d bytes", len(b))
	}
	sum := fnv.New64a()
	sum.Write(b[16:72])
	m = boltMeta{
		pageSize: uint64(bolt.Uint32(b[24:])),
		root:     bolt.Uint64(b[32:]),
		freelist: bolt.Uint64(b[48:]),
		pages:    bolt.Uint64(b[56:]),
		tx:       bolt.Uint64(b[64:]),
	}
	switch {
	case bolt.Uint64(b) != id || bolt.Uint16(b[8:]) != boltMetaFlag || bolt.Uint16(b[10:]) != 0 || bolt.Uint32(b[12:]) != 0:
		return m, errors.New("header of another page")
	case bolt.Uint32(b[16:]) != boltMagic || bolt.Uint32(b[20:]) != boltVersion:
		return m, errors.New("not of bbolt's format 2")
	case bolt.Uint64(b[72:]) != sum.Sum64():
		return m, fmt.Errorf("checksum %016x, of its bytes %016x", bolt.Uint64(b[72:]), sum.Sum64())
	case m.tx%2 != id:
		return m, fmt.Errorf("of transaction %d", m.tx)
	case m.pageSize < 1024 || m.pageSize&(m.pageSize-1) != 0:
		return m, fmt.Errorf("pages of %d bytes", m.pageSize)
	}
	return m, nil
}

// boltBucket returns the elements of the bucket in an element of the root. A page of
// its own cannot be the root's: that has other elements, and no overflow beside
// buckets that have pages.
func boltBucket(raw []byte, pageSize uint64, e boltElement) ([]boltElement, error) {
	if e.flags != boltBucketFlag || len(e.value) < boltHeaderLen || bolt.Uint64(e.value[8:]) != 0 {
		return nil, errors.New("not a bucket")
	}
	root, inline := bolt.Uint64(e.value), e.value[boltHeaderLen:]
	if root != 0 && len(inline) == 0 {
		return boltPage(raw, pageSize, root)
	}
	elements, end, overflow, err := boltLeaf(inline, 0)
	if err == nil && (root != 0 || end != len(inline) || overflow != 0) {
		err = fmt.Errorf("page %d and a page of %d bytes in %d", root, end, len(inline))
	}
	return elements, err
}

// boltPage returns the elements of a leaf page. raw are the pages in use.
func boltPage(raw []byte, pageSize, id uint64) ([]boltElement, error) {
	if id < 2 || id >= uint64(len(raw))/pageSize {
		return nil, fmt.Errorf("page %d of %d", id, uint64(len(raw))/pageSize)
	}
	elements, end, overflow, err := boltLeaf(raw[id*pageSize:], id)
	if err == nil && uint64(overflow) != (uint64(end)-1)/pageSize {
		err = fmt.Errorf("%d bytes with an overflow of %d pages", end, overflow)
	}
	if err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	return elements, nil
}

// boltLeaf returns the elements of the leaf page at the start of b, and where it
// ends in b.
func boltLeaf(b []byte, id uint64) (elements []boltElement, end int, overflow uint32, err error) {
	if len(b) < boltHeaderLen || bolt.Uint64(b) != id || bolt.Uint16(b[8:]) != boltLeafFlag {
		return nil, 0, 0, errors.New("header of another page")
	}
	count := uint64(bolt.Uint16(b[10:]))
	at := boltHeaderLen * (1 + count)
	if at > uint64(len(b)) {
		return nil, 0, 0, fmt.Errorf("%d elements in %d bytes", count, len(b))
	}
	for i := range count {
		head := boltHeaderLen * (1 + i)
		e := b[head:]
		key := at + uint64(bolt.Uint32(e[8:]))
		value := key + uint64(bolt.Uint32(e[12:]))
		if head+uint64(bolt.Uint32(e[4:])) != at || key == at || value > uint64(len(b)) {
			return nil, 0, 0, fmt.Errorf("element %d lies at %d to %d of %d bytes", i, at, value, len(b))
		}
		elements = append(elements, boltElement{bolt.Uint32(e), b[at:key], b[key:value]})
		at = value
	}
	return elements, int(at), bolt.Uint32(b[12:]), nil
}
