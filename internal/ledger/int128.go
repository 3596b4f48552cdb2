package ledger

import (
	"math/big"
	"math/bits"
)

// Int128 is a signed total in two's complement. The outside of the ledger and
// the sums over all accounts can exceed an int64; no single account can.
type Int128 struct {
	Hi int64
	Lo uint64
}

// Add returns t + v.
func (t Int128) Add(v int64) Int128 { return t.Plus(Int128{Hi: v >> 63, Lo: uint64(v)}) }

// Plus returns t + u.
func (t Int128) Plus(u Int128) Int128 {
	lo, carry := bits.Add64(t.Lo, u.Lo, 0)
	return Int128{Hi: t.Hi + u.Hi + int64(carry), Lo: lo}
}

// Neg returns -t.
func (t Int128) Neg() Int128 {
	lo, borrow := bits.Sub64(0, t.Lo, 0)
	return Int128{Hi: -t.Hi - int64(borrow), Lo: lo}
}

// IsZero reports whether t is 0.
func (t Int128) IsZero() bool { return t.Hi == 0 && t.Lo == 0 }

// String returns t in decimal.
func (t Int128) String() string {
	v := new(big.Int).Lsh(big.NewInt(t.Hi), 64)
	return v.Add(v, new(big.Int).SetUint64(t.Lo)).String()
}
