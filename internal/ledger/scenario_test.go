package ledger_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"purser/internal/ledger"
	"purser/internal/ledger/ledgertest"
)

// A scenario in testdata/*.txt is a name after "===" and one command a line,
// with what it must come to after "=>":
//
//	at 60                             log time is 60 s from now on
//	create alice USD limit=50 meta=a:b   also limit=unlimited
//	update alice status=frozen limit=0 meta= if=3
//	pay alice bob 10 USD if=3 min=0   also: authorize, with for=60 (seconds)
//	p1: authorize alice bob 10        p1 names the payment
//	capture p1 5 more                 more: keep the rest open; no amount: all
//	void p1 / refund p1 5 / expire p1
//
// Expected are a code and, separated by blanks, any of: source or destination
// (the party), have=, need=, amount=, state=status/captured/refunded/held,
// src=posted/held/version, dst=..., account=posted/held/version/status, created,
// same (nothing changed).
// The currency is USD unless one stands there.
func TestScenarios(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	seen := map[ledger.Code]bool{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(text), "\n=== ")[1:] {
			name, body, _ := strings.Cut(part, "\n")
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txt")+"/"+name, func(t *testing.T) {
				s := scenario{t: t, book: ledgertest.NewBook(), model: ledgertest.NewModel(), names: map[string]uint64{}, seen: seen}
				for _, line := range strings.Split(body, "\n") {
					if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
						s.run(line)
					}
				}
			})
		}
	}
	for code := ledger.OK; code < ledger.IdempotencyKeyReused; code++ {
		if !seen[code] {
			t.Errorf("no scenario reaches %s", code)
		}
	}
}

type scenario struct {
	t     *testing.T
	book  *ledgertest.Book
	model *ledgertest.Model
	names map[string]uint64
	seen  map[ledger.Code]bool
	seq   uint64
	now   ledger.Micros
}

func (s *scenario) run(line string) {
	s.t.Helper()
	request, expected, ok := strings.Cut(line, "=>")
	words := strings.Fields(request)
	if words[0] == "at" {
		s.now = ledger.Micros(s.number(words[1])) * ledger.Second
		return
	}
	if !ok {
		s.t.Fatalf("%s: nothing is expected of it", line)
	}
	s.seq++
	if name, is := strings.CutSuffix(words[0], ":"); is {
		s.names[name] = s.seq
		words = words[1:]
	}
	before := snapshot(s.book)
	c := s.command(words)
	rec := s.book.Apply(s.seq, s.now, &c)
	s.seen[rec.Code] = true
	want := s.model.Apply(s.seq, s.now, &c)
	if err := want.Compare(rec); err != nil {
		s.t.Errorf("%s: against the model: %v", line, err)
	}
	same := fmt.Sprint(before) == fmt.Sprint(snapshot(s.book))
	if rec.Code != ledger.OK && !same {
		s.t.Errorf("%s: refused, but it changed something", line)
	}
	words = strings.Fields(expected)
	if rec.Code.String() != words[0] {
		s.t.Errorf("%s: came to %s", line, rec.Code)
		return
	}
	for _, word := range words[1:] {
		if got := s.actual(rec, word, same); got != word {
			s.t.Errorf("%s: got %s", line, got)
		}
	}
}

// actual spells what word is about as it turned out.
func (s *scenario) actual(rec *ledger.Record, word string, same bool) string {
	what, _, _ := strings.Cut(word, "=")
	leg := func(l *ledger.Leg) string {
		if l.World {
			return what + "=world"
		}
		return fmt.Sprintf("%s=%d/%d/%d", what, l.Posted, l.Held, l.Version)
	}
	switch what {
	case "source", "destination":
		return [...]string{"no party", "source", "destination"}[rec.Party]
	case "have":
		return fmt.Sprintf("have=%d", rec.Have)
	case "need":
		return fmt.Sprintf("need=%d", rec.Need)
	case "amount":
		return fmt.Sprintf("amount=%d", rec.Amount)
	case "state":
		return fmt.Sprintf("state=%s/%d/%d/%d", rec.State.Status, rec.State.Captured, rec.State.Refunded, rec.State.Held)
	case "src":
		return leg(&rec.Source)
	case "dst":
		return leg(&rec.Destination)
	case "account":
		a := rec.Account
		return fmt.Sprintf("account=%d/%d/%d/%s", a.Posted, a.Held, a.Version, a.Status)
	case "created":
		return map[bool]string{true: "created", false: "existed before"}[rec.Account.Created]
	case "same":
		return map[bool]string{true: "same", false: "something changed"}[same]
	}
	s.t.Fatalf("%q cannot be expected", word)
	return ""
}

func (s *scenario) number(word string) int64 {
	s.t.Helper()
	if word == "max" {
		return 1<<63 - 1
	}
	v, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *scenario) command(words []string) ledger.Command {
	s.t.Helper()
	kinds := map[string]ledger.Kind{
		"create": ledger.CreateAccount, "update": ledger.UpdateAccount, "pay": ledger.Pay, "authorize": ledger.Authorize,
		"capture": ledger.Capture, "void": ledger.Void, "refund": ledger.Refund, "expire": ledger.Expire,
	}
	c := ledger.Command{Kind: kinds[words[0]]}
	switch {
	case c.Kind == 0:
		s.t.Fatalf("there is no command %q", words[0])
	case c.Kind.OnPayment():
		c.Payment = s.names[words[1]]
		c.Final = c.Kind == ledger.Capture
		for _, word := range words[2:] {
			if word == "more" {
				c.Final = false
				continue
			}
			c.Amount = s.number(word)
		}
	case c.Kind < ledger.Pay:
		c.Source = []byte(words[1])
		if c.Kind == ledger.CreateAccount {
			c.Currency = ledgertest.Currency("USD")
		}
		s.options(&c, words[2:])
	default:
		c.Source, c.Destination, c.Currency = []byte(words[1]), []byte(words[2]), ledgertest.Currency("USD")
		c.Amount = s.number(words[3])
		c.ExpiresIn = ledger.DefaultExpiry
		s.options(&c, words[4:])
	}
	return c
}

func (s *scenario) options(c *ledger.Command, words []string) {
	s.t.Helper()
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		switch {
		case !ok:
			c.Currency = ledgertest.Currency(name)
		case name == "limit":
			c.Sets |= ledger.SetsLimit
			if c.Unlimited = value == "unlimited"; !c.Unlimited {
				c.Limit = s.number(value)
			}
		case name == "status":
			c.Sets |= ledger.SetsStatus
			c.Status, _ = ledger.ParseStatus([]byte(value))
		case name == "meta":
			c.Sets |= ledger.SetsMetadata
			if k, v, ok := strings.Cut(value, ":"); ok {
				c.Metadata = ledger.AppendMetadata(nil, []ledger.Pair{{Key: []byte(k), Value: []byte(v)}})
			}
		case name == "if" && c.Kind == ledger.UpdateAccount:
			c.IfVersion = ledger.Optional{Set: true, Value: s.number(value)}
		case name == "if":
			c.SourceVersion = ledger.Optional{Set: true, Value: s.number(value)}
		case name == "min":
			c.MinAvailableAfter = ledger.Optional{Set: true, Value: s.number(value)}
		case name == "for":
			c.ExpiresIn = s.number(value)
		default:
			s.t.Fatalf("there is no option %q", word)
		}
	}
	if c.Kind == ledger.CreateAccount {
		c.Sets = 0
	}
}
