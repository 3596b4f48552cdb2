package raftfsm

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"purser/internal/ledger"
)

// TestListingIsOfOneIndex lists accounts on several shards while money moves
// between them: no page may show what one has paid and another not yet received,
// nor miss an account that was opened and paid in one entry.
func TestListingIsOfOneIndex(t *testing.T) {
	const accounts, entries, each = 16, 600, 1000
	n := openTestNode(t, vfs.NewMem(), 4)
	defer n.close()
	id := func(i int) []byte { return fmt.Appendf(nil, "acct-%03d", i) }
	pay := func(from, to []byte, amount int64) ledger.Command {
		return ledger.Command{Kind: ledger.Pay, Source: from, Destination: to, Currency: usd, Amount: amount}
	}
	entry := func(index int, cmds []ledger.Command) {
		for i := range cmds {
			cmds[i].Key = fmt.Appendf(nil, "%d-%d", index, i)
		}
		n.apply([]logEntry{{index: uint64(index), stamp: ledger.Micros(index), cmds: cmds}})
	}
	var opening []ledger.Command
	for i := range accounts {
		opening = append(opening,
			ledger.Command{Kind: ledger.CreateAccount, Source: id(i), Currency: usd},
			pay([]byte("world:USD"), id(i), each))
	}
	entry(1, opening)

	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range entries {
			fresh := id(accounts + e)
			cmds := []ledger.Command{
				{Kind: ledger.CreateAccount, Source: fresh, Currency: usd},
				pay(id(e%accounts), fresh, 1),
			}
			for i := range accounts {
				cmds = append(cmds, pay(id(i), id((i+1+e)%accounts), int64(1+i)))
			}
			entry(2+e, cmds)
		}
	}()
	for pages, more := 0, true; more && !t.Failed(); pages++ {
		select {
		case <-done:
			more = false
		default:
		}
		page, err := n.fsm.Accounts(nil, nil, accounts+entries)
		if err != nil {
			t.Error(err)
		}
		sum := int64(0)
		for _, a := range page.Accounts {
			sum += a.Posted
		}
		if want := int64(accounts * each); sum != want {
			t.Errorf("page %d: %d accounts have %d, want %d", pages, len(page.Accounts), sum, want)
		}
	}
	<-done
}

// TestReadsSayWhatTheyReflect reads an account to which each entry pays 1: what is
// shown must be that of the index that is named, neither less nor more.
func TestReadsSayWhatTheyReflect(t *testing.T) {
	const entries = 3000
	n := openTestNode(t, vfs.NewMem(), 2)
	defer n.close()
	alice, outside := []byte("alice"), []byte("world:USD")
	n.apply([]logEntry{{index: 1, stamp: 1, cmds: []ledger.Command{{Kind: ledger.CreateAccount, Source: alice, Currency: usd}}}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for index := uint64(2); index < entries; index++ {
			n.apply([]logEntry{{index: index, stamp: ledger.Micros(index), cmds: []ledger.Command{
				{Kind: ledger.Pay, Key: fmt.Append(nil, index), Source: outside, Destination: alice, Currency: usd, Amount: 1},
			}}})
		}
	}()
	want := func(what string, got int64, index uint64, err error) {
		t.Helper()
		if err != nil || got != int64(index)-1 {
			t.Errorf("%s: %d at index %d, %v", what, got, index, err)
		}
	}
	for reading := true; reading && !t.Failed(); {
		select {
		case <-done:
			reading = false
		default:
		}
		view, _, err := n.fsm.Account(alice)
		want("account", view.Posted, view.Index, err)
		total, _, err := n.fsm.Account(outside)
		want("world", -int64(total.Outside.Lo), total.Index, err)
		list, err := n.fsm.Accounts(nil, nil, 1)
		want("list", list.Accounts[0].Posted, list.Index, err)
		page, _, err := n.fsm.Entries(alice, false, 0, 1)
		var last int64
		for _, e := range page.Entries {
			last = e.Balance.Posted
		}
		want("entries", last, page.Index, err)
	}
	<-done
}
