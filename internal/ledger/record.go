package ledger

// Record is one executed command and its outcome: a row of the journal, and all
// that a response is rendered from, the first time and on every replay.
type Record struct {
	Seq     uint64 // gap-free number in log order, one for every executed command
	Time    Micros // log time of the entry
	Command Command
	Raw     []byte // Command as encoded in the log

	Code  Code
	Party Party // which account a refusal is about, if it is about one
	// Have and Need explain a refusal in numbers: what there was and what it
	// would have taken. Balances are cut to the range of an int64.
	Have, Need int64

	Amount      int64        // minor units that this command moved, reserved or released
	State       PaymentState // of the payment, after this command
	Source      Leg
	Destination Leg

	// Payment is the payment that a command OnPayment acts upon, nil if there is
	// none. It is not part of the row: the row names it by seq.
	Payment *Payment

	// Account is the account after CreateAccount or UpdateAccount. It is not part
	// of the row.
	Account *AccountView
}

// Leg is one account's side of a record: its balance right after the command.
type Leg struct {
	Account   uint64 // number; 0 for a world account and for no account at all
	Posted    int64
	Held      int64
	Limit     int64
	Unlimited bool
	World     bool // a world account: no balance is kept here
	Moved     bool // the command changed the balance: this leg is a posting
	Version   uint64
	Prev      uint64 // seq of the account's posting before this one, 0 for none
	Ordinal   uint64 // this posting is the account's Ordinal-th; not part of the row
}

// Available is what the account could spend right after the command.
func (l *Leg) Available() Headroom { return available(l.Posted, l.Held, l.Limit) }

// AccountView is an account with its metadata, detached from the page it is in.
type AccountView struct {
	Account
	ID       []byte
	Metadata Metadata
	Created  bool // this command created it

	// Outside is the total of a world account, whose Account is otherwise zero but
	// for its Currency; nil for every other account.
	Outside *Int128

	// Index is that of the log entry which a read reflects; 0 in a record.
	Index uint64
}

// Direction is the side of a posting: how posted changed.
type Direction uint8

const (
	None Direction = iota // only held changed
	Debit
	Credit
)

// String returns the direction as the API spells it.
func (d Direction) String() string { return [...]string{"none", "debit", "credit"}[d] }

// SourceDirection and DestinationDirection say how a command of kind k changes
// posted on the two sides of its payment.
func (k Kind) SourceDirection() Direction {
	switch k {
	case Pay, Capture:
		return Debit
	case Refund:
		return Credit
	}
	return None
}

// DestinationDirection is the opposite of SourceDirection: every movement is
// double entry.
func (k Kind) DestinationDirection() Direction {
	switch k {
	case Pay, Capture:
		return Credit
	case Refund:
		return Debit
	}
	return None
}

// PaymentSeq is the seq of the payment that the record is about, 0 for none.
func (r *Record) PaymentSeq() uint64 {
	switch {
	case r.Command.Kind.OnPayment():
		return r.Command.Payment
	case r.Code == OK && (r.Command.Kind == Pay || r.Command.Kind == Authorize):
		return r.Seq
	}
	return 0
}
