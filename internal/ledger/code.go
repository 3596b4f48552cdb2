package ledger

// Code is the outcome of a command. Everything but OK is a refusal: a committed
// decision, kept and replayed like a success. The numbers are stored in the
// journal; they never change meaning.
type Code uint8

const (
	OK                      Code = 0
	AccountNotFound         Code = 1
	PaymentNotFound         Code = 2
	AccountClosed           Code = 3
	AccountFrozen           Code = 4
	CurrencyMismatch        Code = 5
	SameAccount             Code = 6
	PaymentNotOpen          Code = 7
	PaymentNotRefundable    Code = 8
	VersionMismatch         Code = 9
	ConditionFailed         Code = 10
	AmountExceedsAuthorized Code = 11
	AmountExceedsCaptured   Code = 12
	BalanceOverflow         Code = 13
	InsufficientFunds       Code = 14
	AccountExists           Code = 15
	AccountNotEmpty         Code = 16
	// IdempotencyKeyReused is answered for a known key with another request. It
	// decides nothing, so it has no journal row.
	IdempotencyKeyReused Code = 17
)

var codeNames = [...]string{
	OK:                      "ok",
	AccountNotFound:         "account_not_found",
	PaymentNotFound:         "payment_not_found",
	AccountClosed:           "account_closed",
	AccountFrozen:           "account_frozen",
	CurrencyMismatch:        "currency_mismatch",
	SameAccount:             "same_account",
	PaymentNotOpen:          "payment_not_open",
	PaymentNotRefundable:    "payment_not_refundable",
	VersionMismatch:         "version_mismatch",
	ConditionFailed:         "condition_failed",
	AmountExceedsAuthorized: "amount_exceeds_authorized",
	AmountExceedsCaptured:   "amount_exceeds_captured",
	BalanceOverflow:         "balance_overflow",
	InsufficientFunds:       "insufficient_funds",
	AccountExists:           "account_exists",
	AccountNotEmpty:         "account_not_empty",
	IdempotencyKeyReused:    "idempotency_key_reused",
}

// String returns the code as the API spells it.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "invalid"
}

// Party says which account a refusal is about.
type Party uint8

const (
	NoParty Party = iota
	SourceParty
	DestinationParty
)
