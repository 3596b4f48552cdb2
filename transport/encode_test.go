package transport

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"purser/internal/ledger"
)

func TestAppendTime(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, at ledger.Micros) {
		want := time.UnixMicro(int64(at)).UTC().Format(`"2006-01-02T15:04:05.000000Z"`)
		if got := string(appendTime(nil, at)); got != want {
			t.Fatalf("%d: %s, want %s", at, got, want)
		}
	}
	for day := range 150_000 { // every day to 2380, leap years and centuries included
		check(t, ledger.Micros(day)*86_400*ledger.Second+ledger.Micros(day))
	}
	rapid.Check(t, func(t *rapid.T) { // years 0001 to 9999
		check(t, ledger.Micros(rapid.Int64Range(-62_135_596_800_000_000, 253_402_300_799_999_999).Draw(t, "at")))
	})
}

func TestAppendText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOf(rapid.Byte()).Draw(t, "in")
		if rapid.Bool().Draw(t, "text") {
			in = []byte(rapid.String().Draw(t, "string"))
		}
		out := appendText(nil, in)
		var back string
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatalf("%q -> %s: %v", in, out, err)
		}
		if !utf8.Valid(out) {
			t.Fatalf("%q -> %q is not UTF-8", in, out)
		}
		want := string([]rune(string(in))) // invalid bytes become U+FFFD one by one
		if back != want {
			t.Fatalf("%q -> %s -> %q, want %q", in, out, back, want)
		}
	})
}

func TestAppendHeadroom(t *testing.T) {
	for _, tt := range []struct {
		h    ledger.Headroom
		none bool
		want string
	}{
		{ledger.Headroom{}, false, `"0"`},
		{ledger.Headroom{Negative: true, Magnitude: 5}, false, `"-5"`},
		{ledger.Headroom{Magnitude: 1<<64 - 1}, false, `"18446744073709551615"`},
		{ledger.Headroom{Magnitude: 5}, true, `"unlimited"`},
	} {
		if got := string(appendHeadroom(nil, tt.h, tt.none)); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.h, got, tt.want)
		}
	}
}
