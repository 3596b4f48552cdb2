package store

import (
	"encoding/binary"
	"errors"
	"slices"
	"sort"

	"purser/internal/ledger"
)

// Entries returns up to limit postings of history h, newest first or, if
// ascending, oldest first. head and postings are the account's newest posting
// and their number at the point of the read; what Pebble has above them is from
// the future of a replay. from is the seq of the last entry already returned, 0
// to start; a seq that is no posting of h starts at the next one in the order
// asked for.
//
// A posting names the one before it, so walking back is free; the sparse index
// leads to within historyStride postings of any place, which bounds both the
// search for from and the detour of walking forward.
func (s *Store) Entries(
	h History, head, postings uint64, ascending bool, from uint64, limit int,
) (page ledger.EntriesPage, err error) {
	if postings == 0 || limit <= 0 {
		return ledger.EntriesPage{More: postings > 0}, nil
	}
	j, err := s.openJournal()
	if err != nil {
		return page, err
	}
	defer j.close(&err)
	w := &walk{s: s, j: j, h: h, head: head, postings: postings}
	defer w.close(&err)
	first, last, err := w.span(ascending, from, uint64(limit))
	if err != nil || first > last {
		return page, err
	}
	page.Entries, err = w.collect(first, last)
	if err != nil {
		return ledger.EntriesPage{}, err
	}
	page.More = first > 1
	if ascending {
		page.More = last < postings
	} else {
		slices.Reverse(page.Entries)
	}
	return page, nil
}

// walk reads one history backwards.
type walk struct {
	s        *Store
	j        *journal
	h        History
	head     uint64
	postings uint64
	payments *journal // for the payments of events, so that j keeps its block; nil until needed
	found    place    // where the last search ended
}

// place is a posting: its ordinal, 0 for none, and its seq.
type place struct{ ordinal, seq uint64 }

func (w *walk) close(err *error) {
	if w.payments != nil {
		w.payments.close(err)
	}
}

// span returns the ordinals of the page's first and last posting, in ascending
// order; first > last if there is none.
func (w *walk) span(ascending bool, from, limit uint64) (first, last uint64, err error) {
	if ascending {
		done := uint64(0)
		if from > 0 {
			if done, err = w.countUpTo(from); err != nil {
				return 0, 0, err
			}
		}
		return done + 1, done + min(limit, w.postings-done), nil
	}
	last = w.postings
	if from > 0 && from <= w.head {
		if last, err = w.countUpTo(from - 1); err != nil {
			return 0, 0, err
		}
	}
	return last - min(limit, last) + 1, last, nil
}

// countUpTo returns how many postings have a seq of at most seq: the ordinal of
// the last of them.
func (w *walk) countUpTo(seq uint64) (uint64, error) {
	if seq >= w.head {
		return w.postings, nil
	}
	// The first anchor above seq, by binary search; then back from there.
	anchors := int(w.postings / historyStride)
	var fault error
	k := sort.Search(anchors, func(i int) bool {
		at, err := w.anchor(uint64(i+1) * historyStride)
		if err != nil {
			fault = errors.Join(fault, err)
		}
		return at > seq
	})
	if fault != nil {
		return 0, fault
	}
	ordinal := w.postings
	if k < anchors {
		ordinal = uint64(k+1) * historyStride
	}
	for at, err := w.seqAt(ordinal); ; {
		if err != nil {
			return 0, err
		}
		if at <= seq {
			w.found = place{ordinal, at}
			return ordinal, nil
		}
		if ordinal--; ordinal == 0 {
			return 0, nil
		}
		_, leg, fault := w.posting(at)
		if fault != nil {
			return 0, fault
		}
		at = leg.Prev
	}
}

// seqAt returns the seq of the posting with that ordinal, which is the newest
// one or a multiple of historyStride.
func (w *walk) seqAt(ordinal uint64) (uint64, error) {
	if ordinal == w.postings {
		return w.head, nil
	}
	return w.anchor(ordinal)
}

// anchor reads a row of the sparse index.
func (w *walk) anchor(ordinal uint64) (uint64, error) {
	key := historyKey(nil, w.h, ordinal)
	value, ok, err := w.s.get(key)
	switch {
	case err != nil:
		return 0, err
	case !ok:
		return 0, corrupt(key, "missing from the history index")
	case len(value) != 8:
		return 0, corrupt(key, "history index row of %d bytes", len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

// collect returns the postings first to last, in ascending order.
func (w *walk) collect(first, last uint64) ([]ledger.EntryView, error) {
	start, at := w.found.ordinal, w.found.seq
	if start != last { // not the place that the search for a cursor led to
		start = min((last+historyStride-1)/historyStride*historyStride, w.postings)
		var err error
		if at, err = w.seqAt(start); err != nil {
			return nil, err
		}
	}
	entries := make([]ledger.EntryView, last-first+1)
	for ordinal := start; ordinal >= first; ordinal-- {
		rec, leg, err := w.posting(at)
		if err != nil {
			return nil, err
		}
		if ordinal <= last {
			if entries[ordinal-first], err = w.entry(rec, leg); err != nil {
				return nil, err
			}
		}
		at = leg.Prev
	}
	return entries, nil
}

// posting returns the record of seq and its leg in this history. Its chain only
// leads down, so a walk ends whatever the rows say.
func (w *walk) posting(seq uint64) (*ledger.Record, *ledger.Leg, error) {
	rec, err := w.j.must(seq, "an account's history")
	if err != nil {
		return nil, nil, err
	}
	leg := &rec.Source
	if !w.owns(leg) {
		leg = &rec.Destination
	}
	if !w.owns(leg) || leg.Prev >= seq {
		return nil, nil, corrupt(w.j.cur.key, "row %d is no posting of its history", seq)
	}
	return rec, leg, nil
}

// owns reports whether leg is a posting of this history. A payment has at most
// one side in a world account.
func (w *walk) owns(leg *ledger.Leg) bool {
	return leg.Moved && leg.World == (w.h.Account == 0) && leg.Account == w.h.Account
}

// entry renders one posting. For an event on a payment, the accounts are in the
// payment's own row.
func (w *walk) entry(rec *ledger.Record, leg *ledger.Leg) (ledger.EntryView, error) {
	kind := rec.Command.Kind
	e := ledger.EntryView{
		Seq:       rec.Seq,
		Payment:   rec.PaymentSeq(),
		Kind:      kind,
		Direction: kind.DestinationDirection(),
		Amount:    rec.Amount,
		Balance:   *leg,
		Time:      rec.Time,
	}
	command := &rec.Command
	if kind.OnPayment() {
		payment, err := w.payment(e.Payment)
		if err != nil {
			return ledger.EntryView{}, err
		}
		command = &payment.Command
	}
	e.Counterparty = command.Source
	if leg == &rec.Source {
		e.Direction = kind.SourceDirection()
		e.Counterparty = command.Destination
	}
	return e, nil
}

func (w *walk) payment(seq uint64) (rec *ledger.Record, err error) {
	if w.payments == nil {
		if w.payments, err = w.s.openJournal(); err != nil {
			return nil, err
		}
	}
	return w.payments.must(seq, "an event on the payment")
}
