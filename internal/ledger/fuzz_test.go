package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

// Decoding any bytes never panics, and what was accepted means the same after
// it has been encoded again.

func FuzzDecodeCommand(f *testing.F) {
	for _, c := range examples() {
		f.Add(ledger.AppendCommand(nil, &c))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var c, again ledger.Command
		if ledger.DecodeCommand(src, &c) != nil {
			return
		}
		if err := ledger.DecodeCommand(ledger.AppendCommand(nil, &c), &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, again, equalValues); diff != "" {
			t.Fatalf("(-first +second):\n%s", diff)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	seed := make([]byte, ledger.EntryHeaderLen)
	for i, c := range examples() {
		seed = ledger.AppendEntryCommand(seed, &c)
		ledger.PutEntryHeader(seed, ledger.NewestFormat, i+1, 42)
		f.Add(append([]byte(nil), seed...))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		e, err := ledger.DecodeEntry(src, ledger.NewestFormat)
		if err != nil {
			return
		}
		again := make([]byte, ledger.EntryHeaderLen)
		var commands []ledger.Command
		for range e.Count {
			var c ledger.Command
			if _, err := e.Next(&c); err != nil {
				return
			}
			commands = append(commands, c)
			again = ledger.AppendEntryCommand(again, &c)
		}
		if e.Done() != nil {
			return
		}
		ledger.PutEntryHeader(again, ledger.NewestFormat, e.Count, e.Stamp)
		second, err := ledger.DecodeEntry(again, ledger.NewestFormat)
		if err != nil || second.Count != e.Count || second.Stamp != e.Stamp {
			t.Fatalf("%d commands at %d became %d at %d, %v", e.Count, e.Stamp, second.Count, second.Stamp, err)
		}
		for i := range commands {
			var c ledger.Command
			if _, err := second.Next(&c); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(commands[i], c, equalValues); diff != "" {
				t.Fatalf("command %d (-first +second):\n%s", i, diff)
			}
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	book := ledgertest.NewBook()
	for i, c := range examples() {
		f.Add(ledger.AppendRecord(nil, book.Apply(uint64(i+1), 42, &c)))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var rec, again ledger.Record
		if ledger.DecodeRecord(src, &rec) != nil {
			return
		}
		if err := ledger.DecodeRecord(ledger.AppendRecord(nil, &rec), &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rec, again, equalValues); diff != "" {
			t.Fatalf("(-first +second):\n%s", diff)
		}
	})
}
