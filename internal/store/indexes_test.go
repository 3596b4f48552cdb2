package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"purser/internal/ledger"
)

// everyIndex lists the index rows of all records of m, and whose they are.
func (m *model) everyIndex() (keys []string, of []*ledger.Record) {
	var x indexes
	for _, rec := range m.records {
		if rec.Code != ledger.OK {
			continue
		}
		x.each(rec, func(key, _ []byte) { keys, of = append(keys, string(key)), append(of, rec) })
	}
	return keys, of
}

func never() ExpiryCursor { return ExpiryCursor{} }

func TestCheckIndexes(t *testing.T) {
	s, m := filled(t, 4, 40, 150)
	for _, rec := range m.records {
		if err := s.CheckIndexes(rec, never); err != nil {
			t.Fatal(err)
		}
	}
	keys, of := m.everyIndex()
	seen := map[byte]int{}
	for i, key := range keys {
		value, _, err := s.get([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		refused := func(what string) {
			t.Helper()
			err := s.CheckIndexes(of[i], never)
			if !Damaged(err) || !strings.Contains(err.Error(), fmt.Sprintf("row %d is not in", of[i].Seq)) {
				t.Fatalf("row %x %s: %v", key, what, err)
			}
		}
		set := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		set(s.db.Delete([]byte(key), pebble.NoSync))
		refused("deleted")
		set(s.db.Set([]byte(key), append(value, 0), pebble.NoSync))
		refused("changed")
		set(s.db.Set([]byte(key), value, pebble.NoSync))
		set(s.CheckIndexes(of[i], never))
		seen[key[0]]++
	}
	if len(seen) != 4 {
		t.Errorf("index rows by prefix: %v, want four kinds", seen)
	}
}

// Checkpoints drop the rows of holds that were swept, and only those may be gone.
func TestCheckIndexesOfSweptHolds(t *testing.T) {
	s, m := filled(t, 5, 10, 30)
	swept := ExpiryCursor{At: m.now + 20*ledger.Second, Seq: 1}
	if err := s.deleteRange([]byte{prefixExpiry}, []byte{prefixExpiry + 1}); err != nil {
		t.Fatal(err)
	}
	behind, before := 0, 0
	for _, rec := range m.records {
		if rec.Code != ledger.OK || rec.Command.Kind != ledger.Authorize {
			continue
		}
		err := s.CheckIndexes(rec, func() ExpiryCursor { return swept })
		if rec.Command.HoldUntil(rec.Time) >= swept.At {
			behind++
			if !Damaged(err) {
				t.Errorf("the hold of %d is gone: %v", rec.Seq, err)
			}
		} else if before++; err != nil {
			t.Error(err)
		}
	}
	if behind == 0 || before == 0 {
		t.Fatalf("%d holds behind what was swept, %d before", behind, before)
	}
}

func TestScanBack(t *testing.T) {
	s, m := filled(t, 6, 20, 150)
	for last := uint64(0); last < m.next(); last += 1 + last/3 {
		due := last
		err := s.ScanBack(last, func(rec *ledger.Record) error {
			if rec.Seq != due {
				return fmt.Errorf("row %d where %d is due", rec.Seq, due)
			}
			due--
			return nil
		})
		if err != nil || due != 0 {
			t.Fatalf("back from %d to %d: %v", last, due, err)
		}
	}
	stop := errors.New("enough")
	if err := s.ScanBack(m.next()-1, func(*ledger.Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped with %v", err)
	}
	if err := s.ScanBack(m.next(), func(*ledger.Record) error { return nil }); !Damaged(err) {
		t.Errorf("back from a row that is not there: %v", err)
	}
}

// Wherever a block is missing, the scan ends there and names the row.
func TestScanBackMissesABlock(t *testing.T) {
	s, m := filled(t, 7, 8, 150)
	var firsts []uint64
	err := s.scanRange([]byte{prefixJournal}, []byte{prefixJournal + 1}, func(key, _ []byte) error {
		firsts = append(firsts, keyNumber(key, 1))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, first := range firsts {
		key := journalKey(nil, first)
		value, _, err := s.get(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.db.Delete(key, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		last := m.next() - 1 // of the block
		if i+1 < len(firsts) {
			last = firsts[i+1] - 1
		}
		seen := m.next()
		err = s.ScanBack(m.next()-1, func(rec *ledger.Record) error {
			seen = rec.Seq
			return nil
		})
		if !Damaged(err) || seen != last+1 || !strings.Contains(err.Error(), fmt.Sprintf("row %d is missing", last)) {
			t.Fatalf("without the block of %d to %d: seen down to %d, %v", first, last, seen, err)
		}
		if err := s.db.Set(key, value, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	if len(firsts) < 10 {
		t.Errorf("%d blocks", len(firsts))
	}
}

func TestAccountNumber(t *testing.T) {
	s, m := filled(t, 8, 5, 30)
	for id, account := range m.accounts {
		if number, ok, err := s.AccountNumber([]byte(id)); err != nil || !ok || number != account.Number {
			t.Errorf("%s has number %d, %t, %v; want %d", id, number, ok, err, account.Number)
		}
	}
	if _, ok, err := s.AccountNumber([]byte("nobody")); ok || err != nil {
		t.Errorf("nobody: %t, %v", ok, err)
	}
	if err := s.db.Set(idKey(nil, []byte("short")), []byte{1}, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.AccountNumber([]byte("short")); !Damaged(err) {
		t.Errorf("a number of one byte: %v", err)
	}
}
