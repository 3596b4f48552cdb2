package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"purser/internal/ledger"
)

// payments returns n records of accepted payments from one busy account to
// others, numbered from 1 on, as the server would add them.
func payments(n int) []*ledger.Record {
	records := make([]*ledger.Record, n)
	for i := range records {
		seq := uint64(i) + 1
		c := pay("account-1", fmt.Sprintf("merchant-%d", i%1000), usd, 100+int64(i%900))
		c.Key = fmt.Appendf(nil, "%016x%016x", seq*0x9e3779b97f4a7c15, seq*0xc2b2ae3d27d4eb4f)
		records[i] = &ledger.Record{
			Seq: seq, Command: c, Raw: ledger.AppendCommand(nil, &c), Amount: c.Amount,
			State:       ledger.PaymentState{Captured: c.Amount, Status: ledger.Captured},
			Source:      ledger.Leg{Account: 1, Posted: 1 << 40, Version: seq, Moved: true, Prev: seq - 1, Ordinal: seq},
			Destination: ledger.Leg{Account: uint64(2 + i%1000), Posted: int64(i) * 77, Version: seq, Moved: true, Prev: max(seq, 1000) - 1000, Ordinal: 1 + seq/1000},
		}
	}
	return records
}

// renumber moves the records behind those that were added before.
func renumber(records []*ledger.Record, first uint64) {
	for i, rec := range records {
		rec.Seq = first + uint64(i)
		rec.Source.Ordinal, rec.Source.Prev = rec.Seq, rec.Seq-1
		rec.Destination.Ordinal = 1 + rec.Seq/1000
		binary.LittleEndian.PutUint64(rec.Raw[4:], rec.Seq*0x9e3779b97f4a7c15) // another key
	}
}

// The cost of an entry's rows, per record, on a real disk with flushes and
// compactions at work.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 64, 256, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, err := Open(Options{FS: vfs.Default, Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer closeStore(b, s)
			records := payments(n)
			next, index, digest := uint64(1), uint64(0), uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				renumber(records, next)
				index++
				batch := s.Begin(index, ledger.Micros(index))
				for _, rec := range records {
					batch.Add(rec)
				}
				digest = batch.Digest(digest)
				if err := batch.Commit(); err != nil {
					b.Fatal(err)
				}
				next += uint64(n)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(next-1), "ns/record")
		})
	}
}

// What of BenchmarkCommit is this package's own: encoding and hashing.
func BenchmarkAdd(b *testing.B) {
	s := openMem(b)
	records := payments(256)
	b.ReportAllocs()
	for b.Loop() {
		batch := s.Begin(1, 1)
		for _, rec := range records {
			batch.Add(rec)
		}
		batch.Digest(0)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/record")
}

// Reads on rows that are in tables, not in memory.
func BenchmarkRead(b *testing.B) {
	s, m := filled(b, 10, 200, 200)
	if err := s.db.Flush(); err != nil {
		b.Fatal(err)
	}
	n := m.next() - 1
	list := m.history(History{World: usd}, len(m.records))
	head := list[len(list)-1].Seq
	b.Run("record", func(b *testing.B) {
		b.ReportAllocs()
		for seq := uint64(0); b.Loop(); seq++ {
			if _, ok, err := s.Record(1 + seq*7919%n); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	})
	b.Run("payment", func(b *testing.B) {
		b.ReportAllocs()
		for seq := uint64(0); b.Loop(); seq++ {
			if _, _, err := s.Payment(1+seq*7919%n, n+1); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, ascending := range []bool{false, true} {
		b.Run(fmt.Sprintf("entries/ascending=%v", ascending), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				from := list[i*7919%len(list)].Seq
				if _, err := s.Entries(History{World: usd}, head, uint64(len(list)), ascending, from, 100); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("keys", func(b *testing.B) {
		for b.Loop() {
			if err := s.ScanKeys(1, n+1, func(uint64, ledger.Micros, []byte) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/row")
	})
}

// Pages of the entries of quiet accounts, whose postings are in a block each that is
// not in memory. Some have a row of the sparse index, some none yet.
func BenchmarkEntriesOfQuietAccounts(b *testing.B) {
	const entry, accounts = 1000, 1000
	for _, postings := range []int{200, 600} {
		s, err := Open(Options{Dir: b.TempDir(), CacheBytes: 1 << 20})
		if err != nil {
			b.Fatal(err)
		}
		records := payments(entry)
		for i := range postings {
			renumber(records, uint64(i*entry)+1)
			batch := s.Begin(uint64(i)+1, ledger.Micros(i)+1)
			for _, rec := range records {
				rec.Destination.Ordinal = uint64(i) + 1
				rec.Destination.Prev = max(rec.Seq, accounts) - accounts
				batch.Add(rec)
			}
			batch.Digest(0)
			if err := batch.Commit(); err != nil {
				b.Fatal(err)
			}
		}
		if err := errors.Join(s.db.Flush(), s.db.Compact(b.Context(), []byte{0}, []byte{0xff}, false)); err != nil {
			b.Fatal(err)
		}
		for _, c := range []struct {
			name      string
			ascending bool
			cursor    bool
		}{{"oldest", true, false}, {"ascending", true, true}, {"newest", false, false}, {"descending", false, true}} {
			b.Run(fmt.Sprintf("postings=%d/%s", postings, c.name), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					account := uint64(i * 7919 % accounts)
					head := uint64(postings-1)*entry + account + 1
					from := uint64(0)
					if c.cursor {
						from = uint64(i*31%(postings-100)+50)*entry + account + 1
					}
					page, err := s.Entries(History{Account: 2 + account}, head, uint64(postings), c.ascending, from, 100)
					if err != nil || len(page.Entries) < 50 {
						b.Fatal(len(page.Entries), err)
					}
				}
			})
		}
		closeStore(b, s)
	}
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Add must not allocate: at 100,000 records a second the collector would take
// more time than the rows.
func TestAddDoesNotAllocate(t *testing.T) {
	s := openMem(t)
	records := payments(256)
	write := func() {
		b := s.Begin(1, 1)
		for _, rec := range records {
			b.Add(rec)
		}
		b.Digest(0)
	}
	write()
	if n := testing.AllocsPerRun(100, write); n != 0 {
		t.Errorf("%v allocations for 256 records", n)
	}
}
