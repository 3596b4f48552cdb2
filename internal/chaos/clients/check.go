package clients

import (
	"context"
	"errors"
	"time"
)

// Check reads the books from all nodes and holds them and the history against each
// other. The load has to be stopped, and each node of Config has to answer: Check
// waits for them until ctx ends. Nothing else may have used the accounts, and
// nothing else the ledger while the load ran.
//
// The error joins everything that is wrong.
func (l *Load) Check(ctx context.Context) (Report, error) {
	if l.stopped.Err() == nil {
		return Report{}, errors.New("clients: Check before Stop")
	}
	ops := l.history.all()
	r := report(ops)
	r.LongestGap = l.LongestGap()
	began := time.Now()
	b, err := l.collect(ctx)
	r.Collecting = time.Since(began)
	if err != nil {
		return r, err
	}
	for _, entries := range b.journals {
		r.Entries += len(entries)
	}
	began = time.Now()
	k := newCheck(l.bank, ops, b)
	for _, text := range l.history.findings {
		k.add(faultAnswer, "%s", text)
	}
	k.run()
	r.linearizable(k.checkLinearizable())
	r.Checking = time.Since(began)
	return r, k.err()
}

// check holds a history against the books. Its parts build on each other, in the
// order of run.
type check struct {
	findings
	bank  *bank
	ops   []*operation // everything that was sent
	books *books

	commands []*operation // on money, those of batches included
	unknown  []*operation // those of them that may have been applied without an answer
	states   map[string][]moment
	events   map[string][]event // of payments
}

// moment is the state of an account from seq on.
type moment struct {
	state
	seq uint64
}

// event is a payment from seq on.
type event struct {
	payment *payment
	seq     uint64
}

func newCheck(b *bank, ops []*operation, books *books) *check {
	return &check{bank: b, ops: ops, books: books, states: map[string][]moment{}, events: map[string][]event{}}
}

// run makes all checks that need no node.
func (k *check) run() {
	for _, d := range k.books.differences {
		k.add(faultNodes, "%s", d)
	}
	k.match()
	k.replay()
	k.checkTotals()
	k.checkPayments()
	k.checkRetries()
	k.checkOrder()
}
