package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"purser/internal/ledger"
)

// filled returns a store and the model of what it holds: entries of random sizes
// of random commands, flushed now and then so that reads cross tables.
func filled(t testing.TB, seed uint64, entries, size int) (*Store, *model) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	s, m := openMem(t), newModel()
	for range entries {
		m.commit(t, s, m.random(rng, rng.IntN(size+1))...)
		if rng.IntN(20) == 0 {
			if err := s.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s, m
}

func TestEveryRecordIsFoundAgain(t *testing.T) {
	s, m := filled(t, 1, 60, 150)
	for _, want := range m.records {
		got, ok, err := s.Record(want.Seq)
		if err != nil || !ok {
			t.Fatalf("row %d: ok %v, error %v", want.Seq, ok, err)
		}
		if diff := cmp.Diff(row(want), got); diff != "" {
			t.Fatalf("row %d: %s", want.Seq, diff)
		}
	}
	for _, seq := range []uint64{0, m.next(), m.next() + 100, 1<<64 - 1} {
		if _, ok, err := s.Record(seq); ok || err != nil {
			t.Errorf("row %d: ok %v, error %v", seq, ok, err)
		}
	}
}

// The payment as it was at every moment of the log, with later rows present.
func TestPaymentIgnoresTheFuture(t *testing.T) {
	s, m := filled(t, 3, 20, 14)
	events, accepted := map[uint64]*ledger.Record{}, 0
	for before := uint64(1); before <= m.next(); before++ {
		if before > 1 {
			if rec := m.records[before-2]; rec.Code == ledger.OK && rec.PaymentSeq() != 0 {
				events[rec.PaymentSeq()] = rec
				accepted++
			}
		}
		for seq := uint64(0); seq <= m.next(); seq++ {
			v, ok, err := s.Payment(seq, before)
			if err != nil {
				t.Fatal(err)
			}
			last := events[seq]
			if ok != (last != nil) {
				t.Fatalf("payment %d before %d: ok %v, newest event %v", seq, before, ok, last)
			}
			if !ok {
				continue
			}
			want := ledger.PaymentOf(row(m.records[seq-1]))
			want.State = last.State
			wantLast := row(last)
			wantLast.Payment = want
			if diff := cmp.Diff(ledger.PaymentView{Payment: want, Last: wantLast}, v); diff != "" {
				t.Fatalf("payment %d before %d: %s", seq, before, diff)
			}
			if v.Last.Payment != v.Payment {
				t.Fatalf("payment %d before %d: the event has another payment", seq, before)
			}
		}
	}
	if accepted < 60 {
		t.Fatalf("only %d accepted events: the test shows nothing", accepted)
	}
}

// Pages of every size from every cursor, at several points of the past, with
// later rows present.
func TestEntriesAgreeWithAList(t *testing.T) {
	s, m := filled(t, 4, 60, 60)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, len(m.records)).Draw(t, "records")
		id := rapid.SampledFrom(slices.Sorted(func(yield func(string) bool) {
			for id := range m.accounts {
				if !yield(id) {
					return
				}
			}
			yield("world:USD")
		})).Draw(t, "account")
		h := History{World: usd}
		if a := m.accounts[id]; a != nil {
			h = History{Account: a.Number}
		}
		list := m.history(h, n)
		var head uint64
		if len(list) > 0 {
			head = list[len(list)-1].Seq
		}
		ascending := rapid.Bool().Draw(t, "ascending")
		from := rapid.Uint64Range(0, m.next()+1).Draw(t, "from")
		if len(list) > 0 && rapid.Bool().Draw(t, "a posting") {
			from = rapid.SampledFrom(list).Draw(t, "posting").Seq
		}
		limit := rapid.IntRange(1, 200).Draw(t, "limit")

		want := pageOf(list, ascending, from, limit)
		got, err := s.Entries(h, head, uint64(len(list)), ascending, from, limit)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// pageOf is Entries on a list in ascending order.
func pageOf(list []ledger.EntryView, ascending bool, from uint64, limit int) (page ledger.EntriesPage) {
	list = slices.Clone(list)
	if !ascending {
		slices.Reverse(list)
	}
	for _, e := range list {
		switch {
		case from > 0 && (ascending && e.Seq <= from || !ascending && e.Seq >= from):
		case len(page.Entries) == limit:
			page.More = true
		default:
			page.Entries = append(page.Entries, e)
		}
	}
	return page
}

// Following the cursors visits every posting once, in both orders, over several
// rows of the sparse index.
func TestEntriesPageThroughAWholeHistory(t *testing.T) {
	s, m := filled(t, 5, 60, 240)
	h := History{World: usd}
	list := m.history(h, len(m.records))
	if len(list) < 3*historyStride {
		t.Fatalf("only %d postings: the test shows nothing", len(list))
	}
	head := list[len(list)-1].Seq
	for _, ascending := range []bool{false, true} {
		for _, limit := range []int{1, 7, historyStride, 500} {
			var got []ledger.EntryView
			for from, more := uint64(0), true; more; {
				page, err := s.Entries(h, head, uint64(len(list)), ascending, from, limit)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, page.Entries...)
				from, more = got[len(got)-1].Seq, page.More
			}
			if !ascending {
				slices.Reverse(got)
			}
			if diff := cmp.Diff(list, got); diff != "" {
				t.Fatalf("ascending %v, limit %d: %s", ascending, limit, diff)
			}
		}
	}
}

func TestAccountIDsAgreeWithAList(t *testing.T) {
	s, m := openMem(t), newModel()
	var ids []string
	for _, id := range []string{"b", "a", "a.1", "a.10", "a.2", "ab", "c", "a:x", "Z", "zz", strings.Repeat("m", 128)} {
		m.commit(t, s, create(id, usd), create(id, usd), create(id, eur)) // again, and refused
		ids = append(ids, id)
	}
	numbers := map[string]uint64{}
	for id, a := range m.accounts {
		numbers[id] = a.Number
	}
	slices.Sort(ids)
	rapid.Check(t, func(t *rapid.T) {
		anyID := rapid.OneOf(rapid.Just(""), rapid.SampledFrom(ids), rapid.StringMatching(`[a-c.]{0,3}`))
		prefix, after := anyID.Draw(t, "prefix"), anyID.Draw(t, "after")
		limit := rapid.IntRange(0, 12).Draw(t, "limit")
		before := rapid.Uint64Range(0, m.next()).Draw(t, "before")

		var want []string
		more := false
		for _, id := range ids {
			switch {
			case !strings.HasPrefix(id, prefix), id <= after && after != "", numbers[id] >= before:
			case len(want) == limit:
				more = true
			default:
				want = append(want, id)
			}
		}
		got, gotMore, err := s.AccountIDs([]byte(prefix), []byte(after), limit, before)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]string, len(got))
		for i := range got {
			text[i] = string(got[i])
		}
		if !slices.Equal(text, want) || gotMore != more {
			t.Fatalf("got %q, more %v; want %q, more %v", text, gotMore, want, more)
		}
	})
}

func TestDueComesInOrderOfExpiry(t *testing.T) {
	s, m := filled(t, 6, 40, 40)
	var all []ExpiryCursor
	for _, rec := range m.records {
		if rec.Code == ledger.OK && rec.Command.Kind == ledger.Authorize {
			all = append(all, ExpiryCursor{At: rec.Command.HoldUntil(rec.Time), Seq: rec.Seq})
		}
	}
	slices.SortFunc(all, compareExpiries)
	if len(all) < 50 {
		t.Fatalf("only %d holds: the test shows nothing", len(all))
	}
	rapid.Check(t, func(t *rapid.T) {
		cursor := rapid.OneOf(rapid.Just(ExpiryCursor{}), rapid.SampledFrom(all))
		after := cursor.Draw(t, "after")
		until := cursor.Draw(t, "until").At + ledger.Micros(rapid.IntRange(-1, 1).Draw(t, "shift"))
		until = max(until, 0)
		before := rapid.Uint64Range(0, m.next()).Draw(t, "before")
		limit := rapid.IntRange(0, len(all)).Draw(t, "limit")

		var want []ExpiryCursor
		var next *ExpiryCursor
		for _, c := range all {
			if compareExpiries(c, after) <= 0 {
				continue
			}
			if next == nil {
				next = &c
			}
			if c.At <= until && c.Seq < before && len(want) < limit {
				want = append(want, c)
			}
		}
		got, err := s.Due(after, until, limit, before)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		at, ok, err := s.NextDue(after)
		if err != nil || ok != (next != nil) || ok && at != next.At {
			t.Fatalf("next due %v, ok %v, error %v; want %v", at, ok, err, next)
		}
	})
}

func compareExpiries(a, b ExpiryCursor) int {
	return bytes.Compare(expiryKey(nil, a.At, a.Seq), expiryKey(nil, b.At, b.Seq))
}

func TestScansVisitTheirRangeOnly(t *testing.T) {
	s, m := filled(t, 7, 20, 100)
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.Uint64Range(0, m.next()+2).Draw(t, "from")
		to := rapid.Uint64Range(0, m.next()+2).Draw(t, "to")
		missing := to > m.next() && to > max(from, 1)
		var want, got, wantKeys, gotKeys []string
		for _, rec := range m.records {
			if rec.Seq >= from && rec.Seq < to {
				want = append(want, fmt.Sprint(rec.Seq, rec.Time, rec.Raw))
				if len(rec.Command.Key) > 0 {
					wantKeys = append(wantKeys, fmt.Sprint(rec.Seq, rec.Time, string(rec.Command.Key)))
				}
			}
		}
		err := s.ScanRecords(from, to, func(rec *ledger.Record) error {
			got = append(got, fmt.Sprint(rec.Seq, rec.Time, rec.Raw))
			return nil
		})
		if (err != nil) != missing || !slices.Equal(got, want) {
			t.Fatalf("records %v, error %v; want %v", got, err, want)
		}
		err = s.ScanKeys(from, to, func(seq uint64, at ledger.Micros, key []byte) error {
			gotKeys = append(gotKeys, fmt.Sprint(seq, at, string(key)))
			return nil
		})
		if (err != nil) != missing || !slices.Equal(gotKeys, wantKeys) {
			t.Fatalf("keys %v, error %v; want %v", gotKeys, err, wantKeys)
		}
	})
}

func TestAScanEndsWithTheErrorOfItsFunction(t *testing.T) {
	s, _ := filled(t, 8, 5, 50)
	stop := errors.New("stop")
	calls := 0
	err := s.ScanRecords(1, 100, func(*ledger.Record) error { calls++; return stop })
	if err != stop || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
}

// Replay writes what is there already; nothing may change or appear twice.
func TestReplayWritesIdenticalRows(t *testing.T) {
	s, m := openMem(t), newModel()
	rng := rand.New(rand.NewPCG(9, 0))
	var entries [][]ledger.Command
	for range 30 {
		commands := m.random(rng, rng.IntN(100))
		entries = append(entries, commands)
		m.commit(t, s, commands...)
	}
	before := dump(t, s)
	again := newModel()
	for _, commands := range entries {
		again.commit(t, s, commands...)
	}
	if !maps.Equal(before, dump(t, s)) {
		t.Error("the replay changed rows")
	}
	if again.digest != m.digest {
		t.Errorf("digest %x after the replay, %x before", again.digest, m.digest)
	}
}

// dump returns every row of s.
func dump(t testing.TB, s *Store) map[string]string {
	t.Helper()
	rows := map[string]string{}
	err := s.scanRange(nil, nil, func(key, value []byte) error {
		rows[string(key)] = string(value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
