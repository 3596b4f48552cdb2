package ledger

// PaymentStatus sums up a payment's state. The numbers are stored.
type PaymentStatus uint8

const (
	Authorized PaymentStatus = 1 + iota // something is still held
	Captured
	Voided
	Expired
	Refunded // all that was captured
)

// String returns the status as the API spells it.
func (s PaymentStatus) String() string {
	switch s {
	case Authorized:
		return "authorized"
	case Captured:
		return "captured"
	case Voided:
		return "voided"
	case Expired:
		return "expired"
	case Refunded:
		return "refunded"
	}
	return "invalid"
}

// PaymentState is what later events change. Amounts are minor units.
//
// Invariants: 0 <= Refunded <= Captured, 0 <= Held, Captured + Held <= Amount.
type PaymentState struct {
	Captured int64
	Refunded int64
	Held     int64
	Status   PaymentStatus
}

// Refundable is what a refund can still return.
func (s PaymentState) Refundable() int64 { return s.Captured - s.Refunded }

// settle derives the status once nothing of the money is on its way: closed is
// the status of a payment of which nothing was ever captured.
func (s *PaymentState) settle(closed PaymentStatus) {
	switch {
	case s.Held > 0:
		s.Status = Authorized
	case s.Captured == 0:
		s.Status = closed
	case s.Refundable() == 0:
		s.Status = Refunded
	default:
		s.Status = Captured
	}
}

// Payment is a payment or authorization that was accepted: what its command
// fixed for ever, and the state after its newest event.
type Payment struct {
	Seq         uint64 // of the command that made it; its public id
	Source      []byte
	Destination []byte
	Currency    Currency
	Amount      int64
	Reference   []byte
	Metadata    Metadata
	CreatedAt   Micros
	ExpiresAt   Micros // 0 for a payment that never held money
	State       PaymentState
}

// PaymentOf returns the payment that the accepted Pay or Authorize of rec made,
// in the state right after it. Its slices alias the record's command.
func PaymentOf(rec *Record) *Payment {
	c := &rec.Command
	p := &Payment{
		Seq:         rec.Seq,
		Source:      c.Source,
		Destination: c.Destination,
		Currency:    c.Currency,
		Amount:      c.Amount,
		Reference:   c.Reference,
		Metadata:    c.Metadata,
		CreatedAt:   rec.Time,
		State:       rec.State,
	}
	if c.Kind == Authorize {
		p.ExpiresAt = c.HoldUntil(rec.Time)
	}
	return p
}

// HoldUntil is when the hold of an Authorize executed at now lapses.
func (c *Command) HoldUntil(now Micros) Micros { return now + Micros(c.ExpiresIn)*Second }

// open reports whether a hold can still be captured at now. An overdue hold is
// closed even before the ledger has swept it.
func (p *Payment) open(now Micros) bool { return p.State.Held > 0 && now < p.ExpiresAt }
