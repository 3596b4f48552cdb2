package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/go-cmp/cmp"

	"purser/internal/ledger"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// blockOf encodes records as one block, the way a Batch does.
func blockOf(index uint64, stamp ledger.Micros, records ...*ledger.Record) (key, value []byte) {
	value = make([]byte, blockHeaderLen)
	for _, rec := range records {
		value = appendRow(value, rec)
	}
	finishBlock(value, records[0].Seq, index, stamp, len(records))
	return journalKey(nil, records[0].Seq), value
}

// sample is a few rows of every shape: short, refused, and longer than the two
// bytes of room for a length.
func sample() []*ledger.Record {
	m := newModel()
	long := pay("alice", "world:USD", usd, 3)
	long.Reference = bytes.Repeat([]byte("r"), 255)
	pair := ledger.Pair{Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 17_000)}
	long.Metadata = ledger.AppendMetadata(nil, []ledger.Pair{pair})
	return m.execute([]ledger.Command{
		create("alice", usd),
		pay("world:USD", "alice", usd, 250),
		pay("alice", "bob", usd, 10), // bob is not there
		{Kind: ledger.Expire, Payment: 2},
		long,
	})
}

// The bytes on disk. A change that breaks this breaks every existing journal:
// it needs a new blockVersion.
func TestBlockFormatIsTheGoldenOne(t *testing.T) {
	const path = "testdata/block.golden"
	records := sample()
	_, value := blockOf(9, 1_700_000_001_000_000, records[:4]...)
	text := hex.Dump(value)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Error(diff)
	}
}

func TestBlockRoundTrip(t *testing.T) {
	records := sample()
	key, value := blockOf(9, 77, records...)
	b, err := openBlock(key, value)
	if err != nil {
		t.Fatal(err)
	}
	if b.first != 1 || b.count != len(records) || b.index != 9 || b.stamp != 77 {
		t.Errorf("header %d %d %d %d", b.first, b.count, b.index, b.stamp)
	}
	for _, rec := range records {
		encoded, err := b.row(rec.Seq)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.record(rec.Seq, encoded)
		if err != nil {
			t.Fatal(err)
		}
		want := row(rec)
		want.Time = 77
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("row %d: %s", rec.Seq, diff)
		}
	}
	if b.holds(0) || b.holds(uint64(len(records))+1) {
		t.Error("holds rows that it does not have")
	}
}

// No single change of a byte, no truncation and no other key passes.
func TestEveryDamageToABlockIsRefused(t *testing.T) {
	key, value := blockOf(9, 77, sample()[:4]...)
	check := func(what string, key, value []byte) {
		t.Helper()
		_, err := openBlock(key, value)
		var damage *CorruptionError
		if !errors.As(err, &damage) || !bytes.Equal(damage.Key, key) || damage.Reason == "" {
			t.Errorf("%s: error %v", what, err)
		}
	}
	for i := range value {
		for bit := range 8 {
			broken := bytes.Clone(value)
			broken[i] ^= 1 << bit
			check("flipped bit", key, broken)
		}
		check("truncation", key, value[:i])
	}
	check("another key", journalKey(nil, 2), value)
	check("longer", key, append(bytes.Clone(value), 0))
	newer := bytes.Clone(value)
	newer[0] = blockVersion + 1
	if _, err := openBlock(key, newer); err == nil || !strings.Contains(err.Error(), "format 2, this build reads 1") {
		t.Errorf("a newer format: %v", err)
	}
}

// What the checksum cannot tell: a block with a sum over nonsense.
func TestABlockWithAGoodSumOverNonsenseIsRefused(t *testing.T) {
	seal := func(rows []byte, count int) (key, value []byte) {
		value = append(make([]byte, blockHeaderLen), rows...)
		finishBlock(value, 5, 1, 1, count)
		return journalKey(nil, 5), value
	}
	for _, c := range []struct {
		name  string
		rows  []byte
		count int
	}{
		{"no rows", nil, 0},
		{"too many rows", make([]byte, 200), maxBlockRows + 1},
		{"fewer rows than said", []byte{0}, 2},
		{"more rows than said", []byte{0, 0}, 1},
		{"a row beyond the end", []byte{9, 0}, 1},
		{"a length without end", bytes.Repeat([]byte{0xff}, 12), 1},
		{"rows that are none", []byte{1, 7}, 1},
	} {
		b, err := openBlock(seal(c.rows, c.count))
		if err == nil {
			err = b.each(func(seq uint64, row []byte) error {
				_, err := b.record(seq, row)
				return err
			})
		}
		var damage *CorruptionError
		if !errors.As(err, &damage) {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
}

func FuzzOpenBlock(f *testing.F) {
	_, value := blockOf(9, 77, sample()[:4]...)
	f.Add(uint64(1), value[5:])
	f.Add(uint64(5), append(make([]byte, blockHeaderLen-5), 1, 2, 3))
	f.Fuzz(func(t *testing.T, first uint64, tail []byte) {
		if len(tail) < blockHeaderLen-5 {
			return
		}
		// Header and sum are made good, so that the rows are what is fuzzed.
		value := append(make([]byte, 5), tail...)
		finishBlock(value, first, 1, 1, 1+int(tail[0])%maxBlockRows)
		b, err := openBlock(journalKey(nil, first), value)
		if err != nil {
			return
		}
		seen := 0
		err = b.each(func(seq uint64, row []byte) error {
			seen++
			again, err := b.row(seq)
			if err != nil || !bytes.Equal(row, again) {
				t.Fatalf("row %d: each and row disagree, error %v", seq, err)
			}
			_, _ = b.record(seq, row)
			_, _ = ledger.RecordKey(row)
			return nil
		})
		if err == nil && seen != b.count {
			t.Fatalf("%d rows of %d without an error", seen, b.count)
		}
	})
}

// A block is cut at the count and at the size, and never spans entries.
func TestBlocksAreCutWhereTheFormatSays(t *testing.T) {
	s := openMem(t)
	for _, n := range []int{1, 63, 64, 65, 130} {
		records := payments(n)
		renumber(records, uint64(n)*1000)
		b := s.Begin(uint64(n), 1)
		for _, rec := range records {
			b.Add(rec)
		}
		if err := b.Commit(); err != nil {
			t.Fatal(err)
		}
		var sizes []int
		_ = s.scanRange(journalKey(nil, uint64(n)*1000), journalKey(nil, uint64(n)*1000+1000), func(key, value []byte) error {
			b, err := openBlock(key, value)
			sizes = append(sizes, b.count)
			return err
		})
		var want []int
		for rest := n; rest > 0; rest -= maxBlockRows {
			want = append(want, min(rest, maxBlockRows))
		}
		if diff := cmp.Diff(want, sizes); diff != "" {
			t.Errorf("%d rows: %s", n, diff)
		}
	}
	long := sample()[4] // more than maxBlockBytes on its own
	b := s.Begin(1, 1)
	for seq := uint64(1); seq <= 3; seq++ {
		rec := *long
		rec.Seq = seq
		b.Add(&rec)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= 3; seq++ {
		if _, ok, _ := s.get(journalKey(nil, seq)); !ok {
			t.Errorf("a block of %d bytes did not end before row %d", maxBlockBytes, seq)
		}
	}
}

// A damaged row is an error that names it, from every read that meets it.
func TestReadsRefuseADamagedBlock(t *testing.T) {
	s, m := filled(t, 11, 10, 100)
	h := History{World: usd}
	list := m.history(h, len(m.records))
	victim := list[len(list)/2].Seq
	j, err := s.openJournal()
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := j.seek(victim); !ok || err != nil {
		t.Fatal(ok, err)
	}
	key := bytes.Clone(j.it.Key())
	broken := bytes.Clone(j.it.Value())
	j.close(&err)
	broken[len(broken)/2] ^= 0x10
	if err := s.db.Set(key, broken, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	_, _, recordErr := s.Record(victim)
	_, _, paymentErr := s.Payment(victim, m.next())
	_, entriesErr := s.Entries(h, list[len(list)-1].Seq, uint64(len(list)), false, 0, len(list))
	scanErr := s.ScanRecords(1, m.next(), func(*ledger.Record) error { return nil })
	keysErr := s.ScanKeys(1, m.next(), func(uint64, ledger.Micros, []byte) error { return nil })
	for i, err := range []error{recordErr, paymentErr, entriesErr, scanErr, keysErr} {
		var damage *CorruptionError
		if !errors.As(err, &damage) || !bytes.Equal(damage.Key, key) {
			t.Errorf("read %d: error %v, want one that names %x", i, err, key)
		}
	}
}

func TestAScanRefusesAGap(t *testing.T) {
	s, m := filled(t, 12, 20, 20)
	gone := blockAfter(t, s, m.next()/2)
	if err := s.db.Delete(journalKey(nil, gone), pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	for _, from := range []uint64{1, gone} {
		err := s.ScanRecords(from, m.next(), func(*ledger.Record) error { return nil })
		var damage *CorruptionError
		if !errors.As(err, &damage) || !bytes.Equal(damage.Key, journalKey(nil, gone)) {
			t.Errorf("from %d: error %v, want one that names row %d", from, err, gone)
		}
	}
	if err := s.ScanRecords(1, gone, func(*ledger.Record) error { return nil }); err != nil {
		t.Errorf("in front of the gap: %v", err)
	}
}

// blockAfter returns where the first block behind seq starts.
func blockAfter(t *testing.T, s *Store, seq uint64) (first uint64) {
	t.Helper()
	stop := errors.New("stop")
	err := s.scanRange(journalKey(nil, seq), []byte{prefixJournal + 1}, func(key, _ []byte) error {
		first = keyNumber(key, 1)
		return stop
	})
	if err != stop {
		t.Fatal(err)
	}
	return first
}

func TestAddPanicsOnAGap(t *testing.T) {
	s := openMem(t)
	b := s.Begin(1, 1)
	b.Add(&ledger.Record{Seq: 4, Raw: []byte{0}})
	defer func() {
		if recover() == nil {
			t.Error("row 6 after row 4 was taken")
		}
	}()
	b.Add(&ledger.Record{Seq: 6, Raw: []byte{0}})
}
