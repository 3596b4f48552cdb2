package transport

import "purser/internal/ledger"

const (
	fieldLimit = 1 << iota
	fieldStatus
	fieldAccountCurrency
	fieldAccountMetadata
)

const unlimited = "unlimited"

// decodeAccount reads the body of PUT /v1/accounts/{id} into c.
func decodeAccount(d *decoder, c *ledger.Command) {
	c.Kind = ledger.CreateAccount
	if !d.open("") {
		return
	}
	var o object
	for d.next(&o) {
		switch string(o.name) {
		case "currency":
			if d.once(&o, fieldAccountCurrency) {
				c.Currency = d.currency("currency")
			}
		case "overdraft_limit":
			if d.once(&o, fieldLimit) {
				c.Limit, c.Unlimited = d.limit("overdraft_limit")
			}
		case "metadata":
			if d.once(&o, fieldAccountMetadata) {
				c.Metadata = d.metadata("metadata")
			}
		default:
			d.unknown(&o)
		}
	}
	if o.seen&fieldAccountCurrency == 0 {
		d.invalid("currency", "the field is required")
	}
	d.end()
}

// decodeAccountPatch reads the body of PATCH /v1/accounts/{id} into c.
func decodeAccountPatch(d *decoder, c *ledger.Command) {
	c.Kind = ledger.UpdateAccount
	if !d.open("") {
		return
	}
	var o object
	for d.next(&o) {
		switch string(o.name) {
		case "overdraft_limit":
			if d.once(&o, fieldLimit) {
				c.Sets |= ledger.SetsLimit
				c.Limit, c.Unlimited = d.limit("overdraft_limit")
			}
		case "status":
			if d.once(&o, fieldStatus) {
				c.Sets |= ledger.SetsStatus
				c.Status = d.status("status")
			}
		case "metadata":
			if d.once(&o, fieldAccountMetadata) {
				c.Sets |= ledger.SetsMetadata
				c.Metadata = d.metadata("metadata")
			}
		default:
			d.unknown(&o)
		}
	}
	d.end()
}

// limit reads an overdraft limit: an amount, or the word for none.
func (d *decoder) limit(param string) (limit int64, none bool) {
	text := d.digitsOrString(param)
	if string(text) == unlimited {
		return 0, true
	}
	limit, ok := parseNatural(text)
	if !ok {
		d.invalid(param, "must be decimal digits of a number up to 9223372036854775807, or \"unlimited\"")
	}
	return limit, false
}

func (d *decoder) status(param string) ledger.Status {
	s, ok := ledger.ParseStatus(d.str(param))
	if !ok {
		d.invalid(param, "must be active, frozen or closed")
	}
	return s
}
