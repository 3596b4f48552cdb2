package ledger

import "encoding/binary"

// Flags of an encoded command. Their meaning is part of the log format.
const (
	flagFinal = 1 << iota
	flagUnlimited
	flagSourceVersion
	flagMinAvailable
	flagIfVersion
	flagReference
	flagMetadata
)

const knownFlags = 1<<7 - 1

// AppendCommand appends the encoding of c:
//
//	+------+-------+-----+----------------------------------------------+
//	| kind | flags | key | fields of the kind                           |
//	+------+-------+-----+----------------------------------------------+
//	Pay, Authorize          source destination currency amount expires_in
//	                        [source_version] [min_available] [reference] [metadata]
//	Capture, Refund         payment amount
//	Void, Expire            payment
//	CreateAccount           account currency limit [metadata]
//	UpdateAccount           account sets limit status [if_version] [metadata]
//
// kind and flags are one byte, a currency is 12, a string is a uvarint length
// and its bytes, every number is a uvarint.
func AppendCommand(dst []byte, c *Command) []byte {
	dst = append(dst, byte(c.Kind), c.flags())
	dst = appendBytes(dst, c.Key)
	switch c.Kind {
	case Pay, Authorize:
		dst = appendBytes(dst, c.Source)
		dst = appendBytes(dst, c.Destination)
		dst = append(dst, c.Currency[:]...)
		dst = binary.AppendUvarint(dst, uint64(c.Amount))
		dst = binary.AppendUvarint(dst, uint64(c.ExpiresIn))
		dst = appendOptional(dst, c.SourceVersion)
		dst = appendOptional(dst, c.MinAvailableAfter)
		if len(c.Reference) > 0 {
			dst = appendBytes(dst, c.Reference)
		}
	case Capture, Refund:
		dst = binary.AppendUvarint(dst, c.Payment)
		dst = binary.AppendUvarint(dst, uint64(c.Amount))
	case Void, Expire:
		dst = binary.AppendUvarint(dst, c.Payment)
	case CreateAccount:
		dst = appendBytes(dst, c.Source)
		dst = append(dst, c.Currency[:]...)
		dst = binary.AppendUvarint(dst, uint64(c.Limit))
	case UpdateAccount:
		dst = appendBytes(dst, c.Source)
		dst = append(dst, byte(c.Sets))
		dst = binary.AppendUvarint(dst, uint64(c.Limit))
		dst = append(dst, byte(c.Status))
		dst = appendOptional(dst, c.IfVersion)
	}
	if len(c.Metadata) > 0 {
		dst = appendBytes(dst, c.Metadata)
	}
	return dst
}

func (c *Command) flags() (f byte) {
	set := func(on bool, flag byte) {
		if on {
			f |= flag
		}
	}
	set(c.Final, flagFinal)
	set(c.Unlimited, flagUnlimited)
	set(c.SourceVersion.Set, flagSourceVersion)
	set(c.MinAvailableAfter.Set, flagMinAvailable)
	set(c.IfVersion.Set, flagIfVersion)
	set(len(c.Reference) > 0, flagReference)
	set(len(c.Metadata) > 0, flagMetadata)
	return f
}

func appendOptional(dst []byte, o Optional) []byte {
	if !o.Set {
		return dst
	}
	return binary.AppendUvarint(dst, uint64(o.Value))
}

// DecodeCommand reads what AppendCommand wrote into c, all of src and nothing
// more. The slices of c alias src. It returns ErrDecode, with c unspecified,
// when src is anything else.
func DecodeCommand(src []byte, c *Command) error {
	*c = Command{}
	r := reader{src: src}
	c.Kind = Kind(r.byte("kind"))
	flags := r.byte("flags")
	if flags&^byte(knownFlags) != 0 {
		r.fail("flags")
	}
	c.Key = r.bytes("key")
	c.Final = flags&flagFinal != 0
	c.Unlimited = flags&flagUnlimited != 0
	r.fields(c, flags)
	if flags&flagMetadata != 0 {
		c.Metadata = r.metadata()
	}
	if r.err == nil && len(r.src) > 0 {
		r.fail("length")
	}
	return r.err
}

func (r *reader) fields(c *Command, flags byte) {
	optional := func(flag byte, what string) Optional {
		if flags&flag == 0 {
			return Optional{}
		}
		return Optional{Set: true, Value: r.natural(what)}
	}
	switch c.Kind {
	case Pay, Authorize:
		c.Source = r.bytes("source")
		c.Destination = r.bytes("destination")
		c.Currency = r.currency()
		c.Amount = r.natural("amount")
		c.ExpiresIn = r.natural("expiry")
		c.SourceVersion = optional(flagSourceVersion, "source version")
		c.MinAvailableAfter = optional(flagMinAvailable, "least available")
		if flags&flagReference != 0 {
			c.Reference = r.bytes("reference")
		}
	case Capture, Refund:
		c.Payment = r.uint("payment")
		c.Amount = r.natural("amount")
	case Void, Expire:
		c.Payment = r.uint("payment")
	case CreateAccount:
		c.Source = r.bytes("account")
		c.Currency = r.currency()
		c.Limit = r.natural("limit")
	case UpdateAccount:
		c.Source = r.bytes("account")
		c.Sets = Sets(r.byte("sets"))
		c.Limit = r.natural("limit")
		c.Status = Status(r.byte("status"))
		c.IfVersion = optional(flagIfVersion, "version")
	default:
		r.fail("kind")
	}
}
