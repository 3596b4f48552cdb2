package transport

import (
	"strconv"

	"purser/internal/ledger"
)

// code is a stable error code of the API. Each has exactly one HTTP status.
type code uint8

const (
	noCode code = iota
	codeInvalidJSON
	codeInvalidRequest
	codeUnknownField
	codeKeyMissing
	codeKeyInvalid
	codeUnauthenticated
	codeForbidden
	codeInsufficientFunds
	codeNotFound
	codeAccountNotFound
	codePaymentNotFound
	codeKeyNotFound
	codeMethodNotAllowed
	codeAccountExists
	codeAccountFrozen
	codeAccountClosed
	codeAccountNotEmpty
	codePaymentNotOpen
	codePaymentNotRefundable
	codeInProgress
	codeVersionMismatch
	codeConditionFailed
	codeBodyTooLarge
	codeUnsupportedMediaType
	codeCurrencyMismatch
	codeSameAccount
	codeExceedsAuthorized
	codeExceedsCaptured
	codeBalanceOverflow
	codeKeyReused
	codeRateLimited
	codeInternal
	codeNoLeader
	codeOverloaded
	codeDraining
	codeStorageFull
	codeOutcomeUnknown
	codes
)

// meaning is what a code tells a client. A retryable error may go away when the
// same request is sent again; retryAfter makes it say when, in seconds.
type meaning struct {
	name       string
	status     int
	title      string
	retryable  bool
	retryAfter int
}

var meanings = [codes]meaning{
	codeInvalidJSON:          {name: "invalid_json", status: 400, title: "Invalid JSON"},
	codeInvalidRequest:       {name: "invalid_request", status: 400, title: "Invalid request"},
	codeUnknownField:         {name: "unknown_field", status: 400, title: "Unknown field"},
	codeKeyMissing:           {name: "idempotency_key_missing", status: 400, title: "Idempotency key missing"},
	codeKeyInvalid:           {name: "idempotency_key_invalid", status: 400, title: "Idempotency key invalid"},
	codeUnauthenticated:      {name: "unauthenticated", status: 401, title: "Unauthenticated"},
	codeForbidden:            {name: "forbidden", status: 403, title: "Forbidden"},
	codeInsufficientFunds:    {name: "insufficient_funds", status: 402, title: "Insufficient funds"},
	codeNotFound:             {name: "not_found", status: 404, title: "Not found"},
	codeAccountNotFound:      {name: "account_not_found", status: 404, title: "Account not found"},
	codePaymentNotFound:      {name: "payment_not_found", status: 404, title: "Payment not found"},
	codeKeyNotFound:          {name: "idempotency_key_not_found", status: 404, title: "Idempotency key not found"},
	codeMethodNotAllowed:     {name: "method_not_allowed", status: 405, title: "Method not allowed"},
	codeAccountExists:        {name: "account_exists", status: 409, title: "Account exists"},
	codeAccountFrozen:        {name: "account_frozen", status: 409, title: "Account frozen"},
	codeAccountClosed:        {name: "account_closed", status: 409, title: "Account closed"},
	codeAccountNotEmpty:      {name: "account_not_empty", status: 409, title: "Account not empty"},
	codePaymentNotOpen:       {name: "payment_not_open", status: 409, title: "Payment not open"},
	codePaymentNotRefundable: {name: "payment_not_refundable", status: 409, title: "Payment not refundable"},
	codeInProgress:           {name: "idempotency_in_progress", status: 409, title: "Request in progress", retryable: true, retryAfter: 1},
	codeVersionMismatch:      {name: "version_mismatch", status: 412, title: "Version mismatch"},
	codeConditionFailed:      {name: "condition_failed", status: 412, title: "Condition failed"},
	codeBodyTooLarge:         {name: "body_too_large", status: 413, title: "Body too large"},
	codeUnsupportedMediaType: {name: "unsupported_media_type", status: 415, title: "Unsupported media type"},
	codeCurrencyMismatch:     {name: "currency_mismatch", status: 422, title: "Currency mismatch"},
	codeSameAccount:          {name: "same_account", status: 422, title: "Same account"},
	codeExceedsAuthorized:    {name: "amount_exceeds_authorized", status: 422, title: "Amount exceeds authorized"},
	codeExceedsCaptured:      {name: "amount_exceeds_captured", status: 422, title: "Amount exceeds captured"},
	codeBalanceOverflow:      {name: "balance_overflow", status: 422, title: "Balance overflow"},
	codeKeyReused:            {name: "idempotency_key_reused", status: 422, title: "Idempotency key reused"},
	codeRateLimited:          {name: "rate_limited", status: 429, title: "Rate limited", retryable: true, retryAfter: 1},
	codeInternal:             {name: "internal", status: 500, title: "Internal error"},
	codeNoLeader:             {name: "no_leader", status: 503, title: "No leader", retryable: true, retryAfter: 1},
	codeOverloaded:           {name: "overloaded", status: 503, title: "Overloaded", retryable: true, retryAfter: 1},
	codeDraining:             {name: "draining", status: 503, title: "Draining", retryable: true, retryAfter: 1},
	codeStorageFull:          {name: "storage_full", status: 503, title: "Storage full", retryable: true, retryAfter: 30},
	codeOutcomeUnknown:       {name: "outcome_unknown", status: 504, title: "Outcome unknown", retryable: true},
}

// refusals maps the ledger's refusals to codes.
var refusals = [...]code{
	ledger.AccountNotFound:         codeAccountNotFound,
	ledger.PaymentNotFound:         codePaymentNotFound,
	ledger.AccountClosed:           codeAccountClosed,
	ledger.AccountFrozen:           codeAccountFrozen,
	ledger.CurrencyMismatch:        codeCurrencyMismatch,
	ledger.SameAccount:             codeSameAccount,
	ledger.PaymentNotOpen:          codePaymentNotOpen,
	ledger.PaymentNotRefundable:    codePaymentNotRefundable,
	ledger.VersionMismatch:         codeVersionMismatch,
	ledger.ConditionFailed:         codeConditionFailed,
	ledger.AmountExceedsAuthorized: codeExceedsAuthorized,
	ledger.AmountExceedsCaptured:   codeExceedsCaptured,
	ledger.BalanceOverflow:         codeBalanceOverflow,
	ledger.InsufficientFunds:       codeInsufficientFunds,
	ledger.AccountExists:           codeAccountExists,
	ledger.AccountNotEmpty:         codeAccountNotEmpty,
	ledger.IdempotencyKeyReused:    codeKeyReused,
}

func (c code) String() string { return meanings[c].name }

// problemHeads hold each code's part of a problem up to the text of its detail,
// problemTails what follows up to the text of its request id.
var problemHeads, problemTails = renderMeanings()

func renderMeanings() (heads, tails [codes]string) {
	for c, m := range meanings {
		heads[c] = `{"type":"/problems/` + m.name + `","title":"` + m.title +
			`","status":` + strconv.Itoa(m.status) + `,"code":"` + m.name + `","detail":"`
		tails[c] = `,"retryable":` + strconv.FormatBool(m.retryable) + `,"request_id":"`
	}
	return heads, tails
}
