package raftfsm

import (
	"cmp"
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

// testRetention is short, so that generated logs outlast it.
const testRetention = 8 * ledger.Second

// logEntry is one committed entry of a generated log.
type logEntry struct {
	index uint64
	stamp ledger.Micros // as proposed: it can lie before the last one's
	cmds  []ledger.Command
}

func (e *logEntry) encode() []byte {
	data := make([]byte, ledger.EntryHeaderLen)
	ledger.PutEntryHeader(data, ledger.NewestFormat, len(e.cmds), e.stamp)
	for i := range e.cmds {
		data = ledger.AppendEntryCommand(data, &e.cmds[i])
	}
	return data
}

// answer is what the model says a command is answered with.
type answer struct {
	seq      uint64
	replayed bool
	conflict string
}

// executed is what the model remembers of a command that was executed.
type executed struct {
	cmd     ledger.Command
	time    ledger.Micros
	outcome ledgertest.Outcome
}

// logModel is the whole machine, naively: ledgertest's model for what a command
// does, a map for the keys that are remembered, a sorted list for the holds that
// lapse.
type logModel struct {
	book  *ledgertest.Model
	rows  []executed // by seq - 1
	keys  map[string]uint64
	holds []hold
	stamp ledger.Micros
	swept int // holds looked at
}

type hold struct {
	at  ledger.Micros
	seq uint64
}

func newLogModel() *logModel {
	return &logModel{book: ledgertest.NewModel(), keys: map[string]uint64{}}
}

func (m *logModel) begin(stamp ledger.Micros) {
	m.stamp = max(stamp, m.stamp+1)
	due := 0
	for ; due < maxSweep && m.swept < len(m.holds) && m.holds[m.swept].at <= m.stamp; due++ {
		h := m.holds[m.swept]
		m.swept++
		if m.book.Payments[h.seq].Held.Sign() > 0 {
			m.run(ledger.Command{Kind: ledger.Expire, Payment: h.seq})
		}
	}
}

func (m *logModel) next() uint64 { return uint64(len(m.rows) + 1) }

func (m *logModel) run(c ledger.Command) uint64 {
	seq := m.next()
	o := m.book.Apply(seq, m.stamp, &c)
	m.rows = append(m.rows, executed{cmd: c, time: m.stamp, outcome: o})
	if c.Kind == ledger.Authorize && o.Code == ledger.OK {
		m.holds = append(m.holds, hold{m.stamp + ledger.Micros(c.ExpiresIn)*ledger.Second, seq})
		slices.SortFunc(m.holds[m.swept:], func(a, b hold) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq))
		})
	}
	return seq
}

func (m *logModel) execute(c ledger.Command) answer {
	if len(c.Key) == 0 {
		return answer{seq: m.run(c)}
	}
	if seq, ok := m.keys[string(c.Key)]; ok {
		if row := m.rows[seq-1]; row.time+testRetention > m.stamp {
			if d := ledger.Difference(&row.cmd, &c); d != "" {
				return answer{conflict: d}
			}
			return answer{seq: seq, replayed: true}
		}
	}
	m.keys[string(c.Key)] = m.next()
	return answer{seq: m.run(c)}
}

// drawLog draws a log of at most n entries and runs the model beside it, so that
// commands can refer to what came before, in their own entry too.
func drawLog(t *rapid.T, n int) (log []logEntry, answers [][]answer, m *logModel) {
	m = newLogModel()
	g := logGenerator{t: t, m: m}
	index, now := uint64(1), ledger.Micros(1_000_000)
	for range rapid.IntRange(1, n).Draw(t, "entries") {
		index += rapid.SampledFrom([]uint64{1, 1, 1, 2, 3}).Draw(t, "gap") // raft's own entries
		now += ledger.Micros(rapid.SampledFrom([]int{-5, 0, 1, 1000, 300_000, 1_000_000, 3_000_000, 9_000_000}).Draw(t, "pause"))
		e := logEntry{index: index, stamp: now}
		m.begin(now)
		var as []answer
		for range rapid.SampledFrom([]int{0, 1, 1, 2, 5, 12}).Draw(t, "commands") {
			c := g.command()
			e.cmds = append(e.cmds, c)
			as = append(as, m.execute(c))
		}
		log, answers = append(log, e), append(answers, as)
	}
	return log, answers, m
}

type logGenerator struct {
	t    *rapid.T
	m    *logModel
	sent []ledger.Command
}

func (g *logGenerator) command() ledger.Command {
	if keyed := len(g.sent); keyed > 0 && rapid.IntRange(0, 9).Draw(g.t, "again") < 3 {
		c := g.sent[keyed-1-rapid.IntRange(0, min(keyed, 15)-1).Draw(g.t, "which")]
		if c.Kind != ledger.Void && rapid.IntRange(0, 4).Draw(g.t, "changed") == 0 {
			c.Amount++
		}
		return c
	}
	c := g.fresh()
	if c.Kind.Keyed() {
		c.Key = fmt.Appendf(nil, "k%d", rapid.IntRange(0, 40).Draw(g.t, "key"))
		g.sent = append(g.sent, c)
	}
	return c
}

func (g *logGenerator) fresh() ledger.Command {
	ids := []string{"a", "b", "c", "d", "world:USD"}
	id := func(what string, n int) []byte { return []byte(rapid.SampledFrom(ids[:n]).Draw(g.t, what)) }
	if g.m.next() <= 4 {
		return ledger.Command{Kind: ledger.CreateAccount, Source: []byte(ids[g.m.next()-1]), Currency: ledgertest.Currency("USD"), Limit: 20}
	}
	payment := func() uint64 {
		return rapid.Uint64Range(g.m.next()-min(g.m.next()-1, 12), g.m.next()+1).Draw(g.t, "payment")
	}
	switch rapid.SampledFrom([]int{0, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 5, 6, 6, 7}).Draw(g.t, "kind") {
	case 0:
		c := ledger.Command{Kind: ledger.CreateAccount, Source: id("create", 4), Currency: ledgertest.Currency("USD"), Limit: 20}
		if rapid.Bool().Draw(g.t, "euro") {
			c.Source, c.Currency = []byte("e"), ledgertest.Currency("EUR")
		}
		return c
	case 1:
		status := rapid.SampledFrom([]ledger.Status{ledger.Active, ledger.Active, ledger.Frozen}).Draw(g.t, "status")
		return ledger.Command{Kind: ledger.UpdateAccount, Source: id("update", 4), Sets: ledger.SetsStatus, Status: status}
	case 2, 3, 7:
		c := ledger.Command{
			Kind: ledger.Pay, Source: id("source", 5), Destination: id("destination", 5),
			Currency: ledgertest.Currency("USD"), Amount: rapid.Int64Range(1, 30).Draw(g.t, "amount"),
			ExpiresIn: rapid.Int64Range(1, 6).Draw(g.t, "expires in"),
		}
		if rapid.IntRange(0, 9).Draw(g.t, "abroad") == 0 {
			c.Source, c.Destination, c.Currency = []byte("world:EUR"), []byte("e"), ledgertest.Currency("EUR")
		}
		if rapid.Bool().Draw(g.t, "hold") {
			c.Kind = ledger.Authorize
		}
		return c
	case 4:
		return ledger.Command{
			Kind: ledger.Capture, Payment: payment(), Final: rapid.Bool().Draw(g.t, "final"),
			Amount: rapid.Int64Range(0, 15).Draw(g.t, "part"),
		}
	case 5:
		return ledger.Command{Kind: ledger.Void, Payment: payment()}
	}
	return ledger.Command{Kind: ledger.Refund, Payment: payment(), Amount: rapid.Int64Range(0, 10).Draw(g.t, "part")}
}

// check returns how what the machine answered to entry differs from the model.
func (m *logModel) check(entry *logEntry, want []answer, got *ledger.Applied) error {
	if got.Index != entry.index || len(got.Results) != len(want) {
		return fmt.Errorf("index %d with %d results", got.Index, len(got.Results))
	}
	for i, w := range want {
		r := got.Results[i]
		switch {
		case r.Conflict != w.conflict:
			return fmt.Errorf("command %d: conflict %q, want %q", i, r.Conflict, w.conflict)
		case w.conflict != "":
			if r.Record != nil {
				return fmt.Errorf("command %d: a conflict with a record", i)
			}
			continue
		case r.Replayed != w.replayed || r.Record.Seq != w.seq:
			return fmt.Errorf("command %d: seq %d, replayed %t; want %d, %t", i, r.Record.Seq, r.Replayed, w.seq, w.replayed)
		}
		row := m.rows[w.seq-1]
		if r.Record.Time != row.time {
			return fmt.Errorf("command %d: time %d, want %d", i, r.Record.Time, row.time)
		}
		if w.replayed {
			continue // compared with its first answer by the transcript
		}
		rec := *r.Record
		for _, leg := range []*ledger.Leg{&rec.Source, &rec.Destination} {
			if leg.World { // chained by the machine, not by the rules
				leg.Prev = 0
			}
		}
		if err := row.outcome.Compare(&rec); err != nil {
			return fmt.Errorf("command %d, seq %d: %w", i, rec.Seq, err)
		}
	}
	return nil
}

// history lists the seqs of the postings of every account, the world's included.
func (m *logModel) history() map[string][]uint64 {
	postings := map[string][]uint64{}
	for i, row := range m.rows {
		if row.outcome.Code != ledger.OK || row.cmd.Kind < ledger.Pay {
			continue
		}
		source, destination := string(row.cmd.Source), string(row.cmd.Destination)
		if row.cmd.Kind.OnPayment() {
			p := m.book.Payments[row.cmd.Payment]
			source, destination = p.Source, p.Destination
		}
		if row.outcome.Source.Moved {
			postings[source] = append(postings[source], uint64(i+1))
		}
		if row.outcome.Destination.Moved {
			postings[destination] = append(postings[destination], uint64(i+1))
		}
	}
	return postings
}

// transcript spells an entry's results so that equal ones are equal strings: all
// that a response can be rendered from.
func transcript(a *ledger.Applied) []string {
	lines := make([]string, len(a.Results))
	for i, r := range a.Results {
		if r.Record == nil {
			lines[i] = "conflict " + r.Conflict
			continue
		}
		lines[i] = fmt.Sprintf("replayed %t: %s", r.Replayed, spell(r.Record))
	}
	return lines
}

func spell(rec *ledger.Record) string {
	text := fmt.Sprintf("%d at %d: %x", rec.Seq, rec.Time, ledger.AppendRecord(nil, rec))
	if p := rec.Payment; p != nil {
		fixed := *p
		fixed.State = ledger.PaymentState{}
		text += fmt.Sprintf(" of %+v", fixed)
	}
	if v := rec.Account; v != nil {
		text += fmt.Sprintf(" is %+v", *v)
	}
	return text
}
