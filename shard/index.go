package shard

// index maps ids to places. It is a hash table with open addressing and linear
// probing whose buckets hold no pointer:
//
//	63        32 31              0
//	+-----------+----------------+
//	| tag       | place + 1      |   0 is an empty bucket
//	+-----------+----------------+
//
// The tag is the lower half of the id's hash; its top bits are the bucket. An
// equal tag is only a hint: the caller compares ids in full. Accounts are never
// removed, so neither are buckets.
//
// Growing needs no id: the tag alone says where a bucket goes, and because the
// order of buckets is the order of tags, it is one sequential pass over both
// tables (BenchmarkIndexGrow: a few ms at 500,000 accounts).
type index struct {
	buckets []uint64
	used    int
	shift   uint8 // 32 - log2(len(buckets))
}

const (
	indexMinBits = 6
	bucketSize   = 8
)

func newIndex() index {
	return index{buckets: make([]uint64, 1<<indexMinBits), shift: 32 - indexMinBits}
}

// next returns the place of the first bucket with tag at or after at, and where
// to go on from there; ok is false when there is none.
func (x *index) next(tag uint32, at int) (place uint32, then int, ok bool) {
	mask := len(x.buckets) - 1
	for {
		b := x.buckets[at&mask]
		if b == 0 {
			return 0, 0, false
		}
		at++
		if uint32(b>>32) == tag {
			return uint32(b) - 1, at, true
		}
	}
}

func (x *index) start(tag uint32) int { return int(tag >> x.shift) }

// add inserts a place whose id is not in the index.
func (x *index) add(tag uint32, place uint32) {
	if (x.used+1)*4 > len(x.buckets)*3 && x.shift > 0 {
		x.grow()
	}
	x.put(uint64(tag)<<32 | uint64(place+1))
	x.used++
}

func (x *index) put(bucket uint64) {
	mask := len(x.buckets) - 1
	at := x.start(uint32(bucket>>32)) & mask
	for x.buckets[at] != 0 {
		at = (at + 1) & mask
	}
	x.buckets[at] = bucket
}

func (x *index) grow() {
	old := x.buckets
	x.buckets = make([]uint64, 2*len(old))
	x.shift--
	for _, b := range old {
		if b != 0 {
			x.put(b)
		}
	}
}

func (x *index) bytes() int { return len(x.buckets) * bucketSize }
