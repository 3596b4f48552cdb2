package raftfsm

import (
	"errors"
	"fmt"

	"purser/internal/ledger"
	"purser/internal/planted"
	"purser/shard"
)

// sequence puts the commands of one entry in order: it gives each its sequence
// number, finds the payment that it acts on, and tells a retry from a new
// command. What it makes is ready for the shards.
type sequence struct {
	m     *machine
	pos   *position // as it will be after the entry
	base  uint64    // seq of the first command executed
	arena *arena    // the memory of the slots, results and recalled
	slots []*shard.Slot
	// recalled is by command; nil when no command of the entry needs it.
	recalled []recalled
	// results are the answers to the client's commands. Those executed in this entry
	// are complete once the shards have filled their records.
	results []ledger.Result
}

// commands takes in the commands of the entry, in order.
func (s *sequence) commands(entry *ledger.Entry) (err error) {
	own := s.arena.own
	s.results = s.arena.results
	s.m.keys.Begin()
	defer func() { err = errors.Join(err, s.m.keys.End()) }()
	s.m.keys.Drop(s.pos.Stamp)
	hashes, err := s.decode(entry, own)
	if err != nil {
		return err
	}
	if err := s.recall(own, hashes); err != nil {
		return err
	}
	for i := range own {
		if i%lookahead == 0 { // again: the others of the entry have taken their place
			s.m.keys.PrefetchNewest(hashes[i:min(i+lookahead, len(own))])
		}
		if s.results[i], err = s.command(i, &own[i], hashes[i]); err != nil {
			return err
		}
	}
	return nil
}

// decode reads the entry's commands into slots and returns the hashes of their
// keys, in a slice that the next entry reuses. A command without a key has the
// hash of the empty one, which nobody looks up.
func (s *sequence) decode(entry *ledger.Entry, slots []shard.Slot) (hashes []uint64, err error) {
	hashes = s.m.hashes[:0]
	for i := range slots {
		rec := &slots[i].Record
		if rec.Raw, err = entry.Next(&rec.Command); err != nil {
			return nil, err
		}
		hashes = append(hashes, s.m.keys.Hash(rec.Command.Key))
	}
	s.m.hashes = hashes
	return hashes, entry.Done()
}

// command decides whether slot, the i-th of the entry, is executed, and takes it
// in if so. hash is that of its key.
func (s *sequence) command(i int, slot *shard.Slot, hash uint64) (ledger.Result, error) {
	cmd := &slot.Record.Command
	if cmd.Kind.Keyed() {
		first, err := s.lookup(i, cmd.Key, hash)
		if err != nil {
			return ledger.Result{}, err
		}
		if first != nil {
			return repeated(first, cmd), nil
		}
		if err := s.m.keys.Insert(hash, s.nextSeq(), s.pos.Stamp); err != nil {
			return ledger.Result{}, err
		}
	}
	if cmd.Kind.OnPayment() {
		s.resolve(slot)
	}
	s.add(slot)
	return ledger.Result{Record: &slot.Record}, nil
}

// repeated answers cmd, which has the key of the request of first.
func repeated(first *ledger.Record, cmd *ledger.Command) ledger.Result {
	if field := ledger.Difference(&first.Command, cmd); field != "" {
		return ledger.Result{Conflict: field}
	}
	return ledger.Result{Record: first, Replayed: true}
}

func (s *sequence) nextSeq() uint64 { return s.base + uint64(len(s.slots)) }

// add gives slot the next sequence number. It is executed from here on: nothing
// that comes later can undo that.
func (s *sequence) add(slot *shard.Slot) {
	slot.Record.Seq = s.nextSeq()
	slot.Record.Time = s.pos.Stamp
	s.pos.Seq = slot.Record.Seq
	s.slots = append(s.slots, slot)
}

// lookup finds the request that the key of the i-th command belongs to already:
// one of this entry, whose record is yet to be completed, or one of the journal.
// It returns nil when the key is new or forgotten.
func (s *sequence) lookup(i int, key []byte, hash uint64) (*ledger.Record, error) {
	var err error
	s.m.seqs, err = s.m.keys.Since(s.base, hash, s.m.seqs[:0])
	if err != nil {
		return nil, err
	}
	for _, seq := range s.m.seqs {
		if seq >= s.nextSeq() || planted.Is(planted.DuplicateInEntry) {
			continue // the index is ahead of this replay
		}
		if rec := &s.slots[seq-s.base].Record; string(rec.Command.Key) == string(key) {
			return rec, nil
		}
	}
	if s.recalled == nil {
		return nil, nil
	}
	return s.recalled[i].first, nil
}

// remembered returns the record at seq if it is that of key and not yet
// forgotten at now, complete for a response. Any goroutine may call it.
func (m *machine) remembered(seq uint64, key []byte, now ledger.Micros) (*ledger.Record, bool, error) {
	rec, ok, err := m.store.Record(seq)
	if err != nil || !ok {
		return nil, false, err
	}
	if string(rec.Command.Key) != string(key) || rec.Time+m.retention <= now {
		return nil, false, nil
	}
	if rec.Command.Kind.OnPayment() {
		// A refusal names accounts of the payment, too. It may be of a number that
		// no payment had then; that of a later one is above rec's.
		view, ok, err := m.store.Payment(rec.Command.Payment, rec.Seq+1)
		if err != nil {
			return nil, false, err
		}
		if !ok && rec.Code == ledger.OK {
			return nil, false, fmt.Errorf("journal row %d acts on no payment", rec.Seq)
		}
		rec.Payment = view.Payment
	}
	return rec, true, nil
}

// resolve finds the payment that slot acts on: one requested earlier in this
// entry, or one of the journal, as its newest event left it. The commands of an
// entry that act on one payment share it.
func (s *sequence) resolve(slot *shard.Slot) {
	seq := slot.Record.Command.Payment
	if seq < s.base {
		slot.Record.Payment = s.m.working[seq] // recall has loaded it
		return
	}
	if seq < s.nextSeq() {
		origin := s.slots[seq-s.base]
		if kind := origin.Record.Command.Kind; kind == ledger.Pay || kind == ledger.Authorize {
			slot.Origin = origin
		}
	}
}
