package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// groupRuns is how many runs of the size of its first a group should have room for,
// at least, see addGroup.
const groupRuns = 8

// keyGroup is several runs that share a filter. The sealer fills it; Keys guards
// runs.
type keyGroup struct {
	stripe  *keyStripe // that has its filter,
	at      int        // with this number
	room    int        // for so many more keys; the sealer's
	members []*keyRun  // whose keys are in the filter, until it is kept; the sealer's
	runs    []*keyRun  // those of them that are published and not dropped
}

// A full group is kept in rows under the number of its newest member, so that they
// go when that is dropped:
//
//	k run(4) 2 0(4)            what is in it:
//
//	 0        1..3     4..7      8..15     16..
//	+--------+--------+---------+---------+----------------------------+
//	| version| zero   | CRC     | words   | number (4), sum (8) of each |
//	+--------+--------+---------+---------+----------------------------+
//
//	k run(4) 2 chunk(4)        chunks 1, 2, ...: the words, as in the filter of a run
//
// A member is known by the sum of its own filter, which its keys make, and of their
// number and seqs. Without these rows a start reads the keys of all members again,
// which costs 50 times as much; until then every key is looked for by the filters of
// many runs, of which each is wrong once in 200 times.
const (
	keyGroupTag    = 2
	groupVersion   = 1
	groupHeaderLen = 16
	groupMemberLen = 4 + 8
)

func appendGroupRow(dst []byte, run, chunk uint32) []byte {
	dst = append(appendRunPrefix(dst, run), keyGroupTag)
	return binary.BigEndian.AppendUint32(dst, chunk)
}

// keep makes g durable: a group that no run is added to any more. Its filter is one
// of filters.
func (g *keyGroup) keep(rows keyRows, filters *wordBlooms) error {
	if len(g.members) == 0 { // none that was put in was whole
		return nil
	}
	newest := uint32(0)
	for _, r := range g.members {
		newest = max(newest, r.number)
	}
	// Rows of another life. Not by replaceSorted: commits write on both sides of them.
	earlier := keyRange{appendGroupRow(nil, newest, 0), appendRunPrefix(nil, newest+1)}
	if err := rows.ingestSorted(g.rows(newest, filters), earlier); err != nil {
		return fmt.Errorf("write the group of idempotency run %d: %w", newest, err)
	}
	g.members = nil
	return nil
}

func (g *keyGroup) rows(number uint32, filters *wordBlooms) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		key := appendGroupRow(nil, number, 0)
		value := []byte{groupVersion, 0, 0, 0, 0, 0, 0, 0}
		value = binary.LittleEndian.AppendUint64(value, uint64(filters.places))
		for _, r := range g.members {
			value = binary.LittleEndian.AppendUint32(value, r.number)
			value = binary.LittleEndian.AppendUint64(value, r.sum())
		}
		binary.LittleEndian.PutUint32(value[4:], filterSum(key, value))
		if !yield(key, value) {
			return
		}
		chunk := uint32(1)
		var words []uint64
		for place := 0; place < filters.places; place += filterChunkWords {
			words = filters.part(words[:0], g.at, place, min(filterChunkWords, filters.places-place))
			key = appendGroupRow(key[:0], number, chunk)
			value = appendChunk(value[:0], key, words)
			if !yield(key, value) {
				return
			}
			chunk++
		}
	}
}

// loadGroup returns the group that is kept under number, with those members of it
// that known has, and its filter; nil if there is none: none was kept, or it is of an earlier life
// of one of the numbers, before a crash. One that is not whole is a CorruptionError:
// in doubt, keys would be missed.
func loadGroup(rows keyRows, number uint32, known map[uint32]*keyRun) (g *keyGroup, filter []uint64, err error) {
	var rest uint64                       // words that are to come
	due := appendGroupRow(nil, number, 0) // key of the next row
	chunk := uint32(0)
	err = rows.scanRange(due, appendRunPrefix(nil, number+1), func(key, value []byte) (err error) {
		if string(key) != string(due) {
			return corrupt(due, "missing; row %x follows", key)
		}
		if chunk == 0 {
			if g, err = decodeGroup(key, value, known); err != nil {
				return err
			}
			if g == nil {
				return errScanEnd
			}
			rest = binary.LittleEndian.Uint64(value[8:])
		} else {
			n := min(rest, filterChunkWords)
			at := len(filter)
			filter = append(filter, make([]uint64, n)...) // as much as there is, whatever the first row says
			if err := loadChunk(key, value, filter[at:]); err != nil {
				return err
			}
			rest -= n
		}
		chunk++
		due = appendGroupRow(due[:0], number, chunk)
		return nil
	})
	switch {
	case errors.Is(err, errScanEnd):
		return nil, nil, nil
	case err == nil && rest > 0:
		err = corrupt(due, "missing, and with it %d words of a filter", rest)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("load the group of idempotency run %d: %w", number, err)
	}
	return g, filter, nil
}

// decodeGroup returns the group that value describes, without its filter, or nil if
// one of its members is another run by now.
func decodeGroup(key, value []byte, known map[uint32]*keyRun) (*keyGroup, error) {
	switch {
	case len(value) < groupHeaderLen || (len(value)-groupHeaderLen)%groupMemberLen != 0:
		return nil, corrupt(key, "description of a group in %d bytes", len(value))
	case value[0] != groupVersion:
		return nil, corrupt(key, "group format %d, this build reads %d", value[0], groupVersion)
	}
	if want, got := binary.LittleEndian.Uint32(value[4:]), filterSum(key, value); want != got {
		return nil, corrupt(key, "description of a group has checksum %08x, its bytes %08x", want, got)
	}
	if binary.LittleEndian.Uint64(value[8:]) == 0 {
		return nil, corrupt(key, "a filter without words")
	}
	g := new(keyGroup)
	for member := range slices.Chunk(value[groupHeaderLen:], groupMemberLen) {
		r := known[binary.LittleEndian.Uint32(member)]
		if r == nil { // dropped since
			continue
		}
		if r.sum() != binary.LittleEndian.Uint64(member[4:]) {
			return nil, nil
		}
		g.members = append(g.members, r)
	}
	return g, nil
}
