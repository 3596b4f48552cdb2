package transport

import (
	"strconv"

	"purser/internal/ledger"
)

// appendPayment appends payment p in the state after its event last, whose legs
// are the balances.
func appendPayment(dst []byte, p *ledger.Payment, last *ledger.Record) []byte {
	dst = append(dst, `{"id":"`...)
	dst = ledger.AppendPaymentID(dst, p.Seq)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendUint(dst, p.Seq, 10)
	dst = append(dst, `,"status":"`...)
	dst = append(dst, last.State.Status.String()...)
	dst = append(dst, `","source":"`...)
	dst = append(dst, p.Source...)
	dst = append(dst, `","destination":"`...)
	dst = append(dst, p.Destination...)
	dst = append(dst, `","amount":`...)
	dst = appendAmount(dst, p.Amount)
	dst = append(dst, `,"captured":`...)
	dst = appendAmount(dst, last.State.Captured)
	dst = append(dst, `,"refunded":`...)
	dst = appendAmount(dst, last.State.Refunded)
	dst = append(dst, `,"currency":"`...)
	dst = p.Currency.Append(dst)
	dst = append(dst, `","reference":`...)
	if len(p.Reference) > 0 {
		dst = appendText(dst, p.Reference)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"metadata":`...)
	dst = appendMetadata(dst, p.Metadata)
	dst = append(dst, `,"created_at":`...)
	dst = appendTime(dst, p.CreatedAt)
	dst = append(dst, `,"expires_at":`...)
	dst = appendTimeOrNull(dst, p.ExpiresAt)
	dst = append(dst, `,"source_balance":`...)
	dst = appendBalance(dst, &last.Source)
	dst = append(dst, `,"destination_balance":`...)
	dst = appendBalance(dst, &last.Destination)
	return append(dst, '}')
}

// appendBalance appends an account's balance right after an event, null for a
// world account.
func appendBalance(dst []byte, l *ledger.Leg) []byte {
	if l.World {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"posted":`...)
	dst = appendAmount(dst, l.Posted)
	dst = append(dst, `,"held":`...)
	dst = appendAmount(dst, l.Held)
	dst = append(dst, `,"available":`...)
	dst = appendHeadroom(dst, l.Available(), l.Unlimited)
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendUint(dst, l.Version, 10)
	return append(dst, '}')
}

// recordStatus is the HTTP status of the response to rec.
func recordStatus(rec *ledger.Record) int {
	if rec.Code != ledger.OK {
		return meanings[refusals[rec.Code]].status
	}
	switch rec.Command.Kind {
	case ledger.Pay, ledger.Authorize:
		return 201
	case ledger.CreateAccount:
		if rec.Account.Created {
			return 201
		}
	}
	return 200
}

// appendRecord appends the body of the response to rec. For commands with an
// idempotency key it depends on nothing but rec: a replay has to repeat it byte
// for byte. requestID is the request's, used where nothing is remembered.
func appendRecord(dst []byte, rec *ledger.Record, requestID []byte) []byte {
	switch {
	case rec.Code != ledger.OK:
		return appendRefusal(dst, rec, requestID)
	case rec.Account != nil:
		return appendAccount(dst, rec.Account)
	case rec.Command.Kind.OnPayment():
		return appendPayment(dst, rec.Payment, rec)
	}
	return appendPayment(dst, ledger.PaymentOf(rec), rec)
}
