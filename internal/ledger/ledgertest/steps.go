package ledgertest

import (
	"fmt"
	"math"

	"pgregory.net/rapid"

	"purser/internal/ledger"
)

// Step is one command of a generated log.
type Step struct {
	Seq     uint64
	Time    ledger.Micros
	Command ledger.Command
}

// Steps draws a log of at most n commands of all kinds, on few accounts, so that
// they meet often: it spans refusals of every kind, extreme amounts, references
// to payments made a moment or long before, to commands that made none, and to
// nothing. Sequence numbers start at 1, without gaps; time never goes back.
func Steps(t *rapid.T, n int) []Step {
	count := rapid.IntRange(1, n).Draw(t, "commands")
	steps := make([]Step, 0, count)
	g := generator{t: t}
	for i := range count {
		g.now += ledger.Micros(rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 1, 1_000_000, 3_000_000}).Draw(t, "pause"))
		seq := uint64(i + 1)
		c := g.command(seq)
		if c.Kind == ledger.Pay || c.Kind == ledger.Authorize {
			g.requests = append(g.requests, seq)
		}
		steps = append(steps, Step{Seq: seq, Time: g.now, Command: c})
	}
	return steps
}

type generator struct {
	t        *rapid.T
	now      ledger.Micros
	requests []uint64 // seqs of Pay and Authorize
}

// Currency returns the currency of a code that is known to be one.
func Currency(code string) ledger.Currency {
	c, ok := ledger.ParseCurrency([]byte(code))
	if !ok {
		panic("not a currency: " + code)
	}
	return c
}

func (g *generator) command(seq uint64) ledger.Command {
	if seq <= 6 && rapid.IntRange(0, 9).Draw(g.t, "open") < 9 {
		return g.create(fmt.Sprintf("a%d", seq))
	}
	switch rapid.SampledFrom([]int{0, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 5, 6, 6, 7}).Draw(g.t, "kind") {
	case 0:
		return g.create(g.id())
	case 1:
		return g.update()
	case 2:
		return g.pay(ledger.Pay)
	case 3:
		return g.pay(ledger.Authorize)
	case 4:
		c := ledger.Command{Kind: ledger.Capture, Key: []byte("k"), Payment: g.payment(seq)}
		c.Final = rapid.Bool().Draw(g.t, "final")
		c.Amount = g.part()
		return c
	case 5:
		return ledger.Command{Kind: ledger.Void, Key: []byte("k"), Payment: g.payment(seq)}
	case 6:
		return ledger.Command{Kind: ledger.Refund, Key: []byte("k"), Payment: g.payment(seq), Amount: g.part()}
	}
	return ledger.Command{Kind: ledger.Expire, Payment: g.payment(seq)}
}

func (g *generator) id() string {
	return rapid.SampledFrom([]string{"a1", "a1", "a1", "a2", "a2", "a3", "a3", "a4", "a5", "a6", "a1", "a2", "a3", "a4", "a5", "a6", "a7"}).Draw(g.t, "account")
}

func (g *generator) party() []byte {
	if rapid.IntRange(0, 4).Draw(g.t, "outside") == 4 {
		return []byte("world:" + g.currency())
	}
	return []byte(g.id())
}

func (g *generator) currency() string {
	return rapid.SampledFrom([]string{"USD", "USD", "USD", "USD", "USD", "USD", "USD", "USD", "USD", "USD", "USD", "EUR"}).Draw(g.t, "currency")
}

func (g *generator) create(id string) ledger.Command {
	c := ledger.Command{Kind: ledger.CreateAccount, Source: []byte(id), Currency: Currency(g.currency())}
	c.Limit, c.Unlimited = g.limit()
	c.Metadata = g.metadata()
	return c
}

func (g *generator) limit() (limit int64, unlimited bool) {
	limit = rapid.SampledFrom([]int64{0, 50, 200, 200, math.MaxInt64, -1}).Draw(g.t, "limit")
	if limit < 0 {
		return 0, true
	}
	return limit, false
}

func (g *generator) metadata() ledger.Metadata {
	var pairs []ledger.Pair
	for i := range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(g.t, "pairs") {
		value := rapid.SampledFrom([]string{"", "x", "yy"}).Draw(g.t, "value")
		pairs = append(pairs, ledger.Pair{Key: []byte{byte('a' + i)}, Value: []byte(value)})
	}
	return ledger.AppendMetadata(nil, pairs)
}

func (g *generator) update() ledger.Command {
	c := ledger.Command{Kind: ledger.UpdateAccount, Source: []byte(g.id())}
	c.Sets = ledger.Sets(rapid.IntRange(1, 7).Draw(g.t, "sets"))
	if c.Sets&ledger.SetsLimit != 0 {
		c.Limit, c.Unlimited = g.limit()
	}
	if c.Sets&ledger.SetsStatus != 0 {
		statuses := []ledger.Status{ledger.Active, ledger.Active, ledger.Active, ledger.Active, ledger.Frozen, ledger.Closed}
		c.Status = rapid.SampledFrom(statuses).Draw(g.t, "status")
	}
	if c.Sets&ledger.SetsMetadata != 0 {
		c.Metadata = g.metadata()
	}
	c.IfVersion = g.optional("if version", 1, 5)
	return c
}

func (g *generator) optional(what string, low, high int64) ledger.Optional {
	if rapid.IntRange(0, 9).Draw(g.t, what+" set") < 9 {
		return ledger.Optional{}
	}
	return ledger.Optional{Set: true, Value: rapid.Int64Range(low, high).Draw(g.t, what)}
}

func (g *generator) amount() int64 {
	if rapid.IntRange(0, 9).Draw(g.t, "extreme") == 9 {
		extremes := []int64{math.MaxInt64, math.MaxInt64 - 1, math.MaxInt64 - 50, math.MaxInt64/2 + 1, 1 << 62}
		return rapid.SampledFrom(extremes).Draw(g.t, "amount")
	}
	return rapid.Int64Range(1, 60).Draw(g.t, "amount")
}

// part is the amount of a capture or refund: 0 is all that is left.
func (g *generator) part() int64 {
	if rapid.Bool().Draw(g.t, "all") {
		return 0
	}
	return g.amount()
}

func (g *generator) pay(kind ledger.Kind) ledger.Command {
	c := ledger.Command{
		Kind: kind, Key: []byte("k"), Source: g.party(), Destination: g.party(),
		Currency: Currency(g.currency()), Amount: g.amount(),
		ExpiresIn:         rapid.Int64Range(1, 10).Draw(g.t, "expires"),
		SourceVersion:     g.optional("source version", 0, 6),
		MinAvailableAfter: g.optional("least available", 0, 60),
		Metadata:          g.metadata(),
	}
	return c
}

// payment picks the payment of a command that acts on one: mostly a recent
// request, at times any number.
func (g *generator) payment(seq uint64) uint64 {
	if len(g.requests) == 0 || rapid.IntRange(0, 19).Draw(g.t, "stray") == 19 {
		return rapid.Uint64Range(1, seq+2).Draw(g.t, "any")
	}
	from := len(g.requests) - min(len(g.requests), rapid.SampledFrom([]int{1, 4, 100}).Draw(g.t, "reach"))
	return g.requests[rapid.IntRange(from, len(g.requests)-1).Draw(g.t, "request")]
}
