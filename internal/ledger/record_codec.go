package ledger

import "encoding/binary"

// Flags of an encoded leg.
const (
	legUnlimited = 1 << iota
	legWorld
	legMoved
)

// AppendRecord appends the journal row of r. Seq and Time are not in it: they
// are in the key and head of the block that holds it.
//
//	+------+---------+---------+-----------------------------------------+
//	| code | len raw | raw     | refused: party have need                |
//	|      |         | command | payments: amount state source dest      |
//	+------+---------+---------+-----------------------------------------+
//	state  status captured refunded held
//	leg    flags [account posted held limit version] [prev if moved]
//
// code, party, status and flags are one byte; balances are zigzag varints, the
// other numbers uvarints.
func AppendRecord(dst []byte, r *Record) []byte {
	dst = append(dst, byte(r.Code))
	dst = appendBytes(dst, r.Raw)
	switch {
	case r.Code != OK:
		dst = append(dst, byte(r.Party))
		dst = appendInt(dst, r.Have)
		dst = appendInt(dst, r.Need)
	case r.Command.Kind >= Pay:
		dst = binary.AppendUvarint(dst, uint64(r.Amount))
		dst = append(dst, byte(r.State.Status))
		dst = binary.AppendUvarint(dst, uint64(r.State.Captured))
		dst = binary.AppendUvarint(dst, uint64(r.State.Refunded))
		dst = binary.AppendUvarint(dst, uint64(r.State.Held))
		dst = appendLeg(dst, &r.Source)
		dst = appendLeg(dst, &r.Destination)
	}
	return dst
}

func appendLeg(dst []byte, l *Leg) []byte {
	var flags byte
	if l.Unlimited {
		flags |= legUnlimited
	}
	if l.World {
		flags |= legWorld
	}
	if l.Moved {
		flags |= legMoved
	}
	dst = append(dst, flags)
	if !l.World {
		dst = binary.AppendUvarint(dst, l.Account)
		dst = appendInt(dst, l.Posted)
		dst = binary.AppendUvarint(dst, uint64(l.Held))
		dst = binary.AppendUvarint(dst, uint64(l.Limit))
		dst = binary.AppendUvarint(dst, l.Version)
	}
	if l.Moved {
		dst = binary.AppendUvarint(dst, l.Prev)
	}
	return dst
}

// DecodeRecord reads what AppendRecord wrote into r, all of src and nothing
// more; slices of r alias src. Seq and Time are the caller's to fill in. It
// returns ErrDecode when src is anything else.
func DecodeRecord(src []byte, r *Record) error {
	*r = Record{}
	in := reader{src: src}
	r.Code = Code(in.byte("code"))
	r.Raw = in.bytes("command")
	if in.err == nil {
		in.err = DecodeCommand(r.Raw, &r.Command)
	}
	switch {
	case r.Code != OK:
		r.Party = Party(in.byte("party"))
		r.Have = in.int("have")
		r.Need = in.int("need")
	case r.Command.Kind >= Pay:
		r.Amount = in.natural("amount")
		r.State.Status = PaymentStatus(in.byte("status"))
		r.State.Captured = in.natural("captured")
		r.State.Refunded = in.natural("refunded")
		r.State.Held = in.natural("held")
		in.leg(&r.Source)
		in.leg(&r.Destination)
	}
	if in.err == nil && len(in.src) > 0 {
		in.fail("length")
	}
	return in.err
}

func (r *reader) leg(l *Leg) {
	flags := r.byte("leg")
	if flags&^byte(legUnlimited|legWorld|legMoved) != 0 {
		r.fail("leg")
		return
	}
	l.Unlimited = flags&legUnlimited != 0
	l.World = flags&legWorld != 0
	l.Moved = flags&legMoved != 0
	if !l.World {
		l.Account = r.uint("account")
		l.Posted = r.int("posted")
		l.Held = r.natural("held")
		l.Limit = r.natural("limit")
		l.Version = r.uint("version")
	}
	if l.Moved {
		l.Prev = r.uint("prev")
	}
}
