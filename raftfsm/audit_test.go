package raftfsm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
	"purser/internal/store"
	"purser/shard"
)

var usd = ledgertest.Currency("USD")

// auditLog is a log with every kind of command, 400 postings of account a and more than
// 256 of the world, open and closed holds, and keys that live on.
func auditLog() (log []logEntry) {
	stamp, index, seq := ledger.Micros(1_000_000), uint64(0), uint64(0)
	entry := func(cmds ...ledger.Command) {
		for i := range cmds {
			if seq++; cmds[i].Kind.Keyed() {
				cmds[i].Key = fmt.Appendf(nil, "key %d", seq)
			}
		}
		index++
		stamp++
		log = append(log, logEntry{index: index, stamp: stamp, cmds: cmds})
	}
	a, b, world := []byte("a"), []byte("b"), []byte("world:USD")
	create := func(id []byte) ledger.Command {
		return ledger.Command{Kind: ledger.CreateAccount, Source: id, Currency: usd, Limit: 100}
	}
	pay := func(from, to []byte, amount int64) ledger.Command {
		return ledger.Command{Kind: ledger.Pay, Source: from, Destination: to, Currency: usd, Amount: amount}
	}
	entry(create(a), create(b), create(a), pay(world, a, 5000))
	for range 70 {
		hold := pay(a, b, 10)
		hold.Kind, hold.ExpiresIn = ledger.Authorize, 3600
		entry(hold, hold, pay(a, b, 1), pay(b, world, 2))
		first := seq - 3
		entry(
			ledger.Command{Kind: ledger.Capture, Payment: first, Amount: 4},
			ledger.Command{Kind: ledger.Capture, Payment: first, Amount: 1, Final: true},
			ledger.Command{Kind: ledger.Refund, Payment: first, Amount: 2},
			ledger.Command{Kind: ledger.UpdateAccount, Source: b, Sets: ledger.SetsLimit, Limit: int64(100 + seq%3)},
			pay(a, b, 1_000_000), // refused
		)
	}
	entry(ledger.Command{Kind: ledger.Void, Payment: seq - 8})
	for range 50 {
		entry(pay(world, b, 1), pay(world, b, 1), pay(world, b, 1), pay(world, b, 1))
	}
	return log
}

// audited runs the log, closes the node with the state saved, has plant damage
// the store's rows, and verifies what a node makes of it that is opened then.
func audited(t *testing.T, plant func(db *pebble.DB)) Report {
	t.Helper()
	fs := vfs.NewMem()
	n := openTestNode(t, fs, 1)
	n.apply(auditLog())
	n.balanced(true)
	if err := n.snapshot(); err != nil {
		t.Fatal(err)
	}
	n.close()

	db, err := pebble.Open("states/state-1", &pebble.Options{
		FS: fs, FormatMajorVersion: pebble.FormatValueSeparation, Logger: quietPebble{},
	})
	if err != nil {
		t.Fatal(err)
	}
	plant(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	n = openTestNode(t, fs, 1)
	defer n.close()
	report, err := n.fsm.Verify(context.Background(), true)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

type quietPebble struct{}

func (quietPebble) Infof(string, ...any)         {}
func (quietPebble) Errorf(string, ...any)        {}
func (quietPebble) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

// rowsOf returns the keys of db that start with prefix.
func rowsOf(t *testing.T, db *pebble.DB, prefix string) (keys [][]byte) {
	t.Helper()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte(prefix), UpperBound: append([]byte(prefix), 0xff)})
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		keys = append(keys, append([]byte(nil), it.Key()...))
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	if len(keys) == 0 {
		t.Fatalf("no rows under %q", prefix)
	}
	return keys
}

// deletes deletes the first row under prefix.
func deletes(prefix string) func(*testing.T, *pebble.DB) {
	return func(t *testing.T, db *pebble.DB) {
		if err := db.Delete(rowsOf(t, db, prefix)[0], pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
}

// executes executes commands on the accounts in the checkpoint's pages, from seq
// on, as if the journal did not exist.
func executes(seq uint64, cmds ...ledger.Command) func(*testing.T, *pebble.DB) {
	return func(t *testing.T, db *pebble.DB) {
		group, err := shard.New(shard.Options{Shards: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer group.Close()
		for _, key := range rowsOf(t, db, "c\x00") {
			page, closer, err := db.Get(key)
			if err != nil {
				t.Fatal(err)
			}
			k := shard.Key{Shard: binary.BigEndian.Uint32(key[1:]), Page: binary.BigEndian.Uint32(key[5:])}
			if err := group.Load(k, page); err != nil {
				t.Fatal(err)
			}
			if err := closer.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var slots []*shard.Slot
		for i, c := range cmds {
			slots = append(slots, &shard.Slot{Record: ledger.Record{Seq: seq + uint64(i), Time: 1, Command: c}})
		}
		group.Execute(slots)
		frozen := group.Freeze(shard.Checkpoint)
		defer frozen.Done(true)
		for k, page := range frozen.Pages() {
			key := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("c"), k.Shard), k.Page)
			if err := db.Set(key, page, pebble.Sync); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAuditNamesWhatIsWrong(t *testing.T) {
	pay := func(from, to string, amount int64) ledger.Command {
		return ledger.Command{Kind: ledger.Pay, Source: []byte(from), Destination: []byte(to), Currency: usd, Amount: amount}
	}
	for name, test := range map[string]struct {
		plant func(*testing.T, *pebble.DB)
		want  []string // each in a fault
	}{
		"nothing":           {func(*testing.T, *pebble.DB) {}, nil},
		"balance in a page": {executes(5000, pay("a", "world:USD", 7)), []string{`account "a": row 632 left it posted 4720, held 700, version 422; all that is newer leaves 4713, 700, 423`, "not in row 5000"}},
		"sums to zero":      {executes(5000, pay("a", "b", 7)), []string{`account "a": `, `account "b": `}},
		"held in a page":    {executes(5000, ledger.Command{Kind: ledger.Authorize, Source: []byte("a"), Destination: []byte("b"), Currency: usd, Amount: 3, ExpiresIn: 9}), []string{`all that is newer leaves 4720, 703, 423`}},
		"version in a page": {executes(5000, ledger.Command{Kind: ledger.UpdateAccount, Source: []byte("a"), Sets: ledger.SetsLimit, Limit: 1}), []string{`account "a": `}},
		"account of no row": {executes(5000, ledger.Command{Kind: ledger.CreateAccount, Source: []byte("c"), Currency: usd}), []string{"account 5000 was created by no row"}},
		"page":              {deletes("c\x00"), []string{`account "a" of row 632 is on no shard`}},
		"journal rows":      {deletes("j"), []string{"row 4 is missing"}},
		"history row":       {deletes("h\x00"), []string{"journal row 385 is not in the history of its account"}},
		"world history row": {deletes("h\xff"), []string{"journal row 820 is not in the history of its account"}},
		"event":             {deletes("e"), []string{"journal row 9 is not in the events of its payment"}},
		"hold":              {deletes("x"), []string{"journal row 5 is not in the holds that lapse"}},
		"id":                {deletes("i"), []string{"journal row 1 is not in the list of accounts"}},
		"idempotency key":   {deletes("k\x00\x00\x00\x01\x00"), []string{"is not found by its idempotency key"}},
	} {
		t.Run(name, func(t *testing.T) {
			report := audited(t, func(db *pebble.DB) { test.plant(t, db) })
			if report.OK != (test.want == nil) || report.FaultCount < len(report.Faults) || len(report.Faults) > maxFaults {
				t.Errorf("ok %t, %d faults, %d of them listed", report.OK, report.FaultCount, len(report.Faults))
			}
			all := strings.Join(report.Faults, "\n")
			for _, want := range test.want {
				if !strings.Contains(all, want) {
					t.Errorf("%q is not among the faults", want)
				}
			}
			if t.Failed() || testing.Verbose() {
				t.Logf("%d faults:\n%s", report.FaultCount, all)
			}
		})
	}
}

// A report stays short when everything is wrong.
func TestAuditOfALostIndex(t *testing.T) {
	n := openTestNode(t, vfs.NewMem(), 2)
	defer n.close()
	n.apply(auditLog())
	m := n.fsm.machine
	kept := m.keys
	defer func() { m.keys = kept }()
	var err error
	if m.keys, err = store.OpenKeys(m.store, store.KeyOptions{Retention: testRetention}, nil, 1); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.keys.Close(); err != nil {
			t.Error(err)
		}
	}()
	report, err := n.fsm.Verify(context.Background(), true)
	if err != nil || report.OK || len(report.Faults) != maxFaults || report.FaultCount < 200 {
		t.Errorf("%d faults, %d listed, ok %t, %v", report.FaultCount, len(report.Faults), report.OK, err)
	}
}

// during calls do when an audit has read some rows: it asks for its context's end
// after each.
type during struct {
	context.Context
	rows int
	do   func() error
}

func (d *during) Err() error {
	if d.rows--; d.rows == 0 {
		return d.do()
	}
	return nil
}

// TestPaymentsGoOnDuringAnAudit applies the second half of a log, in which
// everything changes that the first half made, from within the audit of the first.
func TestPaymentsGoOnDuringAnAudit(t *testing.T) {
	log := auditLog()
	half := len(log) / 2
	n := openTestNode(t, vfs.NewMem(), 2)
	defer n.close()
	n.apply(log[:half])
	last := n.fsm.machine.pos.Seq
	applied := false
	report, err := n.fsm.Verify(&during{Context: context.Background(), rows: 50, do: func() error {
		n.apply(log[half:])
		// The keys of the audited rows expire, and the holds lapse and are dropped.
		late := log[len(log)-1]
		n.apply([]logEntry{{index: late.index + 1, stamp: late.stamp + 4000*ledger.Second}})
		applied = true
		return n.snapshot()
	}}, true)
	if err != nil || !report.OK || report.Rows != last || !applied {
		t.Fatalf("%+v, %v; the rest applied: %t", report, err, applied)
	}
	n.balanced(true)
}

func TestAuditIsStopped(t *testing.T) {
	n := openTestNode(t, vfs.NewMem(), 1)
	defer n.close()
	n.apply(auditLog())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := n.fsm.Verify(ctx, true); !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled audit returned %v", err)
	}
}

// The end of a node waits for an audit only to its next row.
func TestAuditEndsWithTheNode(t *testing.T) {
	n := openTestNode(t, vfs.NewMem(), 1)
	n.apply(auditLog())
	closed := make(chan struct{})
	_, err := n.fsm.Verify(&during{Context: context.Background(), rows: 5, do: func() error {
		go func() {
			defer close(closed)
			n.close()
		}()
		for !n.fsm.ending.Load() {
			runtime.Gosched()
		}
		return nil
	}}, true)
	if !errors.Is(err, errNoState) {
		t.Errorf("the audit returned %v", err)
	}
	<-closed
}
