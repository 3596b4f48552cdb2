package transport

import (
	"strconv"

	"purser/internal/ledger"
)

func appendAccount(dst []byte, a *ledger.AccountView) []byte {
	if a.Outside != nil {
		return appendWorld(dst, a)
	}
	dst = append(dst, `{"id":"`...)
	dst = append(dst, a.ID...)
	dst = append(dst, `","currency":"`...)
	dst = a.Currency.Append(dst)
	dst = append(dst, `","status":"`...)
	dst = append(dst, a.Status.String()...)
	dst = append(dst, `","posted":`...)
	dst = appendAmount(dst, a.Posted)
	dst = append(dst, `,"held":`...)
	dst = appendAmount(dst, a.Held)
	dst = append(dst, `,"available":`...)
	dst = appendHeadroom(dst, a.Available(), a.Unlimited)
	dst = append(dst, `,"overdraft_limit":`...)
	dst = appendHeadroom(dst, ledger.Headroom{Magnitude: uint64(a.Limit)}, a.Unlimited)
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendUint(dst, a.Version, 10)
	dst = append(dst, `,"created_at":`...)
	dst = appendTime(dst, a.CreatedAt)
	dst = append(dst, `,"updated_at":`...)
	dst = appendTime(dst, a.UpdatedAt)
	dst = append(dst, `,"metadata":`...)
	dst = appendMetadata(dst, a.Metadata)
	return append(dst, '}')
}

// appendWorld appends a world account, which has a total and nothing else.
func appendWorld(dst []byte, a *ledger.AccountView) []byte {
	dst = append(dst, `{"id":"`...)
	dst = append(dst, a.ID...)
	dst = append(dst, `","currency":"`...)
	dst = a.Currency.Append(dst)
	dst = append(dst, `","status":"active","posted":"`...)
	dst = append(dst, a.Outside.String()...)
	return append(dst, `","held":"0","available":"unlimited","overdraft_limit":"unlimited",`+
		`"version":0,"created_at":null,"updated_at":null,"metadata":{}}`...)
}

// appendETag appends the entity tag of an account's version.
func appendETag(dst []byte, version uint64) []byte {
	dst = append(dst, '"')
	dst = strconv.AppendUint(dst, version, 10)
	return append(dst, '"')
}

// appendEntry appends one line of an account's history.
func appendEntry(dst []byte, e *ledger.EntryView) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, e.Seq, 10)
	dst = append(dst, `,"payment":"`...)
	dst = ledger.AppendPaymentID(dst, e.Payment)
	dst = append(dst, `","kind":"`...)
	dst = append(dst, e.Kind.String()...)
	dst = append(dst, `","direction":"`...)
	dst = append(dst, e.Direction.String()...)
	dst = append(dst, `","amount":`...)
	dst = appendAmount(dst, e.Amount)
	if e.Balance.World {
		dst = append(dst, `,"posted":null,"held":null,"version":null`...)
	} else {
		dst = append(dst, `,"posted":`...)
		dst = appendAmount(dst, e.Balance.Posted)
		dst = append(dst, `,"held":`...)
		dst = appendAmount(dst, e.Balance.Held)
		dst = append(dst, `,"version":`...)
		dst = strconv.AppendUint(dst, e.Balance.Version, 10)
	}
	dst = append(dst, `,"counterparty":"`...)
	dst = append(dst, e.Counterparty...)
	dst = append(dst, `","created_at":`...)
	dst = appendTime(dst, e.Time)
	return append(dst, '}')
}
