package ledger

import (
	"errors"
	"testing"
)

// The shortcut must find what the full decoder finds, and refuse every
// truncation in front of the key's end.
func TestRecordKeyAgreesWithDecodeRecord(t *testing.T) {
	commands := []Command{
		{Kind: Pay, Key: []byte("key-1"), Source: []byte("a"), Destination: []byte("b"), Amount: 5},
		{Kind: Refund, Key: []byte("key-2"), Payment: 7},
		{Kind: Expire, Payment: 9},
		{Kind: CreateAccount, Source: []byte("alice")},
	}
	for _, code := range []Code{OK, InsufficientFunds} {
		for _, c := range commands {
			rec := Record{Code: code, Command: c, Raw: AppendCommand(nil, &c)}
			row := AppendRecord(nil, &rec)
			var full Record
			if err := DecodeRecord(row, &full); err != nil {
				t.Fatal(err)
			}
			key, err := RecordKey(row)
			if err != nil || string(key) != string(full.Command.Key) {
				t.Errorf("%v: key %q, error %v; the decoder finds %q", c.Kind, key, err, full.Command.Key)
			}
			for n := range 5 + len(key) { // code, length, kind, flags, length, key
				if _, err := RecordKey(row[:n]); !errors.Is(err, ErrDecode) {
					t.Errorf("%v cut to %d bytes: error %v", c.Kind, n, err)
				}
			}
		}
	}
}
