package transport

import (
	"math"

	"purser/internal/ledger"
)

// maxReferenceLen is the longest reference, in bytes.
const maxReferenceLen = 255

const (
	fieldSource = 1 << iota
	fieldDestination
	fieldAmount
	fieldCurrency
	fieldCapture
	fieldExpiresIn
	fieldReference
	fieldMetadata
	fieldConditions
	fieldKey
	fieldFinal
)

// decodePayment reads the body of POST /v1/payments into c, in canonical form:
// what may be left out is filled in.
func decodePayment(d *decoder, c *ledger.Command) {
	decodePaymentObject(d, c, "")
	d.end()
}

// decodeBatchItem reads one payment of a batch, with its key.
func decodeBatchItem(d *decoder, c *ledger.Command) {
	decodePaymentObject(d, c, "idempotency_key")
}

// decodePaymentObject reads a payment that may have a field named keyField, which
// is none if that is empty.
func decodePaymentObject(d *decoder, c *ledger.Command, keyField string) {
	c.Kind, c.ExpiresIn = ledger.Pay, ledger.DefaultExpiry
	if !d.open("") {
		return
	}
	var o object
	for d.next(&o) {
		switch string(o.name) {
		case "source":
			if d.once(&o, fieldSource) {
				c.Source = d.accountID("source")
			}
		case "destination":
			if d.once(&o, fieldDestination) {
				c.Destination = d.accountID("destination")
			}
		case "amount":
			if d.once(&o, fieldAmount) {
				c.Amount = d.amount("amount")
			}
		case "currency":
			if d.once(&o, fieldCurrency) {
				c.Currency = d.currency("currency")
			}
		case "capture":
			if d.once(&o, fieldCapture) && !d.bool("capture") {
				c.Kind = ledger.Authorize
			}
		case "expires_in":
			if d.once(&o, fieldExpiresIn) {
				c.ExpiresIn = d.integer("expires_in", 1, ledger.MaxExpiry, "must be an integer from 1 to 2592000")
			}
		case "reference":
			if d.once(&o, fieldReference) {
				c.Reference = d.reference("reference")
			}
		case "metadata":
			if d.once(&o, fieldMetadata) {
				c.Metadata = d.metadata("metadata")
			}
		case "conditions":
			if d.once(&o, fieldConditions) {
				d.conditions(c)
			}
		default:
			if keyField == "" || string(o.name) != keyField {
				d.unknown(&o)
			} else if d.once(&o, fieldKey) {
				c.Key = d.key(keyField)
			}
		}
	}
	d.requirePayment(c, o.seen, keyField)
}

// requirePayment refuses a payment without what has no default, and fills in the
// default destination.
func (d *decoder) requirePayment(c *ledger.Command, seen uint32, keyField string) {
	const missing = "the field is required"
	switch {
	case d.failed():
	case keyField != "" && seen&fieldKey == 0:
		d.fail(codeKeyMissing, []byte(keyField), missing)
	case seen&fieldSource == 0:
		d.invalid("source", missing)
	case seen&fieldAmount == 0:
		d.invalid("amount", missing)
	case seen&fieldCurrency == 0:
		d.invalid("currency", missing)
	case seen&fieldDestination == 0:
		from := len(d.scratch)
		d.scratch = ledger.AppendWorldID(d.scratch, c.Currency)
		c.Destination = d.scratch[from:]
	}
}

func (d *decoder) conditions(c *ledger.Command) {
	const (
		fieldSourceVersion = 1 << iota
		fieldMinAvailableAfter
	)
	if !d.open("conditions") {
		return
	}
	d.prefix = "conditions."
	var o object
	for d.next(&o) {
		switch string(o.name) {
		case "source_version":
			if d.once(&o, fieldSourceVersion) {
				v := d.integer("source_version", 0, math.MaxInt64, "must be an integer of at least 0")
				c.SourceVersion = ledger.Optional{Set: true, Value: v}
			}
		case "min_available_after":
			if d.once(&o, fieldMinAvailableAfter) {
				c.MinAvailableAfter = ledger.Optional{Set: true, Value: d.natural("min_available_after")}
			}
		default:
			d.unknown(&o)
		}
	}
	d.prefix = ""
}

// decodeCapture reads the body of POST /v1/payments/{id}/capture.
func decodeCapture(d *decoder, c *ledger.Command) {
	c.Final = true
	if !d.open("") {
		return
	}
	var o object
	for d.next(&o) {
		switch string(o.name) {
		case "amount":
			if d.once(&o, fieldAmount) {
				c.Amount = d.amount("amount")
			}
		case "final":
			if d.once(&o, fieldFinal) {
				c.Final = d.bool("final")
			}
		default:
			d.unknown(&o)
		}
	}
	d.end()
}

// decodeVoid reads the body of POST /v1/payments/{id}/void, which has no fields.
func decodeVoid(d *decoder, _ *ledger.Command) {
	if !d.open("") {
		return
	}
	for o := (object{}); d.next(&o); {
		d.unknown(&o)
	}
	d.end()
}

// decodeRefund reads the body of POST /v1/payments/{id}/refund.
func decodeRefund(d *decoder, c *ledger.Command) {
	if !d.open("") {
		return
	}
	var o object
	for d.next(&o) {
		switch string(o.name) {
		case "amount":
			if d.once(&o, fieldAmount) {
				c.Amount = d.amount("amount")
			}
		default:
			d.unknown(&o)
		}
	}
	d.end()
}
