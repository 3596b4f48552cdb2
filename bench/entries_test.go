package bench

import (
	"encoding/json"
	"strings"
	"testing"
)

const entryText = `{"seq":912,"payment":"pay_0007","kind":"payment","direction":"debit","amount":"1250","posted":"-8750",` +
	`"held":"5","version":7,"counterparty":"world:USD","created_at":"2026-01-01T00:00:00.000000Z"}`

func TestScanEntries(t *testing.T) {
	const outside = `{"held":null,"posted":null,"seq":3,"kind":"refund","direction":"none","amount":"1","payment":"p"}`
	lines, cursor, err := scanEntries([]byte(`{"entries":[`+entryText+`,`+outside+`],"next_cursor":"abc"}`), nil)
	if err != nil || cursor != "abc" || len(lines) != 2 {
		t.Fatalf("%+v, %q, %v", lines, cursor, err)
	}
	e := lines[0]
	if e.seq != 912 || string(e.payment) != "pay_0007" || string(e.kind) != "payment" || e.amount != 1250 || e.posted != -8750 || e.held != 5 || e.change() != -1250 {
		t.Errorf("%+v", e)
	}
	if e := lines[1]; e.seq != 3 || e.posted == 0 || e.change() != 0 {
		t.Errorf("%+v", e)
	}
	for _, empty := range []string{`{"entries":[],"next_cursor":null}`, `{"entries":null,"next_cursor":""}`} {
		if lines, cursor, err := scanEntries([]byte(empty), nil); err != nil || cursor != "" || len(lines) != 0 {
			t.Errorf("%s: %+v, %q, %v", empty, lines, cursor, err)
		}
	}
	whole := `{"entries":[` + entryText + `],"next_cursor":null}`
	for end := range whole {
		if _, _, err := scanEntries([]byte(whole[:end]), nil); err == nil {
			t.Errorf("no error for %q", whole[:end])
		}
	}
	for _, bad := range []string{
		"", "[]", whole + " ", strings.Replace(whole, "912", "x", 1), strings.Replace(whole, "pay_0007", `a\"b`, 1),
		strings.Replace(whole, `"seq":912`, `"seq":`, 1), `{"entries":[[]],"next_cursor":null}`,
	} {
		if lines, _, err := scanEntries([]byte(bad), nil); err == nil {
			t.Errorf("no error for %q: %+v", bad, lines)
		}
	}
}

// FuzzScanEntries holds the scanner against the general decoder: of what both
// take, they read as many lines.
func FuzzScanEntries(f *testing.F) {
	f.Add([]byte(`{"entries":[` + entryText + `],"next_cursor":"x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		lines, _, err := scanEntries(body, nil)
		var page struct{ Entries []json.RawMessage }
		if err == nil && json.Unmarshal(body, &page) == nil && strings.Count(string(body), `"entries"`) == 1 && len(lines) != len(page.Entries) {
			t.Fatalf("%d lines, want %d", len(lines), len(page.Entries))
		}
	})
}

func BenchmarkScanEntries(b *testing.B) {
	body := []byte(`{"entries":[` + strings.TrimSuffix(strings.Repeat(entryText+",", 50), ",") + `],"next_cursor":null}`)
	b.Run("scanner", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		var lines []entryLine
		for b.Loop() {
			var err error
			if lines, _, err = scanEntries(body, lines[:0]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		var page struct{ Entries []bookEntry }
		for b.Loop() {
			page.Entries = page.Entries[:0]
			if err := json.Unmarshal(body, &page); err != nil {
				b.Fatal(err)
			}
		}
	})
}
