package raftfsm

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"purser/internal/ledger"
)

func TestArenasAreUsedAgain(t *testing.T) {
	var s arenas
	first := s.take(100)
	second := s.take(100)
	first.results[99].Conflict = "first"
	first.own[99].Record.Amount = 5
	first.slots = append(first.slots, &first.own[99])
	first.recallable()[99].first = &ledger.Record{}
	own, release := &first.own[0], first.release
	release()
	again := s.take(100)
	if &again.own[0] != own {
		t.Error("the memory is not used again")
	}
	if &second.own[0] == own {
		t.Error("the memory is in use twice")
	}
	if again.results[99] != (ledger.Result{}) || again.own[99].Record.Amount != 0 || len(again.slots) != 0 {
		t.Errorf("something is left of the entry before: %+v, %+v", again.results[99], again.own[99].Record)
	}
	if again.recallable()[99] != (recalled{}) {
		t.Error("something is left of what the entry before recalled")
	}
}

func TestArenaIsReleasedOnce(t *testing.T) {
	var s arenas
	a := s.take(1)
	a.release()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	a.release()
}

// TestLargeArenasAreForgotten: one large entry, or many at a time, do not take memory
// for ever.
func TestLargeArenasAreForgotten(t *testing.T) {
	var s arenas
	large := []*arena{s.take(10_000), s.take(10_000), s.take(10_000)}
	for _, a := range large {
		a.release()
	}
	if len(s.free) != len(large) {
		t.Fatal("large arenas are not kept at all")
	}
	for range 1000 {
		s.take(10).release()
	}
	for _, a := range s.free {
		if cap(a.own) > 200 {
			t.Errorf("an arena for %d commands is kept", cap(a.own))
		}
	}
	taken := make([]*arena, 4*idleArenas)
	for i := range taken {
		taken[i] = s.take(10)
	}
	for _, a := range taken {
		a.release()
	}
	if len(s.free) != idleArenas {
		t.Errorf("%d arenas are kept, want %d", len(s.free), idleArenas)
	}
}

// TestSpoiledMemoryIsSeen: that released results are wrong in every field that an
// answer begins with is what the other tests rely on.
func TestSpoiledMemoryIsSeen(t *testing.T) {
	n := openTestNode(t, vfs.NewMem(), 1)
	defer n.close()
	pay := ledger.Command{Kind: ledger.Pay, Key: []byte("a"), Source: []byte("nobody"), Destination: []byte("none"), Amount: 1}
	applied := n.apply([]logEntry{{index: 1, stamp: 1, cmds: []ledger.Command{pay}}})[0]
	results := applied.Results
	rec := results[0].Record
	before := spell(rec)
	applied.Release()
	if rec.Code == ledger.AccountNotFound || string(rec.Command.Key) == "a" || results[0].Record == rec || applied.Index == 1 {
		t.Errorf("%s is still there: %+v", before, results[0])
	}
}

// TestMemoryOfAppliedEntries: a payment allocates next to nothing once memory is used
// again. What is left is the growth of the table of keys, and the memory of Pebble.
func TestMemoryOfAppliedEntries(t *testing.T) {
	if spoilReleased {
		t.Skip("the race detector allocates")
	}
	dirs := stateDirs{fs: vfs.NewMem(), root: "states", newest: ledger.NewestFormat}
	dir, err := dirs.current()
	if err != nil {
		t.Fatal(err)
	}
	cfg := machineConfig{fs: dirs.fs, dir: dir, shards: 1, retention: testRetention, runKeys: 1 << 20}
	f, _, err := newFSM(dirs, cfg, 0, 1<<40, func(err error) { panic(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.close(); err != nil {
			t.Error(err)
		}
	}()
	f.awaited.Add(1)
	const payments, entries = 500, 40
	log := make([]*raft.Log, 0, entries)
	for i := range uint64(entries) {
		e := logEntry{index: i + 1, stamp: ledger.Micros(i + 1)}
		if i == 0 {
			e.cmds = []ledger.Command{{Kind: ledger.CreateAccount, Source: []byte("a"), Currency: usd}}
		}
		for j := range payments {
			e.cmds = append(e.cmds, ledger.Command{Kind: ledger.Pay, Key: fmt.Appendf(nil, "key-%d-%d", i, j), Currency: usd,
				Source: []byte("world:USD"), Destination: []byte("a"), Amount: 1, ExpiresIn: ledger.DefaultExpiry})
		}
		log = append(log, &raft.Log{Index: e.index, Term: 7, Type: raft.LogCommand, Data: e.encode()})
	}
	apply := func(log []*raft.Log) {
		for _, entry := range log {
			applied := f.Apply(entry).(*ledger.Applied)
			if code := applied.Results[payments-1].Record.Code; code != ledger.OK {
				t.Fatal(code)
			}
			applied.Release()
		}
	}
	apply(log[:entries/2])
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	apply(log[entries/2:])
	runtime.ReadMemStats(&after)
	each := float64(after.TotalAlloc-before.TotalAlloc) / (payments * entries / 2)
	t.Logf("%.0f bytes for each payment", each)
	if each > 300 { // 1000 when nothing is used again
		t.Errorf("%.0f bytes for each payment", each)
	}
}
