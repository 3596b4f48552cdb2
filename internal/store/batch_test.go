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
	j, err := s.openJournal()
	if err != nil {
		t.Fatal(err)
	}
	got, ok, err := j.record(1)
	if index := j.cur.index; err != nil || !ok || index != 5 {
		t.Fatalf("index %d, ok %v, error %v", index, ok, err)
	}
	if j.close(&err); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&rec, got); diff != "" {
		t.Error(diff)
	}
}

// The digest tells apart all that replicas must agree on, and nothing else.
func TestDigestDependsOnEveryInput(t *testing.T) {
	s := openMem(t)
	digest := func(prev, index uint64, stamp ledger.Micros, amounts ...int64) uint64 {
		b := s.Begin(index, stamp)
		for i, amount := range amounts {
			rec := payments(1)[0]
			rec.Seq, rec.Amount = uint64(i)+1, amount
			b.Add(rec)
		}
		return b.Digest(prev)
	}
	many := make([]int64, 3*maxBlockRows)
	seen := map[uint64]string{}
	for name, d := range map[string]uint64{
		"base":               digest(1, 2, 3, 4, 5),
		"another before":     digest(2, 2, 3, 4, 5),
		"another index":      digest(1, 3, 3, 4, 5),
		"another stamp":      digest(1, 2, 4, 4, 5),
		"another row":        digest(1, 2, 3, 4, 6),
		"another order":      digest(1, 2, 3, 5, 4),
		"one row":            digest(1, 2, 3, 4),
		"no rows":            digest(1, 2, 3),
		"many rows":          digest(1, 2, 3, many...),
		"one more than that": digest(1, 2, 3, append(many, 0)...),
	} {
		if other, taken := seen[d]; taken {
			t.Errorf("%s and %s have the digest %x", name, other, d)
		}
		seen[d] = name
	}
	b := s.Begin(2, 3)
	for _, rec := range payments(100) {
		b.Add(rec)
	}
	first := b.Digest(1)
	if again := b.Digest(1); again != first {
		t.Errorf("digest %x, then %x", first, again)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if after := b.Digest(1); after != first {
		t.Errorf("digest %x after Commit, %x before", after, first)
	}
}

// An entry without commands leaves nothing behind, and a batch that was not
// committed neither.
func TestNothingIsWrittenWithoutRowsOrCommit(t *testing.T) {
	s := openMem(t)
	s.Begin(1, 1).Add(payments(1)[0])
	if err := s.Begin(2, 2).Commit(); err != nil {
		t.Fatal(err)
	}
	if rows := dump(t, s); len(rows) > 0 {
		t.Errorf("rows %v", rows)
	}
}
