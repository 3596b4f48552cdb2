package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

// watchedLog sends messages to whoever waits for one.
type watchedLog struct {
	slog.Handler
	mu      sync.Mutex
	waiting map[string]chan struct{}
}

func newWatchedLog() *watchedLog {
	return &watchedLog{Handler: slog.DiscardHandler, waiting: map[string]chan struct{}{}}
}

func (w *watchedLog) Enabled(context.Context, slog.Level) bool { return true }

func (w *watchedLog) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ch, ok := w.waiting[r.Message]; ok {
		close(ch)
		delete(w.waiting, r.Message)
	}
	return nil
}

// next returns a channel that closes at the next message of that text.
func (w *watchedLog) next(msg string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch := make(chan struct{})
	w.waiting[msg] = ch
	return ch
}

func nodeConfig(t *testing.T, dir string) Config {
	return Config{
		NodeID: "n1", DataDir: dir, RaftListen: "127.0.0.1:0", Shards: 2, SegmentBytes: 1 << 20,
		Fatal: func(err error) { t.Errorf("fatal: %v", err) },
	}
}

// startNode opens a node and waits until it leads.
func startNode(t *testing.T, cfg Config) *Node {
	t.Helper()
	watched := newWatchedLog()
	leading := watched.next("leading")
	cfg.Logger = slog.New(watched)
	n, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-leading:
	case <-time.After(time.Minute):
		t.Fatal("the node never leads")
	}
	if err := n.Ready(); err != nil {
		t.Fatal(err)
	}
	return n
}

func stopNode(t *testing.T, n *Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatalf("second close: %v", err)
	}
}

// proposer proposes payments, every one an entry of its own.
type proposer struct {
	stamp ledger.Micros
	count int
}

func (p *proposer) propose(n *Node, cmds ...ledger.Command) (*ledger.Applied, error) {
	p.stamp += 1000
	e := logEntry{stamp: p.stamp, cmds: cmds}
	data := e.encode()
	ledger.PutEntryHeader(data, n.State().Format(), len(cmds), p.stamp)
	return n.Propose(data).Wait()
}

func (p *proposer) pay(t *testing.T, n *Node, times int) {
	t.Helper()
	usd := ledgertest.Currency("USD")
	for range times {
		p.count++
		applied, err := p.propose(n,
			ledger.Command{Kind: ledger.CreateAccount, Source: []byte("a"), Currency: usd},
			ledger.Command{
				Kind: ledger.Pay, Key: fmt.Appendf(nil, "k%d", p.count), Source: []byte("world:USD"),
				Destination: []byte("a"), Currency: usd, Amount: 1,
			})
		if err != nil {
			t.Fatal(err)
		}
		if r := applied.Results[1]; r.Replayed || r.Record.Code != ledger.OK {
			t.Fatalf("payment %d: %+v", p.count, r)
		}
	}
}

// check compares what the node has with what was paid.
func (p *proposer) check(t *testing.T, n *Node) {
	t.Helper()
	view, ok, err := n.State().Account([]byte("a"))
	if err != nil || !ok || view.Posted != int64(p.count) {
		t.Fatalf("account: %+v, %t, %v; want %d", view, ok, err, p.count)
	}
	report, err := n.State().Verify(context.Background(), true)
	if err != nil || !report.OK {
		t.Fatalf("verify: %+v, %v", report, err)
	}
	page, ok, err := n.State().Entries([]byte("a"), true, 0, p.count+1)
	if err != nil || !ok || len(page.Entries) != p.count || page.More {
		t.Fatalf("%d entries, %t, %v; want %d", len(page.Entries), ok, err, p.count)
	}
}

func TestNodeRestarts(t *testing.T) {
	cfg := nodeConfig(t, t.TempDir())
	var p proposer
	n := startNode(t, cfg)
	p.pay(t, n, 20)
	before := n.Status()
	stopNode(t, n)
	if _, err := n.Propose([]byte("late")).Wait(); !errors.Is(err, ledger.ErrNoLeader) {
		t.Fatalf("proposed to a closed node: %v", err)
	}

	n = startNode(t, cfg)
	after := n.Status()
	if after.Digest != before.Digest || after.Sequence != before.Sequence || after.AppliedIndex != before.AppliedIndex {
		t.Fatalf("%+v, before %+v", after, before)
	}
	if after.Role != "leader" || after.Leader != "n1" || len(after.Members) != 1 {
		t.Fatalf("%+v", after)
	}
	p.check(t, n)
	// The first request of all, again.
	applied, err := p.propose(n, ledger.Command{
		Kind: ledger.Pay, Key: []byte("k1"), Source: []byte("world:USD"),
		Destination: []byte("a"), Currency: ledgertest.Currency("USD"), Amount: 1,
	})
	if err != nil || !applied.Results[0].Replayed || applied.Results[0].Record.Seq != 2 {
		t.Fatalf("retry: %+v, %v", applied, err)
	}
	p.check(t, n)
	stopNode(t, n)
}

func TestNodeSnapshotsAndRestarts(t *testing.T) {
	cfg := nodeConfig(t, t.TempDir())
	cfg.TrailingLogs = 5
	var p proposer
	n := startNode(t, cfg)
	p.pay(t, n, 30)
	meta, _, err := n.TakeSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	if first, err := n.log.FirstIndex(); err != nil || first < meta.Index-5 {
		t.Fatalf("log starts at %d after a snapshot at %d: %v", first, meta.Index, err)
	}
	if meta.Stats.Accounts != 1 || meta.Stats.Totals[0].Issued != "30" || meta.Stats.Digest != n.Status().Digest {
		t.Fatalf("%+v", meta.Stats)
	}
	p.pay(t, n, 3)
	digest := n.Status().Digest
	stopNode(t, n)

	n = startNode(t, cfg)
	if got := n.Status().Digest; got != digest {
		t.Fatalf("digest %s, want %s", got, digest)
	}
	requireReplays(t, n, &p)
	p.check(t, n)
	digest = n.Status().Digest
	stopNode(t, n)

	// Without its state the node takes the snapshot's and replays the rest.
	if err := os.RemoveAll(filepath.Join(cfg.DataDir, statesName)); err != nil {
		t.Fatal(err)
	}
	n = startNode(t, cfg)
	if got := n.Status().Digest; got != digest {
		t.Fatalf("digest %s after the loss of the state, want %s", got, digest)
	}
	p.pay(t, n, 2)
	p.check(t, n)
	if _, _, err := n.TakeSnapshot(); err != nil {
		t.Fatal(err)
	}
	stopNode(t, n)
}

// A node that is alone and comes back on another port says so.
func TestLoneNodeMovesToAnotherAddress(t *testing.T) {
	cfg := nodeConfig(t, t.TempDir())
	addrs := freeAddrs(t, 2)
	for _, addr := range append(addrs, addrs[0]) {
		cfg.RaftListen = addr
		n := startNode(t, cfg)
		c := testCluster{t: t, nodes: map[string]*Node{"n1": n}, supervise: func() {}}
		c.eventually("the node's address is known", func() bool {
			m := n.Status().Members
			record, _ := n.fsm.membership().find("n1")
			return len(m) == 1 && m[0].RaftAddress == addr && m[0].Voter && record.RaftAddr == addr
		})
		last := n.Status().CommitIndex
		stopNode(t, n)
		n = startNode(t, cfg)
		if err := n.look(context.Background()); err != nil {
			t.Error(err)
		}
		if grown := n.Status().CommitIndex - last; grown != 3 { // the barrier of the end, the election, its barrier
			t.Errorf("a start at the same address made %d entries", grown)
		}
		stopNode(t, n)
	}
}

func TestNodeSnapshotsByItself(t *testing.T) {
	cfg := nodeConfig(t, t.TempDir())
	cfg.SnapshotBytes = 1000
	watched := newWatchedLog()
	leading, taken := watched.next("leading"), watched.next("snapshot taken")
	cfg.Logger = slog.New(watched)
	n, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	<-leading
	var p proposer
	p.pay(t, n, 20) // over 1000 bytes
	<-taken
	if list, err := n.Snapshots(); err != nil || len(list) == 0 {
		t.Fatalf("%d snapshots, %v", len(list), err)
	}
	stopNode(t, n)
}

func TestNodeRefusesForeignOrIncompleteData(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(t *testing.T, cfg *Config)
		want   error
	}{
		{"other node", func(_ *testing.T, cfg *Config) { cfg.NodeID = "n2" }, ErrForeignData},
		{"other retention", func(_ *testing.T, cfg *Config) { cfg.Retention = 1 << 40 }, ErrRetention},
		{"votes lost", remove(stableName), ErrDataMissing},
		{"votes damaged", flipByte(stableName, 16), ErrStableDamaged},
		{"log lost", remove(logName), ErrDataMissing},
		{"log emptied", func(t *testing.T, cfg *Config) {
			remove(logName)(t, cfg)
			if err := os.Mkdir(filepath.Join(cfg.DataDir, logName), 0o755); err != nil {
				t.Fatal(err)
			}
		}, ErrDataMissing},
		{"snapshots lost", remove(snapshotsName), ErrDataMissing},
		{"snapshots and state lost", func(t *testing.T, cfg *Config) {
			remove(snapshotsName)(t, cfg)
			remove(statesName)(t, cfg)
		}, ErrDataMissing},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := nodeConfig(t, t.TempDir())
			cfg.TrailingLogs = 1
			n := startNode(t, cfg)
			var p proposer
			p.pay(t, n, 10)
			if _, _, err := n.TakeSnapshot(); err != nil {
				t.Fatal(err)
			}
			p.pay(t, n, 1) // acknowledged, and only in the log
			stopNode(t, n)
			test.change(t, &cfg)
			n, err := Open(cfg)
			if err == nil {
				_ = n.Close()
			}
			if !errors.Is(err, test.want) {
				t.Fatalf("opened with %v", err)
			}
		})
	}
}

func remove(name string) func(*testing.T, *Config) {
	return func(t *testing.T, cfg *Config) {
		if err := os.RemoveAll(filepath.Join(cfg.DataDir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// flipByte changes a byte of a file.
func flipByte(name string, at int) func(*testing.T, *Config) {
	return func(t *testing.T, cfg *Config) {
		path := filepath.Join(cfg.DataDir, name)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		raw[at] ^= 1
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheckReach(t *testing.T) {
	logs := raft.NewInmemStore()
	for i := uint64(10); i <= 20; i++ {
		if err := logs.StoreLog(&raft.Log{Index: i}); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		at, covered uint64
		ok          bool
	}{
		{at: 9, covered: 9, ok: true},
		{at: 20, covered: 15, ok: true},
		{at: 21, covered: 15}, // the log has lost entry 21
		{at: 25, covered: 25, ok: true},
		{at: 15, covered: 8}, // raft would miss entry 9
		{at: 15, covered: 0},
	} {
		if err := checkReach(logs, test.at, test.covered); (err == nil) != test.ok || err != nil && !errors.Is(err, ErrDataMissing) {
			t.Errorf("%+v: %v", test, err)
		}
	}
	if err := checkReach(raft.NewInmemStore(), 0, 0); err != nil {
		t.Error(err)
	}
}

func TestDataDirectoryIsLocked(t *testing.T) {
	cfg := nodeConfig(t, t.TempDir())
	n := startNode(t, cfg)
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("opened twice: %v", err)
	}
	stopNode(t, n)
}

func TestOpenFailsCleanly(t *testing.T) {
	for _, name := range []string{logName, snapshotsName, statesName} {
		dir := t.TempDir()
		cfg := nodeConfig(t, dir)
		stopNode(t, startNode(t, cfg))
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(cfg); err == nil {
			t.Fatalf("opened with a file for %s", name)
		}
	}
	cfg := nodeConfig(t, t.TempDir())
	cfg.RaftListen = "127.0.0.1:none"
	if _, err := Open(cfg); err == nil {
		t.Fatal("opened on no port")
	}
	// Everything was let go: the same directory opens.
	cfg.RaftListen = "127.0.0.1:0"
	stopNode(t, startNode(t, cfg))
}

func TestFailedAppendIsFatal(t *testing.T) {
	told := make(chan error, 1)
	cfg := nodeConfig(t, t.TempDir())
	cfg.Fatal = func(err error) {
		select {
		case told <- err:
		default:
		}
	}
	n := startNode(t, cfg)
	n.guard.LogStore = failingLog{n.log}
	if _, err := n.Propose(make([]byte, ledger.EntryHeaderLen)).Wait(); !errors.Is(err, ledger.ErrOutcomeUnknown) {
		t.Fatalf("answered with %v", err)
	}
	if err := <-told; !errors.Is(err, errDisk) {
		t.Fatalf("fatal with %v", err)
	}
	stopNode(t, n)
}

var errDisk = errors.New("input/output error")

type failingLog struct{ raft.LogStore }

func (failingLog) StoreLogs([]*raft.Log) error { return errDisk }

func TestTrailingLogs(t *testing.T) {
	for _, test := range []struct {
		bytes, entries int64
		want           uint64
	}{
		{0, 0, 10_240},
		{100 << 20, 1 << 20, 10_240}, // 100 bytes each
		{150_000 * 100, 100, 1789},
		{100 << 20, 10, minTrailing},
	} {
		if got := trailingLogs(10_240, 256<<20, test.bytes, test.entries); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
}
