package raftfsm

import (
	"math"
	"sync"
	"sync/atomic"

	"purser/internal/ledger"
	"purser/internal/planted"
	"purser/shard"
)

// recallers bounds the reads of the store that an entry has under way at a time:
// enough to keep a disk busy, and each is a goroutine for as long as the entry
// takes to be sequenced.
const recallers = 16

// lookahead is how many keys are prefetched at a time: what that brings in, a cache
// line for each filter and key, stays in a core's own cache until it is used.
const lookahead = 128

// recalled is what earlier entries have to say about one command of this one.
type recalled struct {
	first   *ledger.Record  // the request that its key belongs to, nil if there is none
	payment *ledger.Payment // that it acts on, nil if there is none
}

// recall reads what earlier entries have to say about the commands in slots, whose
// keys have hashes: which of them are retries, and the payments that they act on.
// Most commands need no such read. Those that do need several, each of a block
// that is rarely in memory, so they are made side by side: one after another, 1000
// captures of old payments kept all others waiting for 50 ms, and for 3.8 s on a
// disk that takes 1 ms for a read (BenchmarkCapture).
func (s *sequence) recall(slots []shard.Slot, hashes []uint64) error {
	places := s.m.places[:0]
	for i := range slots {
		if i%lookahead == 0 {
			s.m.keys.Prefetch(hashes[i:min(i+lookahead, len(slots))])
		}
		cmd := &slots[i].Record.Command
		if cmd.Kind.Keyed() && s.m.keys.Likely(hashes[i]) || s.looksBack(cmd) {
			places = append(places, i)
		}
	}
	s.m.places = places
	if len(places) == 0 {
		return nil
	}
	s.recalled = s.arena.recallable()
	err := sideBySide(len(places), func(k int) (err error) {
		i := places[k]
		s.recalled[i], err = s.recallOne(&slots[i].Record.Command, hashes[i])
		return err
	})
	if err != nil {
		return err
	}
	for _, i := range places {
		if cmd := &slots[i].Record.Command; s.recalled[i].first == nil && s.looksBack(cmd) {
			s.m.working[cmd.Payment] = s.recalled[i].payment
		}
	}
	return nil
}

// looksBack reports whether cmd acts on a payment of an earlier entry that is not
// loaded yet.
func (s *sequence) looksBack(cmd *ledger.Command) bool {
	if !cmd.Kind.OnPayment() || cmd.Payment >= s.base {
		return false
	}
	_, loaded := s.m.working[cmd.Payment]
	return !loaded
}

// recallOne changes nothing: others do the same for other commands.
func (s *sequence) recallOne(cmd *ledger.Command, hash uint64) (r recalled, err error) {
	if cmd.Kind.Keyed() {
		// A request that is remembered is not executed again, and needs no payment.
		if r.first, err = s.recallKey(cmd.Key, hash); err != nil || r.first != nil {
			return r, err
		}
	}
	if s.looksBack(cmd) {
		r.payment, err = s.load(cmd.Payment)
	}
	return r, err
}

// recallKey finds the request of an earlier entry that key belongs to; nil when
// the key is new or forgotten.
func (s *sequence) recallKey(key []byte, hash uint64) (*ledger.Record, error) {
	var buf [4]uint64
	seqs, err := s.m.keys.Candidates(hash, buf[:0])
	if err != nil {
		return nil, err
	}
	for _, seq := range seqs {
		if seq >= s.base {
			continue // the index is ahead of this replay
		}
		if rec, live, err := s.m.remembered(seq, key, s.pos.Stamp); err != nil || live {
			return rec, err
		}
	}
	return nil, nil
}

// load reads a payment of an earlier entry; nil when there is none.
func (s *sequence) load(seq uint64) (*ledger.Payment, error) {
	before := s.base
	if planted.Is(planted.FutureTrusted) {
		before = math.MaxUint64
	}
	view, ok, err := s.m.store.Payment(seq, before)
	if err != nil || !ok {
		return nil, err
	}
	return view.Payment, nil
}

// sideBySide calls do with the numbers below n, several at a time, and returns an
// error of one of the calls.
func sideBySide(n int, do func(i int) error) error {
	if n == 1 {
		return do(0)
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	errs := make(chan error, recallers)
	for range min(n, recallers) {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	workers.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}
