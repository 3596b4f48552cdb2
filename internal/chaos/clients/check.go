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
	ops := l.history.from(0)
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
