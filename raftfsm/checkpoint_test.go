package raftfsm

import (
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"purser/internal/crashfs"
	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
	"purser/internal/store"
	"purser/shard"
)

func TestCheckpointMetaGolden(t *testing.T) {
	meta := checkpointMeta{
		Position: position{
			Index: 12, Term: 3, Seq: 99, Digest: 1 << 63, Stamp: 1_700_000_000_000_001,
			Swept: store.ExpiryCursor{At: 5, Seq: 4}, NextDue: 77,
		},
		Retention: 86_400 * ledger.Second,
		Worlds: []worldMeta{
			{Currency: "USD", Posted: ledger.Int128{Hi: -1, Lo: 1}, Inside: ledger.Int128{Lo: 1 << 63}, Last: 98, Postings: 50},
		},
		Keys:     []byte{1, 2, 3},
		Snapshot: 13,
	}
	raw, err := meta.encode()
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "checkpoint-v1")
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != string(want) {
		t.Fatalf("encoding changed: %q, %s has %q", raw, golden, want)
	}
	again, err := decodeCheckpointMeta(raw, ledger.NewestFormat)
	if err != nil {
		t.Fatal(err)
	}
	if twice, err := again.encode(); err != nil || string(twice) != string(raw) {
		t.Fatalf("round trip: %q, %v", twice, err)
	}
}

func TestCheckpointMetaDamage(t *testing.T) {
	raw, err := (&checkpointMeta{Keys: []byte("keys")}).encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			bad := slices.Clone(raw)
			bad[i] ^= 1 << bit
			if _, err := decodeCheckpointMeta(bad, ledger.NewestFormat); !errors.Is(err, ErrCheckpointDamaged) && !errors.Is(err, ledger.ErrFormat) {
				t.Fatalf("bit %d of byte %d: %v", bit, i, err)
			}
		}
		if _, err := decodeCheckpointMeta(raw[:i], ledger.NewestFormat); !errors.Is(err, ErrCheckpointDamaged) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
	newer := slices.Clone(raw)
	newer[0]++
	if _, err := decodeCheckpointMeta(newer, ledger.NewestFormat); !errors.Is(err, ledger.ErrFormat) {
		t.Fatalf("newer format: %v", err)
	}
}

// fewEntries is a small log in which money moves.
func fewEntries() []logEntry {
	usd := ledgertest.Currency("USD")
	return []logEntry{
		{index: 2, stamp: 1000, cmds: []ledger.Command{
			{Kind: ledger.CreateAccount, Source: []byte("a"), Currency: usd},
			{Kind: ledger.CreateAccount, Source: []byte("b"), Currency: usd},
		}},
		{index: 3, stamp: 2000, cmds: []ledger.Command{
			{Kind: ledger.Pay, Key: []byte("fund"), Source: []byte("world:USD"), Destination: []byte("a"), Currency: usd, Amount: 100},
			{Kind: ledger.Pay, Key: []byte("move"), Source: []byte("a"), Destination: []byte("b"), Currency: usd, Amount: 40},
		}},
	}
}

func TestDamagedCheckpointIsRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(meta, page []byte)
		is     func(error) bool
	}{
		{"meta", func(meta, _ []byte) { meta[len(meta)/2] ^= 1 }, func(err error) bool { return errors.Is(err, ErrCheckpointDamaged) }},
		{"format", func(meta, _ []byte) { meta[0]++ }, func(err error) bool { return errors.Is(err, ledger.ErrFormat) }},
		{"page", func(_, page []byte) { page[len(page)/2] ^= 1 }, func(err error) bool {
			var damaged *shard.DamagedPageError
			return errors.As(err, &damaged)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			fs := vfs.NewMem()
			n := openTestNode(t, fs, 1)
			n.apply(fewEntries())
			f := n.fsm.machine.freeze()
			raw, err := f.meta.encode()
			if err != nil {
				t.Fatal(err)
			}
			var key store.PageKey
			var page []byte
			for k, p := range f.accounts.Pages() {
				key, page = store.PageKey(k), slices.Clone(p)
			}
			test.damage(raw, page)
			var one iter.Seq2[store.PageKey, []byte] = func(yield func(store.PageKey, []byte) bool) { yield(key, page) }
			if err := n.fsm.machine.store.WriteCheckpoint(store.Checkpoint{Meta: raw, Pages: one}); err != nil {
				t.Fatal(err)
			}
			f.accounts.Done(true)
			n.close()
			if _, err := tryTestNode(t, fs, 1, testRetention); err == nil || !test.is(err) {
				t.Fatalf("opened with %v", err)
			}
		})
	}
}

func TestOtherRetentionIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	n := openTestNode(t, fs, 1)
	n.apply(fewEntries())
	if err := n.snapshot(); err != nil {
		t.Fatal(err)
	}
	n.close()
	if _, err := tryTestNode(t, fs, 1, testRetention+1); !errors.Is(err, ErrRetention) {
		t.Fatalf("opened with %v", err)
	}
}

func TestSnapshotStreamsIntoAnotherNode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log, answers, model := drawLog(t, 30)
		want, end := reference(t, log, answers, model)
		at := rapid.IntRange(1, len(log)).Draw(t, "snapshot after")
		leader := openTestNode(t, vfs.NewMem(), 2)
		leader.apply(log[:at])
		if err := leader.snapshot(); err != nil {
			t.Fatalf("snapshot: %v", err)
		}
		fs := crashfs.New()
		follower := openTestNode(t, fs, rapid.IntRange(1, 3).Draw(t, "shards"))
		follower.apply(log[:rapid.IntRange(0, at-1).Draw(t, "behind")])
		install(t, leader, follower)
		if rapid.Bool().Draw(t, "crash") {
			fs = crashed(t, follower, fs, 0, 1)
			follower = openTestNode(t, fs, 1)
			follower.covered = leader.last // raft has published the snapshot before the restore
			follower.last = leader.last
		}
		for i, applied := range follower.apply(log[at:]) {
			if got := transcript(applied); !slices.Equal(got, want[at+i]) {
				t.Fatalf("entry %d:\n%q\nwant\n%q", at+i, got, want[at+i])
			}
		}
		follower.balanced(true)
		if got := follower.outcome(); got != end {
			t.Fatalf("%+v, want %+v", got, end)
		}
		follower.close()
		leader.close()
	})
}

// install restores the newest snapshot of from into to.
func install(t fatalf, from, to *testNode) {
	t.Helper()
	list, err := from.snapshots.List()
	if err != nil || len(list) == 0 {
		t.Fatalf("list: %d, %v", len(list), err)
	}
	_, stream, err := from.snapshots.Open(list[0].ID)
	if err != nil {
		t.Fatalf("open snapshot: %v", err)
	}
	if err := to.fsm.Restore(stream); err != nil {
		t.Fatalf("restore: %v", err)
	}
}

func TestPersistAfterRestoreFails(t *testing.T) {
	leader, follower := openTestNode(t, vfs.NewMem(), 1), openTestNode(t, vfs.NewMem(), 1)
	defer leader.close()
	defer follower.close()
	log := fewEntries()
	leader.apply(log)
	if err := leader.snapshot(); err != nil {
		t.Fatal(err)
	}
	follower.apply(log[:1])
	snap, err := follower.fsm.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	install(t, leader, follower)
	sink, err := follower.snapshots.Create(raft.SnapshotVersionMax, 2, 7, raft.Configuration{}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := snap.Persist(sink); !errors.Is(err, errNoState) {
		t.Fatalf("persisted with %v", err)
	}
	snap.Release()
	if list, err := follower.snapshots.List(); err != nil || len(list) != 0 {
		t.Fatalf("%d snapshots, %v", len(list), err)
	}
	follower.last = leader.last
	if err := follower.snapshot(); err != nil {
		t.Fatal(err)
	}
}

func TestFailedRestoreIsFatalAndLeavesNoState(t *testing.T) {
	n := openTestNode(t, vfs.NewMem(), 1)
	n.apply(fewEntries())
	var told error
	n.fsm.fatal = func(err error) { told = err }
	if err := n.fsm.Restore(io.NopCloser(strings.NewReader("no snapshot"))); err == nil || told == nil {
		t.Fatalf("restored with %v, fatal with %v", err, told)
	}
	if _, ok, err := n.fsm.Account([]byte("a")); !ok || err != nil { // nothing was replaced yet
		t.Fatalf("account: %t, %v", ok, err)
	}
	n.close()
	if _, _, err := n.fsm.Account([]byte("a")); !errors.Is(err, errNoState) {
		t.Fatalf("read of a closed state: %v", err)
	}
	n.close()
}

func TestSnapshotDuringReplayIsRefused(t *testing.T) {
	fs := crashfs.New()
	n := openTestNode(t, fs, 1)
	log := fewEntries()
	n.apply(log)
	abandonSnapshot(n)
	n.close()
	n = openTestNode(t, fs, 1)
	defer n.close()
	before := n.outcome()
	n.apply(log[:1])
	if got := n.outcome(); got != before {
		t.Fatalf("entry %d was applied to a state that had it: %+v, before %+v", log[0].index, got, before)
	}
	if _, err := n.fsm.Snapshot(); err == nil {
		t.Fatal("a snapshot of entry 2 would hold entry 3")
	}
	n.apply(log[1:])
	if err := n.snapshot(); err != nil {
		t.Fatal(err)
	}
}

func TestUndecodableEntryIsFatal(t *testing.T) {
	n := openTestNode(t, vfs.NewMem(), 1)
	defer n.close()
	var told error
	n.fsm.fatal = func(err error) { told = err }
	defer func() {
		if recover() == nil || !errors.Is(told, ledger.ErrDecode) || !strings.Contains(told.Error(), "entry 9") {
			t.Fatalf("fatal was told %v", told)
		}
	}()
	n.fsm.Apply(&raft.Log{Index: 9, Term: 1, Data: []byte{99}})
}
