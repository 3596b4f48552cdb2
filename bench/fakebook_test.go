package bench

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// book is the fake server's ledger: it does what it is told, refuses nothing by
// itself, and keeps journals that a test can falsify.
type book struct {
	seq      uint64
	accounts map[string]*bookAccount
	payments map[string]*bookPayment // by id
	answers  map[string]bookAnswer   // by idempotency key
}

type bookAccount struct {
	accountState
	posted, held int64
	entries      []bookEntry // the oldest first
}

type bookEntry struct {
	Seq       uint64 `json:"seq"`
	Payment   string `json:"payment"`
	Kind      string `json:"kind"`
	Direction string `json:"direction"`
	Amount    string `json:"amount"`
	Posted    string `json:"posted"`
	Held      string `json:"held"`
	Time      string `json:"created_at"`
}

type bookPayment struct {
	id                  string
	seq                 uint64
	source, destination string
	amount              int64
}

type bookAnswer struct {
	status int
	text   string
}

func newBook() *book {
	return &book{
		accounts: make(map[string]*bookAccount),
		payments: make(map[string]*bookPayment),
		answers:  make(map[string]bookAnswer),
	}
}

func (b *book) account(id string) *bookAccount {
	a := b.accounts[id]
	if a == nil {
		a = &bookAccount{accountState: accountState{ID: id, Posted: "0", Held: "0"}}
		b.accounts[id] = a
	}
	return a
}

// execute does o, or refuses it with the given status, and remembers the answer.
func (b *book) execute(o operation, refusal int) (status int, text string) {
	b.seq++
	if refusal != 0 {
		status, text = refusal, fmt.Sprintf(`{"status":%d}`, refusal)
	} else {
		status, text = b.move(o)
	}
	b.answers[o.Key] = bookAnswer{status, text}
	return status, text
}

func (b *book) move(o operation) (status int, text string) {
	if parts := strings.Split(o.Path, "/"); len(parts) == 5 {
		p := b.payments[parts[3]]
		if p == nil {
			return 404, `{"status":404}`
		}
		switch parts[4] {
		case "capture":
			b.post(p, p.source, "capture", "debit", -p.amount, -p.amount)
			b.post(p, p.destination, "capture", "credit", p.amount, 0)
		case "void":
			b.post(p, p.source, "void", "none", 0, -p.amount)
		case "refund":
			b.post(p, p.source, "refund", "credit", p.amount, 0)
			b.post(p, p.destination, "refund", "debit", -p.amount, 0)
		}
		return 200, p.json()
	}
	amount, _ := strconv.ParseInt(o.Amount, 10, 64)
	p := &bookPayment{fmt.Sprintf("pay_%08d", b.seq), b.seq, o.Source, o.Destination, amount}
	b.payments[p.id] = p
	if o.Capture == false {
		b.post(p, p.source, "authorize", "none", 0, amount)
	} else {
		b.post(p, p.source, "payment", "debit", -amount, 0)
		b.post(p, p.destination, "payment", "credit", amount, 0)
	}
	return 201, p.json()
}

func (p *bookPayment) json() string {
	return fmt.Sprintf(`{"id":"%s","seq":%d,"status":"captured","created_at":"%s"}`, p.id, p.seq, bookTime(p.seq))
}

func bookTime(seq uint64) string { return fmt.Sprintf("2026-01-01T00:00:%012d", seq) }

func (b *book) post(p *bookPayment, id, kind, direction string, posted, held int64) {
	a := b.account(id)
	a.posted += posted
	a.held += held
	a.Posted, a.Held, a.Updated = strconv.FormatInt(a.posted, 10), strconv.FormatInt(a.held, 10), bookTime(b.seq)
	a.entries = append(a.entries, bookEntry{b.seq, p.id, kind, direction, strconv.FormatInt(p.amount, 10), a.Posted, a.Held, a.Updated})
}

// answer returns the first answer under a key.
func (b *book) answer(key string) (status int, text string) {
	a := b.answers[key]
	return a.status, a.text
}

// read answers a GET. Pages are short, so that cursors occur.
func (b *book) read(u *url.URL) (status int, text string) {
	const page = 7
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	from, _ := strconv.Atoi(u.Query().Get("cursor"))
	switch {
	case parts[1] == "idempotency-keys":
		a, ok := b.answers[parts[2]]
		if !ok {
			return 404, `{"code":"idempotency_key_not_found","status":404}`
		}
		return 200, fmt.Sprintf(`{"status":%d,"body":%s}`, a.status, a.text)
	case len(parts) == 2:
		var ids []string
		for id := range b.accounts {
			if strings.HasPrefix(id, u.Query().Get("prefix")) {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		list, next := cutPage(ids, from, page)
		var accounts []accountState
		for _, id := range list {
			accounts = append(accounts, b.accounts[id].accountState)
		}
		return 200, object("accounts", accounts, next)
	case len(parts) == 4:
		entries := slices.Clone(b.account(parts[2]).entries)
		slices.Reverse(entries)
		list, next := cutPage(entries, from, page)
		return 200, object("entries", list, next)
	}
	a, ok := b.accounts[parts[2]]
	if !ok {
		return http.StatusNotFound, `{"code":"account_not_found","status":404}`
	}
	text, _ = strings.CutSuffix(object("account", a.accountState, ""), "\n")
	return 200, text
}

func cutPage[T any](all []T, from, size int) (list []T, next string) {
	to := min(from+size, len(all))
	if to < len(all) {
		next = strconv.Itoa(to)
	}
	return all[from:to], next
}

func object(name string, value any, next string) string {
	text, err := json.Marshal(map[string]any{name: value, "next_cursor": next})
	if err != nil {
		panic(err)
	}
	return string(text)
}
