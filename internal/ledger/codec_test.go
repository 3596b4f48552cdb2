package ledger_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// equalValues compares decoded values: an absent string equals an empty one.
var equalValues = cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(ledger.Record{}, "Payment", "Account"), cmpopts.IgnoreFields(ledger.Leg{}, "Ordinal")}

func TestCommandRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, step := range ledgertest.Steps(t, 5) {
			c := step.Command
			c.Reference = rapid.SliceOfN(rapid.Byte(), 0, 255).Draw(t, "reference")
			c.Key = rapid.SliceOfN(rapid.Byte(), 0, ledger.MaxKeyLen).Draw(t, "key")
			if c.Kind != ledger.Pay && c.Kind != ledger.Authorize {
				c.Reference = nil
			}
			src := ledger.AppendCommand(nil, &c)
			var got ledger.Command
			if err := ledger.DecodeCommand(src, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c, got, equalValues); diff != "" {
				t.Fatalf("(-encoded +decoded):\n%s", diff)
			}
			for n := range src {
				if err := ledger.DecodeCommand(src[:n], &got); !errors.Is(err, ledger.ErrDecode) {
					t.Fatalf("cut to %d of %d bytes: %v", n, len(src), err)
				}
			}
			if err := ledger.DecodeCommand(append(src, 0), &got); !errors.Is(err, ledger.ErrDecode) {
				t.Fatalf("with a byte too many: %v", err)
			}
		}
	})
}

func TestEntryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		steps := ledgertest.Steps(t, 20)
		stamp := ledger.Micros(rapid.Int64().Draw(t, "stamp"))
		src := make([]byte, ledger.EntryHeaderLen)
		for i := range steps {
			c := &steps[i].Command
			if c.Kind == ledger.Pay { // lengths of one byte and of two
				c.Reference = rapid.SliceOfN(rapid.Byte(), 0, 255).Draw(t, "reference")
			}
			src = ledger.AppendEntryCommand(src, c)
		}
		ledger.PutEntryHeader(src, ledger.NewestFormat, len(steps), stamp)
		e, err := ledger.DecodeEntry(src, ledger.NewestFormat)
		if err != nil {
			t.Fatal(err)
		}
		if e.Count != len(steps) || e.Stamp != stamp {
			t.Fatalf("%d commands at %d, want %d at %d", e.Count, e.Stamp, len(steps), stamp)
		}
		for i := range steps {
			var got ledger.Command
			raw, err := e.Next(&got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(steps[i].Command, got, equalValues); diff != "" {
				t.Fatalf("command %d (-encoded +decoded):\n%s", i, diff)
			}
			if !bytes.Equal(raw, ledger.AppendCommand(nil, &got)) {
				t.Fatalf("command %d: raw bytes are not its encoding", i)
			}
		}
		if err := e.Done(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEntryRefused(t *testing.T) {
	entry := func(change func(b []byte) []byte) []byte {
		b := make([]byte, ledger.EntryHeaderLen)
		b = ledger.AppendEntryCommand(b, &ledger.Command{Kind: ledger.Expire, Payment: 7})
		ledger.PutEntryHeader(b, ledger.NewestFormat, 1, 5)
		return change(b)
	}
	bad := map[string][]byte{
		"no format":      entry(func(b []byte) []byte { b[0] = 0; return b }),
		"reserved bytes": entry(func(b []byte) []byte { b[2] = 1; return b }),
		"short":          entry(func(b []byte) []byte { return b[:15] }),
		"count":          entry(func(b []byte) []byte { b[7] = 0xff; return b }),
	}
	for name, src := range bad {
		if _, err := ledger.DecodeEntry(src, ledger.NewestFormat); !errors.Is(err, ledger.ErrDecode) {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := entry(func(b []byte) []byte { b[0]++; return b })
	_, err := ledger.DecodeEntry(newer, ledger.NewestFormat)
	if !errors.Is(err, ledger.ErrFormat) || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("a newer format is not named: %v", err)
	}
	if _, err := ledger.DecodeEntry(newer, ledger.NewestFormat+1); err != nil {
		t.Errorf("the newest format: %v", err)
	}
	e, err := ledger.DecodeEntry(entry(func(b []byte) []byte { return append(b, 0) }), ledger.NewestFormat)
	if err != nil {
		t.Fatal(err)
	}
	var c ledger.Command
	if _, err := e.Next(&c); err != nil {
		t.Fatal(err)
	}
	if err := e.Done(); !errors.Is(err, ledger.ErrDecode) {
		t.Errorf("bytes after the last command: %v", err)
	}
	if _, err := e.Next(&c); !errors.Is(err, ledger.ErrDecode) {
		t.Errorf("an empty command: %v", err)
	}
	if _, err := e.Next(&c); !errors.Is(err, ledger.ErrDecode) {
		t.Errorf("beyond the end: %v", err)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		book := ledgertest.NewBook()
		for _, step := range ledgertest.Steps(t, 60) {
			rec := book.Apply(step.Seq, step.Time, &step.Command)
			src := ledger.AppendRecord(nil, rec)
			got := ledger.Record{}
			if err := ledger.DecodeRecord(src, &got); err != nil {
				t.Fatal(err)
			}
			got.Seq, got.Time = rec.Seq, rec.Time
			if diff := cmp.Diff(*rec, got, equalValues); diff != "" {
				t.Fatalf("%s (-encoded +decoded):\n%s", describe(&step.Command), diff)
			}
			for n := range src {
				if err := ledger.DecodeRecord(src[:n], &got); !errors.Is(err, ledger.ErrDecode) {
					t.Fatalf("cut to %d of %d bytes: %v", n, len(src), err)
				}
			}
		}
	})
}

// examples is one command of every kind, with all its fields in use.
func examples() []ledger.Command {
	metadata := ledger.AppendMetadata(nil, []ledger.Pair{
		{Key: []byte("order"), Value: []byte("991")}, {Key: []byte("note"), Value: nil},
	})
	usd := ledgertest.Currency("USD")
	pay := ledger.Command{
		Kind: ledger.Pay, Key: []byte("key-1"), Source: []byte("world:USD"), Destination: []byte("alice"),
		Currency: usd, Amount: math.MaxInt64 - 5000, ExpiresIn: ledger.DefaultExpiry,
		Reference: []byte("order-991"), Metadata: metadata,
		SourceVersion: ledger.Optional{Set: true}, MinAvailableAfter: ledger.Optional{Set: true, Value: 300},
	}
	hold := pay
	hold.Kind, hold.Key, hold.Source, hold.Destination = ledger.Authorize, []byte("key-2"), []byte("alice"), []byte("merchant-7")
	hold.Amount, hold.SourceVersion = 1250, ledger.Optional{Set: true, Value: 2}
	return []ledger.Command{
		{Kind: ledger.CreateAccount, Source: []byte("alice"), Currency: usd, Limit: 500, Metadata: metadata},
		{Kind: ledger.CreateAccount, Source: []byte("merchant-7"), Currency: usd, Unlimited: true},
		pay,
		hold,
		{Kind: ledger.Capture, Key: []byte("key-3"), Payment: 4, Amount: 1000},
		{Kind: ledger.Refund, Key: []byte("key-4"), Payment: 4, Amount: 1000},
		{Kind: ledger.Void, Key: []byte("key-5"), Payment: 4},
		{Kind: ledger.Expire, Payment: 4},
		{
			Kind: ledger.UpdateAccount, Source: []byte("alice"), Status: ledger.Frozen, Limit: 20,
			Metadata: metadata[:0], IfVersion: ledger.Optional{Set: true, Value: 5},
			Sets: ledger.SetsLimit | ledger.SetsStatus | ledger.SetsMetadata,
		},
		{Kind: ledger.Capture, Key: []byte("key-6"), Payment: 99, Final: true},
	}
}

// The bytes of entries and records are a contract: what is written today is read
// by every later build.
func TestGolden(t *testing.T) {
	commands := examples()
	entry := make([]byte, ledger.EntryHeaderLen)
	ledger.PutEntryHeader(entry, ledger.NewestFormat, len(commands), 1_700_000_000_000_000)
	book := ledgertest.NewBook()
	var records [][]byte
	for i := range commands {
		entry = ledger.AppendEntryCommand(entry, &commands[i])
		rec := book.Apply(uint64(i+1), 1_700_000_000_000_000, &commands[i])
		records = append(records, ledger.AppendRecord(nil, rec))
	}
	golden(t, "entry.hex", [][]byte{entry})
	golden(t, "records.hex", records)
}

func golden(t *testing.T, name string, rows [][]byte) {
	t.Helper()
	var text strings.Builder
	for _, row := range rows {
		text.WriteString(hex.EncodeToString(row) + "\n")
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text.String()); diff != "" {
		t.Errorf("%s (-golden +encoded):\n%s", path, diff)
	}
}

func TestMetadataIsCanonical(t *testing.T) {
	a := ledger.AppendMetadata(nil, []ledger.Pair{{Key: []byte("b"), Value: []byte("2")}, {Key: []byte("a"), Value: []byte("1")}})
	b := ledger.AppendMetadata(nil, []ledger.Pair{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("b"), Value: []byte("2")}})
	if !bytes.Equal(a, b) {
		t.Errorf("%x and %x are the same pairs", a, b)
	}
	var text strings.Builder
	for k, v := range a.All() {
		text.WriteString(string(k) + "=" + string(v) + " ")
	}
	if text.String() != "a=1 b=2 " {
		t.Errorf("the pairs are %q", text.String())
	}
	for k := range ledger.Metadata("\x01a").All() {
		t.Errorf("broken bytes have a pair %q", k)
	}
}

func TestDifference(t *testing.T) {
	base := examples()[3]
	tests := map[string]func(c *ledger.Command){
		"":                               func(*ledger.Command) {},
		"path":                           func(c *ledger.Command) { c.Kind = ledger.Refund },
		"source":                         func(c *ledger.Command) { c.Source = []byte("bob") },
		"destination":                    func(c *ledger.Command) { c.Destination = []byte("bob") },
		"amount":                         func(c *ledger.Command) { c.Amount++ },
		"currency":                       func(c *ledger.Command) { c.Currency = ledgertest.Currency("EUR") },
		"capture":                        func(c *ledger.Command) { c.Kind = ledger.Pay },
		"final":                          func(c *ledger.Command) { c.Final = true },
		"expires_in":                     func(c *ledger.Command) { c.ExpiresIn++ },
		"reference":                      func(c *ledger.Command) { c.Reference = nil },
		"metadata":                       func(c *ledger.Command) { c.Metadata = nil },
		"conditions.source_version":      func(c *ledger.Command) { c.SourceVersion = ledger.Optional{} },
		"conditions.min_available_after": func(c *ledger.Command) { c.MinAvailableAfter.Value++ },
	}
	for want, change := range tests {
		other := base
		change(&other)
		if got := ledger.Difference(&base, &other); got != want {
			t.Errorf("the difference is %q, want %q", got, want)
		}
	}
	a, b := ledger.Command{Kind: ledger.Void, Payment: 1}, ledger.Command{Kind: ledger.Void, Payment: 2}
	if got := ledger.Difference(&a, &b); got != "path" {
		t.Errorf("the difference between two payments is %q", got)
	}
}
