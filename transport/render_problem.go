package transport

import (
	"strconv"

	"purser/internal/ledger"
)

// appendFault appends the problem that f is to the request.
func appendFault(dst []byte, f fault, requestID []byte) []byte {
	dst = append(dst, problemHeads[f.code]...)
	dst = appendEscaped(dst, []byte(f.detail))
	dst = append(dst, '"')
	if len(f.param) > 0 {
		dst = append(dst, `,"param":`...)
		dst = appendText(dst, f.param)
	}
	return appendProblemEnd(dst, f.code, requestID)
}

func appendProblemEnd(dst []byte, c code, requestID []byte) []byte {
	dst = append(dst, problemTails[c]...)
	dst = appendEscaped(dst, requestID)
	return append(dst, '"', '}')
}

// appendConflict appends the problem of a known idempotency key with another
// request. param is the first field that differs.
func appendConflict(dst []byte, param string, requestID []byte) []byte {
	return appendFault(dst, fault{
		code:   codeKeyReused,
		param:  []byte(param),
		detail: "the idempotency key was used for another request; " + param + " differs",
	}, requestID)
}

// appendExecutionID appends the request id that a remembered refusal carries. It
// comes from the record, since a replay must repeat the body.
func appendExecutionID(dst []byte, seq uint64) []byte {
	const base = 32
	dst = append(dst, "req_"...)
	start := len(dst)
	dst = append(dst, "0000000000000"...) // 13 digits of 5 bits
	for i := len(dst) - 1; i >= start; i-- {
		dst[i] = "0123456789abcdefghjkmnpqrstvwxyz"[seq%base]
		seq /= base
	}
	return dst
}

// appendRefusal appends the problem that a committed refusal is.
func appendRefusal(dst []byte, rec *ledger.Record, requestID []byte) []byte {
	c := refusals[rec.Code]
	dst = append(dst, problemHeads[c]...)
	dst = appendRefusalDetail(dst, rec)
	dst = append(dst, '"')
	if param := refusalParam(rec); param != "" {
		dst = append(dst, `,"param":"`...)
		dst = append(dst, param...)
		dst = append(dst, '"')
	}
	if account := refusedAccount(rec); account != nil {
		dst = append(dst, `,"account":`...)
		dst = appendText(dst, account)
	}
	switch rec.Code {
	case ledger.InsufficientFunds, ledger.ConditionFailed,
		ledger.AmountExceedsAuthorized, ledger.AmountExceedsCaptured:
		dst = append(dst, `,"available":`...)
		dst = appendAmount(dst, rec.Have)
		dst = append(dst, `,"required":`...)
		dst = appendAmount(dst, rec.Need)
	}
	if rec.Command.Kind.Keyed() {
		var buf [32]byte
		requestID = appendExecutionID(buf[:0], rec.Seq)
	}
	return appendProblemEnd(dst, c, requestID)
}

// appendRefusalDetail appends words that need no escaping.
func appendRefusalDetail(dst []byte, rec *ledger.Record) []byte {
	numbers := func(before, between, after string) []byte {
		dst = append(dst, before...)
		dst = strconv.AppendInt(dst, rec.Have, 10)
		dst = append(dst, between...)
		dst = strconv.AppendInt(dst, rec.Need, 10)
		return append(dst, after...)
	}
	switch rec.Code {
	case ledger.InsufficientFunds:
		return numbers("available ", ", required ", "")
	case ledger.ConditionFailed:
		return numbers("available ", " before the payment, at least ", " required after it")
	case ledger.AmountExceedsAuthorized:
		return numbers("still held ", ", required ", "")
	case ledger.AmountExceedsCaptured:
		return numbers("refundable ", ", required ", "")
	case ledger.VersionMismatch:
		return numbers("version ", ", expected ", "")
	case ledger.AccountNotEmpty:
		return numbers("posted ", ", held ", ", both must be 0")
	}
	return append(dst, refusalDetails[rec.Code]...)
}

var refusalDetails = [...]string{
	ledger.AccountNotFound:      "there is no such account",
	ledger.PaymentNotFound:      "there is no such payment",
	ledger.AccountClosed:        "the account is closed",
	ledger.AccountFrozen:        "the account is frozen: it cannot be debited",
	ledger.CurrencyMismatch:     "the account has another currency",
	ledger.SameAccount:          "source and destination are the same account",
	ledger.PaymentNotOpen:       "nothing is held for the payment",
	ledger.PaymentNotRefundable: "nothing of the payment is left to refund",
	ledger.BalanceOverflow:      "the balance of the account would leave its range",
	ledger.AccountExists:        "the account exists with another definition",
}

// refusalParam names the field of the request that a refusal is about.
func refusalParam(rec *ledger.Record) string {
	onAccount := rec.Command.Kind == ledger.CreateAccount || rec.Command.Kind == ledger.UpdateAccount
	switch rec.Code {
	case ledger.AccountNotFound, ledger.AccountClosed, ledger.AccountFrozen:
		switch {
		case onAccount:
			return "id"
		case rec.Party == ledger.DestinationParty:
			return "destination"
		}
		return "source"
	case ledger.PaymentNotFound, ledger.PaymentNotOpen, ledger.PaymentNotRefundable, ledger.AccountExists:
		return "id"
	case ledger.CurrencyMismatch:
		return "currency"
	case ledger.SameAccount:
		return "destination"
	case ledger.VersionMismatch:
		if onAccount {
			return headerIfMatch
		}
		return "conditions.source_version"
	case ledger.ConditionFailed:
		return "conditions.min_available_after"
	case ledger.InsufficientFunds, ledger.BalanceOverflow,
		ledger.AmountExceedsAuthorized, ledger.AmountExceedsCaptured:
		return "amount"
	case ledger.AccountNotEmpty:
		return "status"
	}
	return ""
}

// refusedAccount is the id of the account that a refusal is about, nil for none.
func refusedAccount(rec *ledger.Record) []byte {
	source, destination := rec.Command.Source, rec.Command.Destination
	if rec.Payment != nil {
		source, destination = rec.Payment.Source, rec.Payment.Destination
	}
	switch rec.Party {
	case ledger.SourceParty:
		return source
	case ledger.DestinationParty:
		return destination
	}
	return nil
}
