package raftfsm

import (
	"errors"
	"fmt"

	"purser/internal/ledger"
	"purser/shard"
)

// sequence puts the commands of one entry in order: it gives each its sequence
// number, finds the payment that it acts on, and tells a retry from a new
// command. What it makes is ready for the shards.
type sequence struct {
	m     *machine
	pos   *position // as it will be after the entry
	base  uint64    // seq of the first command executed
	slots []*shard.Slot
	work  []reply
}

// reply is what a client's command will be answered with.
type reply struct {
	slot   *shard.Slot   // the command executed in this entry, its own or the one that it repeats
	replay bool          // it repeats a request
	first  ledger.Result // of a request executed in an earlier entry; valid if slot is nil
	// conflict is the field in which the request differs from the first one with
	// its key.
	conflict string
}

// commands takes in the commands of the entry, in order.
func (s *sequence) commands(entry *ledger.Entry) (err error) {
	own := make([]shard.Slot, entry.Count)
	if room := len(s.slots) + entry.Count; cap(s.slots) < room {
		s.slots = append(make([]*shard.Slot, 0, room), s.slots...)
	}
	s.work = make([]reply, entry.Count)
	s.m.keys.Begin()
	defer func() { err = errors.Join(err, s.m.keys.End()) }()
	s.m.keys.Drop(s.pos.Stamp)
	for i := range own {
		slot := &own[i]
		raw, err := entry.Next(&slot.Record.Command)
		if err != nil {
			return err
		}
		slot.Record.Raw = raw
		if s.work[i], err = s.command(slot); err != nil {
			return err
		}
	}
	return entry.Done()
}

// command decides whether slot is executed, and takes it in if so.
func (s *sequence) command(slot *shard.Slot) (reply, error) {
	cmd := &slot.Record.Command
	if cmd.Kind.Keyed() {
		hash := s.m.keys.Hash(cmd.Key)
		known, err := s.lookup(cmd, hash)
		if err != nil || known != (reply{}) {
			return known, err
		}
		if err := s.m.keys.Insert(hash, s.nextSeq(), s.pos.Stamp); err != nil {
			return reply{}, err
		}
	}
	if cmd.Kind.OnPayment() {
		if err := s.resolve(slot); err != nil {
			return reply{}, err
		}
	}
	s.add(slot)
	return reply{slot: slot}, nil
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

// lookup finds the request that the command's key belongs to already; the zero
// reply means that the key is new or forgotten.
func (s *sequence) lookup(cmd *ledger.Command, hash uint64) (reply, error) {
	var err error
	s.m.seqs, err = s.m.keys.Candidates(hash, s.m.seqs[:0])
	if err != nil {
		return reply{}, err
	}
	for _, seq := range s.m.seqs {
		if seq >= s.nextSeq() {
			continue // the index is ahead of this replay
		}
		if seq >= s.base {
			slot := s.slots[seq-s.base]
			if string(slot.Record.Command.Key) != string(cmd.Key) {
				continue
			}
			return reply{slot: slot, replay: true, conflict: ledger.Difference(&slot.Record.Command, cmd)}, nil
		}
		rec, live, err := s.m.remembered(seq, cmd.Key, s.pos.Stamp)
		if err != nil {
			return reply{}, err
		}
		if live {
			return reply{
				replay:   true,
				first:    ledger.Result{Record: rec, Replayed: true},
				conflict: ledger.Difference(&rec.Command, cmd),
			}, nil
		}
	}
	return reply{}, nil
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
// entry, or one of the journal, as its newest event left it.
func (s *sequence) resolve(slot *shard.Slot) error {
	seq := slot.Record.Command.Payment
	if seq >= s.base {
		if seq < s.nextSeq() {
			origin := s.slots[seq-s.base]
			if kind := origin.Record.Command.Kind; kind == ledger.Pay || kind == ledger.Authorize {
				slot.Origin = origin
			}
		}
		return nil
	}
	payment, err := s.payment(seq)
	slot.Record.Payment = payment
	return err
}

// payment loads a payment of an earlier entry, once for all commands of this
// entry that act on it; nil when there is none.
func (s *sequence) payment(seq uint64) (*ledger.Payment, error) {
	if p, ok := s.m.working[seq]; ok {
		return p, nil
	}
	view, ok, err := s.m.store.Payment(seq, s.base)
	if err != nil || !ok {
		return nil, err
	}
	s.m.working[seq] = view.Payment
	return view.Payment, nil
}

// applied collects the replies once all commands are executed.
func (s *sequence) applied() *ledger.Applied {
	clear(s.m.working)
	results := make([]ledger.Result, len(s.work))
	for i := range s.work {
		w := &s.work[i]
		switch {
		case w.conflict != "":
			results[i] = ledger.Result{Conflict: w.conflict}
		case w.slot != nil:
			results[i] = ledger.Result{Record: &w.slot.Record, Replayed: w.replay}
		default:
			results[i] = w.first
		}
	}
	return &ledger.Applied{Index: s.pos.Index, Results: results}
}
