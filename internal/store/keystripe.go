package store

// stripeGroups is how many groups have their filters side by side, in half a cache line.
// More of them would save misses, but what has expired of a stripe takes memory until
// all of it has, and so does the copy that is made of a stripe to add a group.
const stripeGroups = 4

// keyStripe is the filters of a few groups that are of one size. The sealer adds
// groups and keys; Keys guards what is here, which is as of the last result it took.
type keyStripe struct {
	filters wordBlooms
	groups  [stripeGroups]*keyGroup // by filter; nil before one has a run
}

// likely appends to dst the runs that probably have hash, whose bits are set.
func (s *keyStripe) likely(dst []*keyRun, hash, set uint64) []*keyRun {
	words := s.filters.at(hash)
	for i := range words {
		if g := s.groups[i]; hasAll(&words[i], set) && g != nil {
			dst = appendLikely(dst, g.runs, hash)
		}
	}
	return dst
}

// empty reports whether no group has a run.
func (s *keyStripe) empty() bool {
	for _, g := range s.groups {
		if g != nil && len(g.runs) > 0 {
			return false
		}
	}
	return true
}
