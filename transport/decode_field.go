package transport

import "purser/internal/ledger"

// The readers of single fields that several bodies share. Each fails with param
// when the value breaks the field's rule.

func (d *decoder) accountID(param string) []byte {
	id := d.str(param)
	if !d.failed() && !ledger.ValidAccountID(id) {
		d.invalid(param, accountIDRule)
		return nil
	}
	return id
}

const accountIDRule = "must be 1 to 128 of A-Z a-z 0-9 . _ : - with a letter or digit first; " +
	"world: is reserved and takes a currency"

func (d *decoder) currency(param string) ledger.Currency {
	c, ok := ledger.ParseCurrency(d.str(param))
	if !ok {
		d.invalid(param, "must be a currency code of 3 to 12 of A-Z 0-9 with a letter first")
	}
	return c
}

func (d *decoder) reference(param string) []byte {
	ref := d.str(param)
	if len(ref) > maxReferenceLen {
		d.invalid(param, "must have at most 255 bytes")
		return nil
	}
	return ref
}

func (d *decoder) key(param string) []byte {
	text := d.str(param)
	if d.failed() {
		return nil
	}
	key, _, ok := parseKey(text, nil) // as in the header, so that a key is one key wherever it stands
	if !ok {
		d.fail(codeKeyInvalid, []byte(param), keyRule)
		return nil
	}
	return key
}

// metadata reads an object of strings into its canonical form.
func (d *decoder) metadata(param string) ledger.Metadata {
	if !d.open(param) {
		return nil
	}
	d.pairs = d.pairs[:0]
	for o := (object{}); d.next(&o); {
		value := d.str(param)
		switch {
		case d.failed():
		case len(d.pairs) == ledger.MaxMetadataPairs:
			d.invalid(param, "must have at most 16 pairs")
		case len(o.name) == 0 || len(o.name) > ledger.MaxMetadataKeyLen:
			d.invalid(param, "must have keys of 1 to 40 bytes")
		case len(value) > ledger.MaxMetadataValueLen:
			d.invalid(param, "must have values of at most 200 bytes")
		case d.paired(o.name):
			d.invalid(param, "must not have a key twice")
		}
		d.pairs = append(d.pairs, ledger.Pair{Key: o.name, Value: value})
	}
	if d.failed() || len(d.pairs) == 0 {
		return nil
	}
	from := len(d.scratch)
	d.scratch = ledger.AppendMetadata(d.scratch, d.pairs)
	return ledger.Metadata(d.scratch[from:])
}

// paired reports whether key was read before; there are at most 16.
func (d *decoder) paired(key []byte) bool {
	for _, p := range d.pairs {
		if string(p.Key) == string(key) {
			return true
		}
	}
	return false
}
