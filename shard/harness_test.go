package shard

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Both ways of executing an entry, forced.
func fanOutAlways(int, int) bool { return true }
func soloAlways(int, int) bool   { return false }

// mode is one way to run a group.
type mode struct {
	name   string
	shards int
	policy policy
}

func modes() (all []mode) {
	all = append(all, mode{"1 shard", 1, measured}, mode{"2 shards", 2, measured})
	for _, n := range []int{2, 3, 16} {
		all = append(all,
			mode{fmt.Sprintf("%d shards, fan-out", n), n, fanOutAlways},
			mode{fmt.Sprintf("%d shards, solo", n), n, soloAlways})
	}
	return all
}

// failer is what a *testing.T and a *rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func newGroup(t failer, m mode) *Group {
	t.Helper()
	g, err := New(Options{Shards: m.shards})
	if err != nil {
		t.Fatalf("%v", err)
	}
	g.policy = m.policy
	return g
}

// machine does what a state machine does around a group: it numbers, and it
// remembers payments from one entry to the next.
type machine struct {
	group    *Group
	payments map[uint64]*ledger.Payment
}

func newMachine(g *Group) *machine {
	return &machine{group: g, payments: map[uint64]*ledger.Payment{}}
}

// entry executes steps with one call of Execute.
func (m *machine) entry(steps []ledgertest.Step) []*ledger.Record {
	slots := make([]*Slot, len(steps))
	here := map[uint64]*Slot{}
	shared := map[uint64]*ledger.Payment{}
	for i := range steps {
		c := steps[i].Command
		s := &Slot{Record: ledger.Record{
			Seq: steps[i].Seq, Time: steps[i].Time, Command: c, Raw: ledger.AppendCommand(nil, &c),
		}}
		if c.Kind.OnPayment() {
			s.Origin = here[c.Payment]
			if p := m.payments[c.Payment]; p != nil && s.Origin == nil {
				if shared[c.Payment] == nil {
					copied := *p
					shared[c.Payment] = &copied
				}
				s.Record.Payment = shared[c.Payment]
			}
		}
		slots[i], here[s.Record.Seq] = s, s
	}
	m.group.Execute(slots)
	records := make([]*ledger.Record, len(slots))
	for i, s := range slots {
		records[i] = &s.Record
		m.remember(records[i])
	}
	return records
}

// remember keeps a payment as the journal does: what its request fixed, with the
// state of its newest accepted event.
func (m *machine) remember(rec *ledger.Record) {
	switch c := &rec.Command; {
	case rec.Code != ledger.OK || c.Kind < ledger.Pay:
	case c.Kind.OnPayment():
		m.payments[c.Payment].State = rec.State
	default:
		m.payments[rec.Seq] = ledger.PaymentOf(rec)
	}
}

// run executes a log, split into entries at random.
func (m *machine) run(t *rapid.T, steps []ledgertest.Step) (records []*ledger.Record) {
	for len(steps) > 0 {
		n := min(len(steps), rapid.SampledFrom([]int{1, 2, 5, 20, 1000}).Draw(t, "entry"))
		records = append(records, m.entry(steps[:n])...)
		steps = steps[n:]
	}
	return records
}

// truth is a log's outcome by one thread, checked against the model.
func truth(t *rapid.T, steps []ledgertest.Step) (*ledgertest.Book, []*ledger.Record) {
	book, model := ledgertest.NewBook(), ledgertest.NewModel()
	var records []*ledger.Record
	for i := range steps {
		s := &steps[i]
		rec := book.Apply(s.Seq, s.Time, &s.Command)
		want := model.Apply(s.Seq, s.Time, &s.Command)
		if err := want.Compare(rec); err != nil {
			t.Fatalf("command %d: the rules and the model differ: %v", s.Seq, err)
		}
		records = append(records, rec)
	}
	return book, records
}

// compareRecords compares all of the records but the payment, which goes on
// changing with the rest of the entry: of that, the identity.
func compareRecords(t failer, what string, got, want []*ledger.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d records, want %d", what, len(got), len(want))
	}
	for i := range want {
		var a, b uint64
		if want[i].Payment != nil {
			a = want[i].Payment.Seq
		}
		if got[i].Payment != nil {
			b = got[i].Payment.Seq
		}
		if a != b {
			t.Fatalf("%s: command %d acts on payment %d, want %d", what, want[i].Seq, b, a)
		}
		x, y := *want[i], *got[i]
		x.Payment, y.Payment = nil, nil
		if reflect.DeepEqual(x, y) { // fast; the comparison below takes nil for empty too
			continue
		}
		if diff := cmp.Diff(x, y, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s: command %d, %s (-one thread +shards):\n%s", what, want[i].Seq, want[i].Command.Kind, diff)
		}
	}
}

// state is all accounts by id, detached.
type state map[string]ledger.AccountView

func stateOfBook(b *ledgertest.Book) state {
	s := state{}
	for id, a := range b.Accounts {
		s[id] = ledger.AccountView{Account: *a, ID: []byte(id), Metadata: append(ledger.Metadata(nil), b.Metadata[id]...)}
	}
	return s
}

func stateOfFrozen(f *Frozen) state {
	s := state{}
	for v := range f.All() {
		v.ID = append([]byte(nil), v.ID...)
		v.Metadata = append(ledger.Metadata(nil), v.Metadata...)
		s[string(v.ID)] = v
	}
	return s
}

func compareStates(t failer, what string, got, want state) {
	t.Helper()
	if reflect.DeepEqual(want, got) {
		return
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// rows is what a checkpoint store holds.
type rows map[Key][]byte

// write takes the pages of f, as a store does.
func (r rows) write(f *Frozen) {
	if f.Whole() {
		clear(r)
	}
	for key, data := range f.Pages() {
		r[key] = append([]byte(nil), data...)
	}
}

// load fills g from r, in ascending order.
func (r rows) load(g *Group) error {
	const most = 1 << 10
	left := len(r)
	for shard := uint32(0); left > 0 && shard < most; shard++ {
		for page := uint32(0); ; page++ {
			data, ok := r[Key{shard, page}]
			if !ok {
				break
			}
			left--
			if err := g.Load(Key{shard, page}, data); err != nil {
				return err
			}
		}
	}
	if left > 0 {
		return fmt.Errorf("%d rows are not reachable", left)
	}
	return nil
}

var usd = ledgertest.Currency("USD")

// slotsOf returns slots for commands, numbered from seq.
func slotsOf(seq uint64, commands ...ledger.Command) []*Slot {
	slots := make([]*Slot, len(commands))
	for i, c := range commands {
		slots[i] = &Slot{Record: ledger.Record{Seq: seq + uint64(i), Time: 1, Command: c}}
	}
	return slots
}

// open creates accounts with ids prefix0.. and much to spend.
func open(g *Group, prefix string, n int) (ids [][]byte) {
	var slots []*Slot
	for i := range n {
		id := fmt.Appendf(nil, "%s%d", prefix, i)
		ids = append(ids, id)
		slots = append(slots, slotsOf(uint64(i+1), ledger.Command{
			Kind: ledger.CreateAccount, Source: id, Currency: usd, Limit: 1 << 60,
		})...)
		if len(slots) == 1000 || i == n-1 {
			g.Execute(slots)
			slots = nil
		}
	}
	return ids
}
