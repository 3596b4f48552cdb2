package shard

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"purser/internal/ledger"
)

// The index finds what is there and nothing else, also when the tags of
// different ids are equal: ids are compared in full.
func TestFind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := newAccounts(0)
		hashes := rapid.SampledFrom([]uint64{1, 3, 1 << 30, 1 << 40}).Draw(t, "hashes")
		hash := func(n int) uint64 { return uint64(n) * 0x9e3779b97f4a7c15 % hashes }
		want := map[int]uint64{}
		for i, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 10_000), 0, 300, rapid.ID).Draw(t, "ids") {
			a.insert(fmt.Appendf(nil, "a%d", n), hash(n), &ledger.Account{Number: uint64(i + 1)}, nil)
			want[n] = uint64(i + 1)
		}
		for n := range 10_000 {
			at, ok := a.find(fmt.Appendf(nil, "a%d", n), hash(n))
			if ok != (want[n] > 0) || ok && a.get(at).Number != want[n] {
				t.Fatalf("account %d: found %t, want number %d", n, ok, want[n])
			}
		}
		if a.count != len(want) || a.pages != (len(want)+pageAccounts-1)/pageAccounts {
			t.Fatalf("%d accounts in %d pages, want %d", a.count, a.pages, len(want))
		}
	})
}

func TestHomeSpreads(t *testing.T) {
	for _, shards := range []int{1, 2, 3, 16, MaxShards} {
		g := &Group{shards: make([]*Shard, shards)}
		counts := make([]int, shards)
		const accounts = 200_000
		for i := range accounts {
			counts[g.owner(fmt.Appendf(nil, "account-%d", i)).home]++
		}
		mean := accounts / shards
		for shard, n := range counts {
			if n < mean/2 || n > mean*2 {
				t.Errorf("shard %d of %d has %d of %d accounts", shard, shards, n, accounts)
			}
		}
	}
}

// Bytes is what is really allocated, to within some percent, and a million
// accounts stay within their bounds.
func TestMemoryOfAMillionAccounts(t *testing.T) {
	if testing.Short() {
		t.Skip("a million accounts")
	}
	g := newGroup(t, mode{shards: 2, policy: measured})
	defer g.Close()
	const accounts = 1_000_000
	ids := open(g, "acct-", accounts)
	size := func() (live, retained int64) {
		for _, s := range g.Stats() {
			live, retained = live+s.Bytes, retained+s.Retained
		}
		return live, retained
	}
	const mib = 1 << 20
	before, _ := size()
	f := g.Freeze(Checkpoint)
	var slots []*Slot
	for i := 0; i < accounts; i += 16 { // touches every page
		slots = append(slots, slotsOf(uint64(2*accounts+i), ledger.Command{
			Kind: ledger.Pay, Source: ids[i], Destination: []byte("world:USD"), Currency: usd, Amount: 1,
		})...)
	}
	g.Execute(slots)
	after, retained := size()
	f.Done(true)
	t.Logf("before a freeze %d MiB; in it, with every page copied, %d MiB", before/mib, (after+retained)/mib)
	if before > 180*mib {
		t.Errorf("%d bytes before a freeze", before)
	}
	if after+retained > 250*mib {
		t.Errorf("%d bytes in a freeze", after+retained)
	}
}

func TestOptions(t *testing.T) {
	for _, n := range []int{-1, 0, MaxShards + 1} {
		if g, err := New(Options{Shards: n}); err == nil {
			g.Close()
			t.Errorf("%d shards are accepted", n)
		}
	}
}
