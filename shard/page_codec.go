package shard

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"purser/internal/ledger"
)

// PageVersion is the newest page format that this build understands.
const PageVersion = 1

const (
	pageHeaderLen = 16
	pageSumLen    = 4
)

// Flags of an encoded account.
const (
	accountUnlimited = 1 << iota
	accountMetadata
)

// castagnoli makes the CRC-32C that ends a page.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Key names a page: by its shard, and by its number in the shard.
type Key struct{ Shard, Page uint32 }

// DamagedPageError tells that the bytes of a page are not what was written under
// its key.
type DamagedPageError struct {
	Key    Key
	Reason string
}

func (e *DamagedPageError) Error() string {
	return fmt.Sprintf("page %d of shard %d: %s", e.Key.Page, e.Key.Shard, e.Reason)
}

// appendPage appends the encoding of a page to dst.
//
//	 0         1       2..3   4..7     8..11   12..15  16..              end-4..
//	+---------+-------+------+--------+-------+-------+-----------------+-------+
//	| version | count | zero | shards | shard | page  | count × account | CRC   |
//	+---------+-------+------+--------+-------+-------+-----------------+-------+
//	account  len id, number, posted, held, limit, version, created, updated,
//	         last seq, postings, currency, status, flags, [len metadata]
//
// Integers of the header are little-endian; currency is 12 bytes, status and
// flags are one; posted is a zigzag varint, the other numbers uvarints. CRC is
// CRC-32C over all before it, little-endian. shards is the number of shards when
// the page was written: with another number its accounts belong elsewhere.
func appendPage(dst []byte, p *page, key Key, shards int) []byte {
	start := len(dst)
	dst = append(dst, PageVersion, byte(p.used), 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(shards))
	dst = binary.LittleEndian.AppendUint32(dst, key.Shard)
	dst = binary.LittleEndian.AppendUint32(dst, key.Page)
	for i := range p.used {
		dst = appendAccount(dst, p.id(i), &p.accounts[i], p.metadataOf(i))
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func appendAccount(dst, id []byte, a *ledger.Account, metadata ledger.Metadata) []byte {
	dst = appendBytes(dst, id)
	dst = binary.AppendUvarint(dst, a.Number)
	dst = binary.AppendVarint(dst, a.Posted)
	for _, v := range [...]uint64{
		uint64(a.Held), uint64(a.Limit), a.Version,
		uint64(a.CreatedAt), uint64(a.UpdatedAt), a.LastSeq, a.Postings,
	} {
		dst = binary.AppendUvarint(dst, v)
	}
	dst = append(dst, a.Currency[:]...)
	var flags byte
	if a.Unlimited {
		flags |= accountUnlimited
	}
	if len(metadata) > 0 {
		flags |= accountMetadata
	}
	dst = append(dst, byte(a.Status), flags)
	if len(metadata) > 0 {
		dst = appendBytes(dst, metadata)
	}
	return dst
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// decodePage reads what appendPage wrote under key, and the number of shards
// then. The page shares nothing with data. Any error is a *DamagedPageError.
func decodePage(key Key, data []byte) (p *page, shards uint32, err error) {
	damaged := func(reason string) (*page, uint32, error) {
		return nil, 0, &DamagedPageError{Key: key, Reason: reason}
	}
	if len(data) < pageHeaderLen+pageSumLen {
		return damaged(fmt.Sprintf("only %d bytes", len(data)))
	}
	body := data[:len(data)-pageSumLen]
	if binary.LittleEndian.Uint32(data[len(body):]) != crc32.Checksum(body, castagnoli) {
		return damaged("checksum does not match")
	}
	if body[0] != PageVersion {
		return damaged(fmt.Sprintf("format %d, this build reads %d", body[0], PageVersion))
	}
	count := int(body[1])
	shards = binary.LittleEndian.Uint32(body[4:])
	written := Key{Shard: binary.LittleEndian.Uint32(body[8:]), Page: binary.LittleEndian.Uint32(body[12:])}
	switch {
	case body[2]|body[3] != 0, count == 0, count > pageAccounts, shards == 0, shards > MaxShards:
		return damaged("bad header")
	case written != key:
		return damaged(fmt.Sprintf("it is page %d of shard %d", written.Page, written.Shard))
	}
	p = new(page)
	r := reader{src: body[pageHeaderLen:]}
	for range count {
		r.account(p)
	}
	if r.bad || len(r.src) > 0 {
		return damaged("bad account")
	}
	return p, shards, nil
}

// reader takes fields off the front of src. After the first fault it is bad and
// returns zero values.
type reader struct {
	src []byte
	bad bool
}

func (r *reader) account(p *page) {
	id := r.bytes()
	a := ledger.Account{Number: r.uint(), Posted: r.int()}
	a.Held, a.Limit = int64(r.uint()), int64(r.uint())
	a.Version = r.uint()
	a.CreatedAt, a.UpdatedAt = ledger.Micros(r.uint()), ledger.Micros(r.uint())
	a.LastSeq, a.Postings = r.uint(), r.uint()
	copy(a.Currency[:], r.take(uint64(len(a.Currency))))
	fixed := r.take(2)
	if r.bad {
		return
	}
	a.Status = ledger.Status(fixed[0])
	flags := fixed[1]
	a.Unlimited = flags&accountUnlimited != 0
	var metadata ledger.Metadata
	if flags&accountMetadata != 0 {
		metadata = append(metadata, r.bytes()...)
	}
	known := flags&^byte(accountUnlimited|accountMetadata) == 0
	if r.bad || !known || !ledger.ValidAccountID(id) || ledger.IsWorld(id) || !sound(&a) {
		r.bad = true
		return
	}
	p.add(id, &a, metadata)
}

// sound reports whether the invariants of an account hold.
func sound(a *ledger.Account) bool {
	status := a.Status == ledger.Active || a.Status == ledger.Frozen || a.Status == ledger.Closed
	free := a.Posted - a.Held
	return a.Number > 0 && a.Version > 0 && status && a.Held >= 0 && a.Limit >= 0 &&
		free <= a.Posted && free != minFree
}

// minFree is what posted - held never reaches.
const minFree = -1 << 63

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.src)
	r.skip(n)
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.src)
	r.skip(n)
	return v
}

func (r *reader) bytes() []byte { return r.take(r.uint()) }

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.src)) {
		r.skip(0)
		return nil
	}
	b := r.src[:n]
	r.src = r.src[n:]
	return b
}

// skip passes over n bytes; n < 1 is a fault.
func (r *reader) skip(n int) {
	if n < 1 {
		r.bad, r.src = true, nil
		return
	}
	r.src = r.src[n:]
}
