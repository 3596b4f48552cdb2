package store

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"purser/internal/ledger"
)

func openMem(t testing.TB) *Store {
	t.Helper()
	s, err := Open(Options{FS: vfs.NewMem(), Dir: "db", MemTableBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestRecordReturnsWhatWasAdded(t *testing.T) {
	s := openMem(t)
	c := ledger.Command{Kind: ledger.Pay, Key: []byte("k"), Source: []byte("a"), Destination: []byte("b"), Amount: 3}
	rec := ledger.Record{Seq: 1, Time: 77, Command: c, Raw: ledger.AppendCommand(nil, &c), Code: ledger.InsufficientFunds, Have: 1, Need: 3}
	b := s.Begin(5, 77)
	b.Add(&rec)
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	got, index, ok, err := s.RecordIndex(1)
	if err != nil || !ok || index != 5 {
		t.Fatalf("index %d, ok %v, error %v", index, ok, err)
	}
	if diff := cmp.Diff(&rec, got); diff != "" {
		t.Error(diff)
	}
}
