package ledger_test

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"purser/internal/ledger"
)

func TestAvailable(t *testing.T) {
	tests := []struct {
		posted, held, limit int64
		exact               string
		clamped             int64
	}{
		{0, 0, 0, "0", 0},
		{100, 30, 0, "70", 70},
		{-100, 0, 100, "0", 0},
		{-100, 50, 100, "-50", -50}, // a limit lowered below use
		{math.MaxInt64, 0, math.MaxInt64, "18446744073709551614", math.MaxInt64},
		{math.MaxInt64, 0, 0, "9223372036854775807", math.MaxInt64},
		{math.MaxInt64, math.MaxInt64, 0, "0", 0},
		{0, math.MaxInt64, 0, "-9223372036854775807", -math.MaxInt64},
		{-math.MaxInt64, 0, 0, "-9223372036854775807", -math.MaxInt64},
		{-math.MaxInt64, 0, math.MaxInt64, "0", 0},
		{-1, math.MaxInt64 - 1, math.MaxInt64, "0", 0},
	}
	for _, tt := range tests {
		a := ledger.Account{Posted: tt.posted, Held: tt.held, Limit: tt.limit}
		leg := ledger.Leg{Posted: tt.posted, Held: tt.held, Limit: tt.limit}
		got := a.Available()
		if got != leg.Available() {
			t.Errorf("%+v: the account has %+v, its leg %+v", tt, got, leg.Available())
		}
		if exact(got).String() != tt.exact {
			t.Errorf("%+v: got %s", tt, exact(got))
		}
		if got.Clamp() != tt.clamped {
			t.Errorf("%+v: clamped to %d", tt, got.Clamp())
		}
	}
}

func exact(h ledger.Headroom) *big.Int {
	v := new(big.Int).SetUint64(h.Magnitude)
	if h.Negative {
		v.Neg(v)
	}
	return v
}

func TestAvailableIsExact(t *testing.T) {
	amount := rapid.OneOf(rapid.Int64Range(0, math.MaxInt64), rapid.Int64Range(0, 3), rapid.Int64Range(math.MaxInt64-3, math.MaxInt64))
	rapid.Check(t, func(t *rapid.T) {
		a := ledger.Account{Held: amount.Draw(t, "held"), Limit: amount.Draw(t, "limit")}
		a.Posted = rapid.Int64Range(a.Held-math.MaxInt64, math.MaxInt64).Draw(t, "posted")
		want := new(big.Int).Sub(big.NewInt(a.Posted), big.NewInt(a.Held))
		want.Add(want, big.NewInt(a.Limit))
		if got := exact(a.Available()); got.Cmp(want) != 0 {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

func TestInt128(t *testing.T) {
	bigOf := func(v ledger.Int128) *big.Int {
		b := new(big.Int).Lsh(big.NewInt(v.Hi), 64)
		return b.Add(b, new(big.Int).SetUint64(v.Lo))
	}
	edge := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, -1, 0, 1}))
	rapid.Check(t, func(t *rapid.T) {
		var got ledger.Int128
		want := new(big.Int)
		for _, v := range rapid.SliceOf(edge).Draw(t, "terms") {
			got, want = got.Add(v), want.Add(want, big.NewInt(v))
		}
		other := ledger.Int128{Hi: rapid.Int64Range(-1<<61, 1<<61).Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
		if got.String() != want.String() || bigOf(got).Cmp(want) != 0 {
			t.Fatalf("the sum is %s, want %s", got, want)
		}
		if sum := new(big.Int).Add(want, bigOf(other)); got.Plus(other).String() != sum.String() {
			t.Fatalf("%s + %s is %s, want %s", got, other, got.Plus(other), sum)
		}
		if got.Neg().String() != new(big.Int).Neg(want).String() || !got.Plus(got.Neg()).IsZero() {
			t.Fatalf("-%s is %s", got, got.Neg())
		}
		if got.IsZero() != (want.Sign() == 0) {
			t.Fatalf("IsZero of %s is %t", got, got.IsZero())
		}
	})
}

func TestPaymentID(t *testing.T) {
	var last string
	for _, seq := range []uint64{1, 31, 32, 1 << 40, math.MaxInt64, math.MaxUint64} {
		id := string(ledger.AppendPaymentID(nil, seq))
		if got, err := ledger.ParsePaymentID([]byte(id)); err != nil || got != seq {
			t.Errorf("%d became %s became %d, %v", seq, id, got, err)
		}
		if id <= last {
			t.Errorf("%s does not sort after %s", id, last)
		}
		last = id
	}
	if got := string(ledger.AppendPaymentID(nil, 912)); got != "pay_00000000000wg" {
		t.Errorf("the id of 912 is %s", got)
	}
	for _, id := range []string{
		"", "pay_", "pay_0000000000000", "pay_00000000000wg0", "pay_0000000000wg", "pay_g000000000000",
		"pay_z000000000000", "pay_00000000000WG", "pay_00000000000wi", "pay_00000000000w-", "pax_00000000000wg",
	} {
		if seq, err := ledger.ParsePaymentID([]byte(id)); !errors.Is(err, ledger.ErrPaymentID) {
			t.Errorf("%q was read as %d, %v", id, seq, err)
		}
	}
}

func TestPaymentIDRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Uint64Min(1).Draw(t, "a"), rapid.Uint64Min(1).Draw(t, "b")
		x, y := ledger.AppendPaymentID(nil, a), ledger.AppendPaymentID(nil, b)
		if got, err := ledger.ParsePaymentID(x); err != nil || got != a {
			t.Fatalf("%d became %s became %d, %v", a, x, got, err)
		}
		if (a < b) != (string(x) < string(y)) {
			t.Fatalf("%s and %s sort unlike %d and %d", x, y, a, b)
		}
	})
}

func TestCurrency(t *testing.T) {
	for _, code := range []string{"USD", "X00", "ABCDEFGHIJKL"} {
		c, ok := ledger.ParseCurrency([]byte(code))
		if !ok || c.String() != code || string(c.Append([]byte("in "))) != "in "+code {
			t.Errorf("%s was read as %s, %t", code, c, ok)
		}
	}
	for _, code := range []string{"", "US", "usd", "0US", "US_", "US\x00", "ABCDEFGHIJKLM", "ÄÖÜ"} {
		if c, ok := ledger.ParseCurrency([]byte(code)); ok || c != (ledger.Currency{}) {
			t.Errorf("%q was read as %s, %t", code, c, ok)
		}
	}
}

func TestAccountID(t *testing.T) {
	valid := []string{"a", "9", "alice", "Merchant-7", "a.b_c:d-e", strings.Repeat("x", 128), "world:USD", "world", "worldly:1"}
	for _, id := range valid {
		if !ledger.ValidAccountID([]byte(id)) {
			t.Errorf("%q is refused", id)
		}
	}
	for _, id := range []string{"", "-a", ".a", "_a", ":a", "a b", "a/b", "ä", strings.Repeat("x", 129), "world:", "world:usd", "world:US", "world:USD:x"} {
		if ledger.ValidAccountID([]byte(id)) {
			t.Errorf("%q is accepted", id)
		}
	}
	if c, ok := ledger.WorldCurrency([]byte("world:USD")); !ok || string(ledger.AppendWorldID(nil, c)) != "world:USD" {
		t.Errorf("world:USD became %s, %t", c, ok)
	}
	for _, id := range []string{"alice", "world", "world:", "world:usd"} {
		if c, ok := ledger.WorldCurrency([]byte(id)); ok {
			t.Errorf("%q is the world account of %s", id, c)
		}
	}
}

func TestNames(t *testing.T) {
	codes := map[string]bool{}
	for code := ledger.OK; code <= ledger.IdempotencyKeyReused; code++ {
		if code.String() == "" || code.String() == "invalid" || codes[code.String()] {
			t.Errorf("code %d is called %q", code, code)
		}
		codes[code.String()] = true
	}
	for kind := ledger.CreateAccount; kind <= ledger.Expire; kind++ {
		if kind.String() == "invalid" {
			t.Errorf("kind %d has no name", kind)
		}
	}
	if got := ledger.Code(200).String() + ledger.Kind(0).String() + ledger.Kind(99).String(); got != strings.Repeat("invalid", 3) {
		t.Errorf("unknown numbers are called %s", got)
	}
	for _, s := range []ledger.Status{ledger.Active, ledger.Frozen, ledger.Closed} {
		if got, ok := ledger.ParseStatus([]byte(s.String())); !ok || got != s {
			t.Errorf("%s was read as %s, %t", s, got, ok)
		}
	}
	if s, ok := ledger.ParseStatus([]byte("open")); ok {
		t.Errorf("open was read as %s", s)
	}
}
