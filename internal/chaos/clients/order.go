package clients

import (
	"cmp"
	"slices"
)

// span is what an operation says about time and the ledger's order: it was called
// and answered, saw everything up to seq low, and nothing from seq high on.
type span struct {
	o         *operation
	call, ret int64
	low, high uint64
}

const noSeq = ^uint64(0)

// checkOrder compares the ledger's order with real time and with the log's
// indexes.
func (k *check) checkOrder() {
	var spans []span
	for _, o := range k.commands {
		if o.seq > 0 && o.answer != nil {
			spans = append(spans, span{o, o.call, o.ret, o.seq, o.seq})
		}
	}
	k.checkIndexes(spans)
	reads := k.readSpans()
	k.checkReflected(spans, reads)
	k.checkChains(spans, reads)
	for _, s := range reads {
		if s.o.kind == stale || s.o.kind == follow {
			s.high = noSeq // it may show the past, but what it shows has happened
		}
		spans = append(spans, s)
	}
	k.checkRealTime(spans)
}

// checkRealTime requires that nothing is ordered before what had been answered
// when it was called.
func (k *check) checkRealTime(spans []span) {
	byReturn := slices.Clone(spans)
	slices.SortFunc(byReturn, func(a, b span) int { return cmp.Compare(a.ret, b.ret) })
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.call, b.call) })
	var before span // of those answered, the one with the greatest low
	for _, s := range spans {
		for len(byReturn) > 0 && byReturn[0].ret < s.call {
			if byReturn[0].low > before.low {
				before = byReturn[0]
			}
			byReturn = byReturn[1:]
		}
		if before.o == nil || before.low < s.high {
			continue
		}
		kind := faultRealTime
		if s.o.kind.reads() {
			kind = faultStaleRead
		}
		k.add(kind, "%s %s reflects less than seq %d, but was called after the answer to %s, which has seq %d: %v",
			s.o, s.o.path, s.high, before.o, before.low, s.o.answer)
	}
}

// checkIndexes requires that what was executed later has no smaller log index. An
// answer that is a replay has the index of the retry.
func (k *check) checkIndexes(spans []span) {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.low, b.low) })
	var last *operation
	for _, s := range spans {
		if s.o.answer.replayed {
			continue
		}
		if last != nil && s.o.answer.index < last.answer.index {
			k.add(faultIndex, "%s has seq %d at index %d, but %s seq %d at index %d",
				last, last.seq, last.answer.index, s.o, s.o.seq, s.o.answer.index)
		}
		last = s.o
	}
}

// checkReflected requires that reads reflect the index that they asked for, and
// the one that they name.
func (k *check) checkReflected(spans, reads []span) {
	fresh := slices.DeleteFunc(slices.Clone(spans), func(s span) bool { return s.o.answer.replayed })
	slices.SortFunc(fresh, func(a, b span) int { return cmp.Compare(a.o.answer.index, b.o.answer.index) })
	newest := make([]uint64, len(fresh)) // greatest seq up to there
	for i, s := range fresh {
		newest[i] = s.low
		if i > 0 {
			newest[i] = max(newest[i], newest[i-1])
		}
	}
	for _, s := range reads {
		index := s.o.answer.index
		if index < s.o.minIndex {
			k.add(faultBehindIndex, "%s %s: index %d", s.o, s.o.path, index)
		}
		end, _ := slices.BinarySearchFunc(fresh, index+1, func(f span, index uint64) int {
			return cmp.Compare(f.o.answer.index, index)
		})
		if end > 0 && newest[end-1] >= s.high {
			k.add(faultBehindIndex, "%s %s says index %d, which has seq %d, but reflects less than seq %d: %v",
				s.o, s.o.path, index, newest[end-1], s.high, s.o.answer)
		}
	}
}

// checkChains requires of a client that asks for the index of what it saw last
// that it is shown at least that.
func (k *check) checkChains(spans, reads []span) {
	all := append(slices.Clone(spans), reads...)
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.call, b.call) })
	seen := map[int]span{} // by client: the one with the greatest low
	for _, s := range all {
		last := seen[s.o.client]
		if s.o.kind == follow && last.o != nil && last.ret < s.call && last.low >= s.high {
			k.add(faultBack, "%s %s reflects less than seq %d, after %s with seq %d at index %d: %v",
				s.o, s.o.path, s.high, last.o, last.low, last.o.answer.index, s.o.answer)
		}
		if s.low > last.low && !s.o.late {
			seen[s.o.client] = s
		}
	}
}
