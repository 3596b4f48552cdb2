package ledger

// What reads return has the Index of the log entry that it reflects: everything up
// to that entry, and nothing behind it.

// PaymentView is a payment as a read returns it.
type PaymentView struct {
	Payment *Payment
	Last    *Record // the newest accepted event; its legs are the balances to show
	Index   uint64
}

// EntryView is one line of an account's history.
type EntryView struct {
	Seq          uint64
	Payment      uint64 // seq of the payment
	Kind         Kind
	Direction    Direction
	Amount       int64
	Balance      Leg // of the account, right after; World for a world account
	Counterparty []byte
	Time         Micros
}

// EntriesPage is a part of an account's history, in the order asked for.
type EntriesPage struct {
	Entries []EntryView
	More    bool // further entries follow the last one
	Index   uint64
}

// AccountsPage is a part of the list of accounts, by id.
type AccountsPage struct {
	Accounts []AccountView
	More     bool
	Index    uint64
}

// KeyView is what an idempotency key remembers.
type KeyView struct {
	Record    *Record
	ExpiresAt Micros
	Index     uint64
}
