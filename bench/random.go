package bench

// splitmix is the output function of SplitMix64 (Steele, Lea, Flood: Fast
// Splittable Pseudorandom Number Generators, OOPSLA 2014).
func splitmix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// random is a stream of numbers, SplitMix64's.
type random uint64

// The streams of a seed are independent of each other: what the n-th request
// is, which accounts it names, and when a worker's requests are to start.
const (
	streamChoice = iota + 1
	streamAccounts
	streamSchedule
)

// newRandom returns stream number n of the given family of a seed.
func newRandom(seed, family, n uint64) random {
	return random(splitmix(splitmix(seed^family*0x9e3779b97f4a7c15) + n*0xd1342543de82ef95))
}

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	return splitmix(uint64(*r))
}

// below returns the next number below n, with a bias of at most n in 2^64.
func (r *random) below(n uint64) uint64 { return r.next() % n }

// fraction returns the next number from 0 to below 1.
func (r *random) fraction() float64 { return float64(r.next()>>11) / (1 << 53) }
