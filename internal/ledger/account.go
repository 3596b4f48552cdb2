package ledger

import "math"

// Status is an account's state. The numbers are stored; they never change.
type Status uint8

const (
	Active Status = 1 + iota // debits and credits
	Frozen                   // credits only
	Closed                   // neither; final, and only with nothing posted or held
)

// String returns the status as the API spells it.
func (s Status) String() string {
	switch s {
	case Active:
		return "active"
	case Frozen:
		return "frozen"
	case Closed:
		return "closed"
	}
	return "invalid"
}

// ParseStatus is the inverse of String; ok is false for any other text.
func ParseStatus(text []byte) (s Status, ok bool) {
	for _, s := range [...]Status{Active, Frozen, Closed} {
		if string(text) == s.String() {
			return s, true
		}
	}
	return 0, false
}

// Account is the state of one account, in minor units of one currency. It holds
// no pointer, so a page of accounts costs the garbage collector nothing. Its id
// and metadata live beside it, in the page.
//
// Invariants: Held >= 0, Limit >= 0, Posted - Held >= -MaxInt64, and for an
// account with a limit that was never lowered, Posted + Limit - Held >= 0.
type Account struct {
	Number    uint64 // seq of the command that created it: unique, never reused
	Posted    int64  // the balance of all captured movements
	Held      int64  // reserved by open authorizations
	Limit     int64  // overdraft limit; meaningless when Unlimited
	Version   uint64 // grows by one with every change; 1 at creation
	CreatedAt Micros
	UpdatedAt Micros
	LastSeq   uint64 // seq of the newest posting, 0 for none: head of the backward chain
	Postings  uint64 // how many postings the chain has
	Currency  Currency
	Status    Status
	Unlimited bool
}

// Headroom is what the account can still spend: posted + limit - held, exactly.
// The sum can exceed an int64 on the positive side, hence sign and magnitude.
type Headroom struct {
	Negative  bool
	Magnitude uint64
}

// Available returns posted + overdraft limit - held. It is meaningless for an
// account without a limit.
func (a *Account) Available() Headroom { return available(a.Posted, a.Held, a.Limit) }

func available(posted, held, limit int64) Headroom {
	free := posted - held // never overflows: an invariant of Account
	if free >= 0 {
		return Headroom{Magnitude: uint64(free) + uint64(limit)}
	}
	sum := free + limit
	if sum < 0 {
		return Headroom{Negative: true, Magnitude: uint64(-sum)}
	}
	return Headroom{Magnitude: uint64(sum)}
}

// Clamp returns the headroom as an int64, cut to its range.
func (h Headroom) Clamp() int64 {
	m := int64(min(h.Magnitude, math.MaxInt64))
	if h.Negative {
		return -m
	}
	return m
}

// spend returns the refusal of taking or reserving amount, or OK.
func (a *Account) spend(amount int64) Code {
	free := a.Posted - a.Held
	switch {
	case free < -math.MaxInt64+amount: // free - amount would leave the invariant's range
		if a.Unlimited {
			return BalanceOverflow
		}
		return InsufficientFunds
	case !a.Unlimited && free-amount < -a.Limit:
		return InsufficientFunds
	}
	return OK
}

// leaves reports whether at least floor is available after amount is taken.
func (a *Account) leaves(amount, floor int64) bool {
	free := a.Posted - a.Held
	if a.Unlimited {
		return true
	}
	return free >= -math.MaxInt64+amount && free-amount >= floor-a.Limit
}

// takes reports whether a credit of amount keeps posted within an int64.
func (a *Account) takes(amount int64) bool { return a.Posted <= math.MaxInt64-amount }
