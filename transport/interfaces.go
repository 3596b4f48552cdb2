package transport

import "purser/internal/ledger"

// Executor has commands committed and applied. Errors are the sentinels of package
// ledger. Slices of a command alias the request: an Executor copies what it needs
// before it returns. Results are shown, not given: nothing that they lead to may be
// looked at after use has returned.
type Executor interface {
	// Submit executes cmd; shown is the result, with the log index of the entry it came
	// from. Submit never blocks unless it is patient, and returns ledger.ErrWouldWait
	// where it would have to be.
	Submit(cmd *ledger.Command, patient bool) (ledger.Pending, error)
	// ExecuteAll executes commands in order, each independent of the others, and
	// calls use with as many results, exactly if there is no error. It blocks until that
	// is done or until it is known that it will not be. An error says nothing about any
	// of them beyond what the sentinel says.
	ExecuteAll(cmds []ledger.Command, use func(results []ledger.Result, index uint64)) error
	// Barrier is done once everything acknowledged before the call is applied here. It
	// never blocks.
	Barrier() (ledger.Pending, error)
}

// Accounts reads accounts and their histories as they are now on this node.
// World accounts are always found.
type Accounts interface {
	Account(id []byte) (account ledger.AccountView, found bool, err error)
	// Accounts lists by id those that start with prefix and sort after after.
	Accounts(prefix, after []byte, limit int) (ledger.AccountsPage, error)
	// Entries lists postings with seq > from in ascending order, or with
	// seq < from in descending order: from is the last one of the page before, 0
	// for none. found is false when there is no such account.
	Entries(id []byte, ascending bool, from uint64, limit int) (page ledger.EntriesPage, found bool, err error)
}

// Payments reads payments and idempotency keys as they are now on this node.
type Payments interface {
	Payment(seq uint64) (payment ledger.PaymentView, found bool, err error)
	// Key returns what an idempotency key remembers, with Record.Payment filled in
	// for commands on a payment.
	Key(key []byte) (view ledger.KeyView, found bool, err error)
	// Applied is the index of the last log entry that reads reflect.
	Applied() uint64
}
