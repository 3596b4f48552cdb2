package store

import (
	"iter"
	"math/bits"

	"purser/internal/ledger"
)

const (
	keySegmentBits = 8
	keySegments    = 1 << keySegmentBits

	// A full table is two thirds full: a lookup of an absent hash then looks at 5
	// neighbouring slots on average (Knuth, linear probing), 1.3 cache lines.
	keySlotsPerKey = 1.5

	// A segment starts with few slots: most tables of a quiet server stay small.
	minSegmentSlots = 64
)

// keySlot is one key of a table. Seq 0 marks an empty slot: no command has it.
type keySlot struct {
	hash uint64
	seq  uint64
}

// keyTable maps hashes to seqs in memory, several seqs per hash if need be: open
// addressing, 16 bytes a slot, no pointers for the garbage collector to follow.
//
// The first bits of the hash choose one of 256 segments, which grow one by one:
// the longest pause of an insert is the doubling of 1/256 of the table. Emptying
// the table only starts a new round; each segment is cleared when it is first
// needed, for the same reason.
type keyTable struct {
	segments [keySegments]keySegment
	round    uint32
	least    int // slots of a segment to start with

	count  int
	first  uint64 // seq of the oldest key, 0 when empty
	last   uint64 // seq of the newest key
	oldest ledger.Micros
	newest ledger.Micros
}

// keySegment holds the keys whose hashes share their first bits.
type keySegment struct {
	slots []keySlot
	used  int
	round uint32 // the slots are meaningless in any other round of the table
}

// newKeyTable returns a table whose segments, doubling, come to the right size
// for keys keys.
func newKeyTable(keys int) *keyTable {
	least := int(keySlotsPerKey*float64(keys))/keySegments + 1
	for least > minSegmentSlots {
		least = (least + 1) / 2
	}
	return &keyTable{round: 1, least: max(least, 4)}
}

// reset empties the table and keeps its memory.
func (t *keyTable) reset() {
	t.round++
	t.count = 0
	t.first, t.last = 0, 0
	t.oldest, t.newest = 0, 0
}

// find appends the seqs of hash to dst, in no particular order.
func (t *keyTable) find(hash uint64, dst []uint64) []uint64 {
	s := &t.segments[hash>>(64-keySegmentBits)]
	if s.round != t.round {
		return dst
	}
	for i := s.home(hash); s.slots[i].seq != 0; {
		if s.slots[i].hash == hash {
			dst = append(dst, s.slots[i].seq)
		}
		if i++; i == len(s.slots) {
			i = 0
		}
	}
	return dst
}

// touch reads the slot where a search for hash begins.
func (t *keyTable) touch(hash uint64) uint64 {
	s := &t.segments[hash>>(64-keySegmentBits)]
	if s.slots == nil {
		return 0
	}
	return s.slots[s.home(hash)].seq
}

// insert adds a key, which is the newest of the table.
func (t *keyTable) insert(hash, seq uint64, at ledger.Micros) {
	if t.count == 0 {
		t.first, t.oldest = seq, at
	}
	t.last, t.newest = seq, at
	t.count++

	s := &t.segments[hash>>(64-keySegmentBits)]
	if s.round != t.round {
		s.clear(t.least)
		s.round = t.round
	}
	if (s.used+1)*16 > len(s.slots)*13 { // never full: a search ends at an empty slot
		s.grow()
	}
	s.insert(keySlot{hash: hash, seq: seq})
}

// sorted yields all keys by hash and seq. The table must not change meanwhile,
// but may be read.
func (t *keyTable) sorted() iter.Seq[keySlot] {
	return func(yield func(keySlot) bool) {
		var keys []keySlot
		for i := range t.segments {
			s := &t.segments[i]
			if s.round != t.round {
				continue
			}
			keys = s.sorted(keys[:0])
			for _, slot := range keys {
				if !yield(slot) {
					return
				}
			}
		}
	}
}

// bytes is the memory that the slots take.
func (t *keyTable) bytes() int {
	n := 0
	for i := range t.segments {
		n += 16 * len(t.segments[i].slots)
	}
	return n
}

// home is where a hash belongs: slots are in the order of the hashes, but for
// what collisions displace.
func (s *keySegment) home(hash uint64) int {
	hi, _ := bits.Mul64(hash<<keySegmentBits, uint64(len(s.slots)))
	return int(hi)
}

// insert needs a free slot.
func (s *keySegment) insert(slot keySlot) {
	i := s.home(slot.hash)
	for s.slots[i].seq != 0 {
		if i++; i == len(s.slots) {
			i = 0
		}
	}
	s.slots[i] = slot
	s.used++
}

// sorted appends the keys to dst, which is empty. They are in order already, but for
// neighbours that collided and for those that met the end and went on at the start:
// inserting each takes a few moves, a quarter of the time of a general sort
// (BenchmarkKeySorted).
func (s *keySegment) sorted(dst []keySlot) []keySlot {
	edge := 0 // up to here there may be some from the end
	for edge < len(s.slots) && s.slots[edge].seq != 0 {
		edge++
	}
	for i, slot := range s.slots {
		if slot.seq != 0 && (i >= edge || s.home(slot.hash) <= i) {
			dst = insertSorted(dst, slot)
		}
	}
	for i, slot := range s.slots[:edge] {
		if s.home(slot.hash) > i {
			dst = insertSorted(dst, slot)
		}
	}
	return dst
}

func insertSorted(dst []keySlot, slot keySlot) []keySlot {
	at := len(dst)
	dst = append(dst, slot)
	for ; at > 0 && slot.before(&dst[at-1]); at-- {
		dst[at] = dst[at-1]
	}
	dst[at] = slot
	return dst
}

func (k *keySlot) before(other *keySlot) bool {
	return k.hash < other.hash || k.hash == other.hash && k.seq < other.seq
}

func (s *keySegment) clear(least int) {
	if s.slots == nil {
		s.slots = make([]keySlot, least)
	}
	clear(s.slots)
	s.used = 0
}

func (s *keySegment) grow() {
	old := s.slots
	s.slots = make([]keySlot, 2*len(old))
	s.used = 0
	for _, slot := range old {
		if slot.seq != 0 {
			s.insert(slot)
		}
	}
}
