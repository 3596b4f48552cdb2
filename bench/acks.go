package bench

import (
	"hash/maphash"
	"math/bits"
)

// hashSeed is that of all hashes that do not outlive the process.
var hashSeed = maphash.MakeSeed()

// acks is what the server acknowledged, in a form that stays small: payments
// and authorizations by seq, a bit each, and the later events of payments, which
// have no seq in their answers, by eight bytes each.
type acks struct {
	seqs   seqSet
	events []uint64 // by eventHash
	// again are seqs that two requests with different keys were answered with.
	again []uint64
	// blind counts acknowledgements without a seq.
	blind uint64
}

// add notes the acknowledgement of a payment or authorization by its seq, of a
// later event by its payment.
func (a *acks) add(k kind, id string, seq uint64) {
	switch {
	case k.follows():
		a.events = append(a.events, eventHash(k.String(), id))
	case seq == 0:
		a.blind++
	case !a.seqs.add(seq):
		a.again = append(a.again, seq)
	}
}

func (a *acks) merge(o *acks) {
	a.again = append(a.again, o.again...)
	a.again = append(a.again, a.seqs.merge(&o.seqs)...)
	a.events = append(a.events, o.events...)
	a.blind += o.blind
}

func (a *acks) count() uint64 { return a.seqs.count() + uint64(len(a.events)) + a.blind }

// eventHash stands for an event of a payment; a run has at most one of a kind
// on each.
func eventHash(kind, id string) uint64 {
	return maphash.String(hashSeed, id) ^ splitmix(uint64(kind[0])+1) // the first letters differ
}

// seqSet is a set of numbers that lie close together: a bit for each number of
// the blocks that it touches.
type seqSet struct {
	blocks map[uint64]*seqBlock
	number uint64 // of last
	last   *seqBlock
}

const blockBits = 1 << 16

type seqBlock [blockBits / 64]uint64

// add puts seq into the set and reports whether it was not there yet.
func (s *seqSet) add(seq uint64) bool {
	if s.last == nil || s.number != seq/blockBits {
		s.number = seq / blockBits
		s.last = s.block(s.number)
	}
	word, bit := &s.last[seq%blockBits/64], uint64(1)<<(seq%64)
	fresh := *word&bit == 0
	*word |= bit
	return fresh
}

func (s *seqSet) block(number uint64) *seqBlock {
	b, ok := s.blocks[number]
	if !ok {
		if s.blocks == nil {
			s.blocks = make(map[uint64]*seqBlock)
		}
		b = new(seqBlock)
		s.blocks[number] = b
	}
	return b
}

// merge adds o to s and returns what was in both.
func (s *seqSet) merge(o *seqSet) (both []uint64) {
	for number, from := range o.blocks {
		to := s.block(number)
		for i, w := range from {
			for common := to[i] & w; common != 0; common &= common - 1 {
				both = append(both, number*blockBits+uint64(i*64+bits.TrailingZeros64(common)))
			}
			to[i] |= w
		}
	}
	return both
}

func (s *seqSet) count() (n uint64) {
	for _, b := range s.blocks {
		for _, w := range b {
			n += uint64(bits.OnesCount64(w))
		}
	}
	return n
}

// without returns how many numbers of s are not in o, and the first of them, up
// to most.
func (s *seqSet) without(o *seqSet, most int) (n uint64, first []uint64) {
	var none seqBlock
	for number, b := range s.blocks {
		other := o.blocks[number]
		if other == nil {
			other = &none
		}
		for i, w := range b {
			for rest := w &^ other[i]; rest != 0; rest &= rest - 1 {
				if n++; len(first) < most {
					first = append(first, number*blockBits+uint64(i*64+bits.TrailingZeros64(rest)))
				}
			}
		}
	}
	return n, first
}
