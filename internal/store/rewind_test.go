package store

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"
)

// TestRewind: what is left is what the store held when it came to that row, with
// a journal and indexes of every kind behind it.
func TestRewind(t *testing.T) {
	s, m := filled(t, 6, 60, 60)
	early, past := filled(t, 6, 2, 60)
	all, want := everyRow(t, s), everyRow(t, early)
	behind := map[byte]int{}
	for key := range all {
		if _, ok := want[key]; !ok {
			behind[key[0]]++
		}
	}
	if len(behind) != 5 {
		t.Fatalf("rows behind row %d, by prefix: %v; the test needs all kinds", past.next(), behind)
	}
	for _, to := range []struct {
		next uint64
		want map[string]string
	}{{m.next(), all}, {past.next(), want}, {past.next(), want}} {
		if err := s.Rewind(to.next); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(to.want, everyRow(t, s)); diff != "" {
			t.Fatalf("rewound to row %d: %s", to.next, diff)
		}
	}
}

// Rows that this package did not write are named, and nothing is removed.
func TestRewindRefusesDamage(t *testing.T) {
	for _, bad := range []string{"ex", "xx", "hx", "ix"} {
		s, _ := filled(t, 7, 5, 20)
		if err := s.db.Set([]byte(bad), nil, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
		before := everyRow(t, s)
		if err := s.Rewind(1); !Damaged(err) {
			t.Errorf("row %q: %v", bad, err)
		}
		if diff := cmp.Diff(before, everyRow(t, s)); diff != "" {
			t.Errorf("row %q: removed\n%s", bad, diff)
		}
	}
}

func everyRow(t *testing.T, s *Store) map[string]string {
	t.Helper()
	rows := map[string]string{}
	err := s.scanRange([]byte{0}, []byte{0xff}, func(key, value []byte) error {
		rows[string(key)] = string(value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
