package store

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"purser/internal/ledger"
)

func TestKeysSealByCount(t *testing.T) {
	k := openTestKeys(t, newMemRows(), KeyOptions{RunKeys: 4}, nil)
	for seq := range uint64(13) {
		insertKey(t, k, seq, seq+1, ledger.Micros(seq))
		await(t, k)
	}
	want := []runInfo{
		{number: 1, keys: 4, first: 1, last: 4, newest: 3},
		{number: 2, keys: 4, first: 5, last: 8, newest: 7},
		{number: 3, keys: 4, first: 9, last: 12, newest: 11},
	}
	if diff := cmp.Diff(want, runsOf(t, k), cmp.AllowUnexported(runInfo{})); diff != "" {
		t.Error(diff)
	}
	if s := k.Stats(); s.InMemory != 1 || s.Sealed != 12 || s.Runs != 3 {
		t.Errorf("stats %+v", s)
	}
}

func TestKeysSealByTime(t *testing.T) {
	k := openTestKeys(t, newMemRows(), KeyOptions{RunSpan: 10}, nil)
	for i, at := range []ledger.Micros{100, 109, 110, 119, 500} {
		insertKey(t, k, 7, uint64(i)+1, at)
		await(t, k)
	}
	want := []runInfo{
		{number: 1, keys: 2, first: 1, last: 2, newest: 109},
		{number: 2, keys: 2, first: 3, last: 4, newest: 119},
	}
	if diff := cmp.Diff(want, runsOf(t, k), cmp.AllowUnexported(runInfo{})); diff != "" {
		t.Error(diff)
	}
	if got := candidatesOf(t, k, 7); !slices.Equal(got, []uint64{5, 4, 3, 2, 1}) {
		t.Errorf("candidates %v", got)
	}
}

func runsOf(t testing.TB, k *Keys) []runInfo {
	t.Helper()
	m, err := decodeKeyMeta(k.Meta())
	if err != nil {
		t.Fatal(err)
	}
	return m.runs
}

// A run that cannot be written ends the index, loudly and more than once.
func TestKeysReportARunThatCannotBeWritten(t *testing.T) {
	rows := newMemRows()
	fault := errors.New("disk on fire")
	told := make(chan error, 1)
	k, err := openKeys(rows, noScan, KeyOptions{RunKeys: 2, Fatal: func(err error) { told <- err }}, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	rows.setFail(fault)
	seq := uint64(0)
	insert := func() error {
		seq++
		k.Begin()
		return errors.Join(k.Insert(seq, seq, 1), k.End())
	}
	for range 3 { // the third one seals
		if err := insert(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-told; !errors.Is(err, fault) {
		t.Errorf("Fatal was told %v", err)
	}
	for range 3 {
		k.Begin()
		if err := k.Insert(99, 99, 1); !errors.Is(err, fault) {
			t.Errorf("Insert returned %v", err)
		}
		if err := k.End(); !errors.Is(err, fault) {
			t.Errorf("End returned %v", err)
		}
	}
	if len(k.runs) != 0 || k.frozen == nil || k.from != 1 {
		t.Errorf("the run counts as written: %d runs, from %d", len(k.runs), k.from)
	}
	if err := k.Close(); !errors.Is(err, fault) {
		t.Errorf("Close returned %v", err)
	}
}

// The same when nobody calls between the fault and Close, or when an Insert has
// to wait for the run.
func TestKeysReportALateFault(t *testing.T) {
	fault := errors.New("disk on fire")
	for _, more := range []int{0, 2} {
		rows := newMemRows()
		k, err := openKeys(rows, noScan, KeyOptions{RunKeys: 2}, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		rows.setFail(fault)
		k.Begin()
		for seq := range uint64(3 + more) {
			err = errors.Join(err, k.Insert(seq, seq+1, 1))
		}
		if more > 0 != errors.Is(err, fault) {
			t.Errorf("%d more: Insert returned %v", more, err)
		}
		_ = k.End()
		if err := k.Close(); !errors.Is(err, fault) {
			t.Errorf("%d more: Close returned %v", more, err)
		}
	}
}
