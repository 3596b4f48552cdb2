package raftfsm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

// nextFormat is that of a release to come. Its layouts are those of this one.
const nextFormat = ledger.NewestFormat + 1

// payer pays one unit after another on whichever node leads, each until it is known
// to be applied.
type payer struct {
	proposer
	nodes atomic.Pointer[[]*Node]
	paid  atomic.Int64
	stop  atomic.Bool
	ended chan struct{}
}

// payer starts one. It has to be told when nodes have come or gone.
func (c *testCluster) payer() *payer {
	p := &payer{ended: make(chan struct{})}
	p.meet(c)
	go func() {
		defer close(p.ended)
		for !p.stop.Load() {
			p.count++
			for !p.try() {
				time.Sleep(time.Millisecond) // nobody leads at the moment
			}
			p.paid.Add(1)
			time.Sleep(time.Millisecond) // leaves the nodes some of the machine
		}
	}()
	c.t.Cleanup(p.end)
	return p
}

func (p *payer) meet(c *testCluster) {
	var nodes []*Node
	for _, n := range c.nodes {
		nodes = append(nodes, n)
	}
	p.nodes.Store(&nodes)
}

func (p *payer) try() bool {
	usd := ledgertest.Currency("USD")
	for _, n := range *p.nodes.Load() {
		if n.Ready() != nil {
			continue
		}
		applied, err := p.propose(n,
			ledger.Command{Kind: ledger.CreateAccount, Source: []byte("a"), Currency: usd},
			ledger.Command{
				Kind: ledger.Pay, Key: fmt.Appendf(nil, "k%d", p.count), Source: []byte("world:USD"),
				Destination: []byte("a"), Currency: usd, Amount: 1,
			})
		if err == nil && applied.Results[1].Record.Code == ledger.OK {
			return true
		}
	}
	return p.stop.Load()
}

// await waits for payments that begin from now on.
func (p *payer) await(c *testCluster) {
	c.t.Helper()
	from := p.paid.Load()
	c.eventually("payments go on", func() bool { return p.paid.Load() >= from+10 })
}

// end stops the payer, at the latest when all nodes are gone.
func (p *payer) end() {
	p.stop.Store(true)
	<-p.ended
}

// restart starts a node again, in a release that reads formats up to newest.
func (c *testCluster) restart(id string, newest int) {
	c.t.Helper()
	c.stop(id)
	c.release(id, newest)
	c.start(id)
}

func (c *testCluster) release(id string, newest int) {
	cfg := c.cfg[id]
	cfg.newest = newest
	c.cfg[id] = cfg
}

// startDoomed starts a node that is to end its process, and returns what it says then.
func (c *testCluster) startDoomed(id string) error {
	c.t.Helper()
	told := make(chan error, 1)
	cfg := c.cfg[id]
	cfg.Fatal = func(err error) {
		select {
		case told <- err:
		default:
		}
		runtime.Goexit() // nothing on this goroutine goes on
	}
	n, err := Open(cfg)
	if err != nil {
		return err
	}
	c.nodes[id] = n
	select {
	case err = <-told:
	case <-time.After(time.Minute):
		c.t.Fatalf("%s goes on: %+v", id, n.Status())
	}
	c.stop(id)
	return err
}

func requireFormatRefused(t *testing.T, err error, what string) {
	t.Helper()
	text := fmt.Sprint(err)
	for _, part := range []string{what, "format 2", "formats up to 1", "run the release"} {
		if !errors.Is(err, ledger.ErrFormat) || !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
			return
		}
	}
}

// announced waits until the leader has it in the log which formats a node reads.
func (c *testCluster) announced(id string, newest int) {
	c.t.Helper()
	c.eventually(id+" has announced its formats", func() bool {
		record, ok := c.leader().fsm.membership().find(id)
		return ok && record.Formats == newest
	})
}

// inUse waits until a format is.
func (c *testCluster) inUse(format int) {
	c.t.Helper()
	c.eventually("the format is in use", func() bool { return c.leader().State().Format() == format })
}

// requireFormats reads the log of a node from its first entry: none may have a format
// that a member of that moment had not announced. It returns how many entries of
// the ledger have which format.
func requireFormats(t *testing.T, n *Node) (count map[int]int) {
	t.Helper()
	last, err := n.log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	state := &membership{}
	count = map[int]int{}
	for i := uint64(1); i <= last; i++ {
		var entry raft.Log
		if err := n.log.GetLog(i, &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Type != raft.LogCommand {
			continue
		}
		format, change := int(entry.Data[0]), memberChange{}
		if isMemberChange(entry.Data) {
			format = int(entry.Data[1])
			if change, err = decodeMemberChange(entry.Data, nextFormat); err != nil {
				t.Fatal(err)
			}
		} else {
			count[format]++
		}
		if common := state.common(nil); format > common || change.Format > common {
			t.Errorf("entry %d has format %d and raises it to %d; the members are %+v", i, format, change.Format, state.Members)
		}
		state = state.changed(change)
	}
	return count
}

// TestRollingUpgrade: nodes of the next release replace those of this one, one after
// another, while payments go on. The new format is used once the last has announced
// it, and from then on no node of the old release is of any use.
func TestRollingUpgrade(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3", "n4")
	for id, cfg := range c.cfg { // n4 joins later
		cfg.Join, cfg.Expect = c.cfg["n1"].Join[:3], 3
		c.cfg[id] = cfg
	}
	c.start("n1", "n2", "n3")
	p := c.payer()
	p.await(c)
	for _, id := range []string{"n1", "n2", "n3"} {
		if got := requireFormats(t, c.leader()); got[nextFormat] > 0 || got[ledger.NewestFormat] == 0 {
			t.Fatalf("before the upgrade of %s there are entries of these formats: %v", id, got)
		}
		c.restart(id, nextFormat)
		p.meet(c)
		c.announced(id, nextFormat)
		p.await(c)
	}
	c.inUse(nextFormat)
	before := requireFormats(t, c.leader())
	p.await(c)
	if got := requireFormats(t, c.leader()); got[nextFormat] <= before[nextFormat] {
		t.Errorf("entries of these formats: %v, and then %v", before, got)
	}

	// One goes back.
	id := c.follower().cfg.NodeID
	c.stop(id)
	p.meet(c)
	c.release(id, ledger.NewestFormat)
	requireFormatRefused(t, c.startDoomed(id), "apply log entry")
	p.await(c)

	// Another one comes that is too old.
	c.start("n4")
	c.eventually("n4 is refused", func() bool {
		why := c.nodes["n4"].Forming()
		if why == "" {
			t.Fatal("n4 was let in")
		}
		return strings.Contains(why, `uses format 2, node "n4" reads formats up to 1`)
	})
	leader, old := c.leader(), c.nodes["n4"].self()
	if err := leader.AddMember(context.Background(), old); !errors.Is(err, ErrCannotChange) || !errors.Is(err, ledger.ErrFormat) {
		t.Errorf("n4 was added by hand: %v", err)
	}
	if _, ok := leader.fsm.membership().find("n4"); ok {
		t.Error("n4 is a member")
	}
	c.restart("n4", nextFormat)
	c.release(id, nextFormat)
	c.start(id)
	c.requireMembers("n1", "n2", "n3", "n4")
	p.end()
	c.settled()
	for _, n := range c.nodes {
		p.check(t, n)
		requireFormats(t, n)
	}
}

// TestOldNodeRefusesTheNewSnapshot: a node that has gone back to the old release gets a
// snapshot in place of a log that the leader does not have any more.
func TestOldNodeRefusesTheNewSnapshot(t *testing.T) {
	c := newTestCluster(t, "n1", "n2", "n3")
	for id, cfg := range c.cfg {
		cfg.TrailingLogs = 1
		c.cfg[id] = cfg
	}
	c.start("n1", "n2", "n3")
	c.pay(t, c.leader(), 5)
	c.settled()
	c.restart("n1", nextFormat)
	c.announced("n1", nextFormat)
	c.stop("n1") // before there is anything new in its log
	for _, id := range []string{"n2", "n3"} {
		c.restart(id, nextFormat)
		c.announced(id, nextFormat)
	}
	c.inUse(nextFormat)
	c.pay(t, c.leader(), 5)
	c.missed(c.leader(), "n1")
	for _, n := range c.nodes {
		meta, _, err := n.TakeSnapshot()
		if err != nil {
			t.Fatal(err)
		}
		if meta.Format != nextFormat {
			t.Errorf("%s took a snapshot of format %d", n.cfg.NodeID, meta.Format)
		}
	}
	c.release("n1", ledger.NewestFormat)
	requireFormatRefused(t, c.startDoomed("n1"), "snapshot")
	c.release("n1", nextFormat)
	c.start("n1")
	c.settled()
	for _, n := range c.nodes {
		c.check(t, n)
	}

	// Nor does a node of the old release start on what the new one has written.
	c.stop("n2")
	c.release("n2", ledger.NewestFormat)
	_, err := Open(c.cfg["n2"])
	requireFormatRefused(t, err, "snapshot")
}

// TestFormatOfAllMembers: learners count, and so does whoever is not known.
func TestFormatOfAllMembers(t *testing.T) {
	members := []MemberRecord{
		{ID: "n1", Formats: 4}, {ID: "n2", Formats: 3}, {ID: "n3", Formats: 2, Learner: true}, {ID: "n4", Formats: 1, Removed: true},
	}
	for _, test := range []struct {
		members []MemberRecord
		server  string
		want    int
	}{
		{nil, "", 1},
		{nil, "n1", 1},
		{members[:1], "n1", 4},
		{members[:2], "n1", 3},
		{members[:3], "n1", 2},
		{members, "n1", 2},
		{members, "n4", 1},
		{members, "n5", 1},
		{[]MemberRecord{{ID: "n1"}}, "n1", 1},
	} {
		state := membership{Members: test.members}
		var servers []raft.Server
		if test.server != "" {
			servers = append(servers, raft.Server{ID: raft.ServerID(test.server)})
		}
		if got := state.common(servers); got != test.want {
			t.Errorf("of %+v and a server %q: %d, want %d", test.members, test.server, got, test.want)
		}
	}
	one := &membership{Members: slices.Clone(members)}
	if got := one.changed(memberChange{Format: 3}).changed(memberChange{Format: 2}).changed(memberChange{Found: "new"}).format(); got != 3 {
		t.Errorf("format 3 became %d", got)
	}
}
