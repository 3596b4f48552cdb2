package raftfsm

import (
	"context"

	"purser/internal/ledger"
	"purser/internal/store"
)

// The methods below read the state as it is between two entries. They are for
// any goroutine; what they return has memory of its own. For a linearizable
// read, wait for a barrier first.

// Applied is the index of the last command entry that the state reflects, 0
// after the end of the node.
func (f *FSM) Applied() (index uint64) {
	_ = f.use(func(m *machine) error { // without a state there is nothing to tell
		index = m.position().Index
		return nil
	})
	return index
}

// Account returns an account; ok is false if there is none. World accounts
// always exist: theirs has Outside set.
func (f *FSM) Account(id []byte) (view ledger.AccountView, ok bool, err error) {
	err = f.read(func(m *machine) error {
		var exact bool
		if view, ok, exact = m.account(id); !exact {
			m.applying.Lock()
			defer m.applying.Unlock()
			view, ok, _ = m.account(id)
		}
		return nil
	})
	return view, ok, err
}

// account looks at an account. Shards execute an entry before its position is
// published, so the account may be ahead of that: then the view has the Index of
// the entry under way, if that is what has changed it. It is exact otherwise only
// at a boundary.
func (m *machine) account(id []byte) (view ledger.AccountView, ok, exact bool) {
	if c, outside := ledger.WorldCurrency(id); outside {
		w, index := m.world(c)
		return ledger.AccountView{
			Account: ledger.Account{Currency: c, Status: ledger.Active, Unlimited: true, LastSeq: w.Last, Postings: w.Postings},
			ID:      append([]byte(nil), id...),
			Outside: &w.Posted,
			Index:   index,
		}, true, true
	}
	at := m.position()
	view, ok = m.group.Read(id)
	view.Index = at.Index
	if view.UpdatedAt <= at.Stamp {
		return view, ok, true
	}
	begun := m.lastBegun()
	view.Index = begun.index
	return view, ok, view.UpdatedAt == begun.stamp
}

// Accounts lists up to limit accounts, by id, whose ids start with prefix and
// come after the given one. World accounts are not listed.
func (f *FSM) Accounts(prefix, after []byte, limit int) (page ledger.AccountsPage, err error) {
	err = f.read(func(m *machine) error {
		page, err = m.accounts(prefix, after, limit)
		return err
	})
	return page, err
}

// accounts holds the log still: a page shows all its accounts at one index, so
// that what one of them paid to another is missing from neither.
func (m *machine) accounts(prefix, after []byte, limit int) (page ledger.AccountsPage, err error) {
	m.applying.Lock()
	defer m.applying.Unlock()
	at := m.position()
	ids, more, err := m.store.AccountIDs(prefix, after, limit, at.Seq+1)
	if err != nil {
		return page, err
	}
	views, found := m.group.ReadMany(ids)
	for i, view := range views {
		if found[i] {
			page.Accounts = append(page.Accounts, view)
		}
	}
	page.More, page.Index = more, at.Index
	return page, nil
}

// Entries returns up to limit lines of an account's history, behind the one with
// seq from, or from the start of the order if from is 0; ok is false if there is
// no such account.
func (f *FSM) Entries(id []byte, ascending bool, from uint64, limit int) (page ledger.EntriesPage, ok bool, err error) {
	err = f.read(func(m *machine) error {
		page, ok, err = m.entries(id, ascending, from, limit)
		return err
	})
	return page, ok, err
}

func (m *machine) entries(id []byte, ascending bool, from uint64, limit int) (page ledger.EntriesPage, ok bool, err error) {
	m.applying.Lock() // only at a boundary does the journal have the newest posting
	view, ok, _ := m.account(id)
	m.applying.Unlock()
	if !ok {
		return page, false, nil
	}
	history := store.History{Account: view.Number}
	if view.Outside != nil {
		history = store.History{World: view.Currency}
	}
	page, err = m.store.Entries(history, view.LastSeq, view.Postings, ascending, from, limit)
	page.Index = view.Index
	return page, err == nil, err
}

// Payment returns the payment with the given seq and its newest event; ok is
// false if there is none.
func (f *FSM) Payment(seq uint64) (view ledger.PaymentView, ok bool, err error) {
	err = f.read(func(m *machine) error {
		at := m.position()
		view, ok, err = m.store.Payment(seq, at.Seq+1)
		view.Index = at.Index
		return err
	})
	return view, ok, err
}

// Key returns what an idempotency key remembers; ok is false if it is new or
// forgotten.
func (f *FSM) Key(key []byte) (view ledger.KeyView, ok bool, err error) {
	err = f.read(func(m *machine) error {
		view, ok, err = m.key(key)
		return err
	})
	return view, ok, err
}

func (m *machine) key(key []byte) (ledger.KeyView, bool, error) {
	at := m.position()
	seqs, err := m.keys.Find(m.keys.Hash(key), nil)
	if err != nil {
		return ledger.KeyView{}, false, err
	}
	for _, seq := range seqs {
		if seq > at.Seq {
			continue
		}
		rec, live, err := m.remembered(seq, key, at.Stamp)
		if err != nil {
			return ledger.KeyView{}, false, err
		}
		if live {
			return ledger.KeyView{Record: rec, ExpiresAt: rec.Time + m.retention, Index: at.Index}, true, nil
		}
	}
	return ledger.KeyView{}, false, nil
}

// AwaitApplied returns once the state reflects the entry at index, or with ctx's
// error.
func (f *FSM) AwaitApplied(ctx context.Context, index uint64) error {
	for {
		var advanced chan struct{}
		err := f.read(func(m *machine) error {
			advanced = m.whenPast(index)
			return nil
		})
		if err != nil || advanced == nil {
			return err
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// whenPast returns nil if the state reflects the entry at index, and otherwise
// what closes at the next entry, or when this machine ends.
func (m *machine) whenPast(index uint64) chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pos.Index >= index {
		return nil
	}
	if m.advanced == nil {
		m.advanced = make(chan struct{})
	}
	return m.advanced
}

// wake ends the waits for the next entry. The caller holds mu.
func (m *machine) wake() {
	if m.advanced != nil {
		close(m.advanced)
		m.advanced = nil
	}
}
