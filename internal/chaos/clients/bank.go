package clients

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
)

// world is the account of everything outside of the ledger.
const world = "world:USD"

// Numbers of accounts. The hot ones take most of the payments. Those alone pay
// only to the world and back, so that the history of one of them is complete
// without any other.
const (
	hotAccounts   = 4
	coldAccounts  = 120
	aloneAccounts = 4
)

// holder is an account as it is created and funded.
type holder struct {
	id        string
	funds     int64
	limit     int64
	unlimited bool
}

// bank knows the accounts of a load, and the payments that later commands can be
// about.
type bank struct {
	tag              string
	hot, cold, alone []string
	holders          []holder
	open, captured   shelf
}

func newBank(tag string) *bank {
	b := &bank{tag: tag}
	add := func(into *[]string, h holder) {
		*into = append(*into, h.id)
		b.holders = append(b.holders, h)
	}
	for i := range hotAccounts {
		add(&b.hot, holder{id: fmt.Sprintf("%s-hot-%d", tag, i), funds: 50_000_000})
	}
	for i := range coldAccounts {
		h := holder{id: fmt.Sprintf("%s-cold-%d", tag, i), funds: 100_000}
		switch i % 8 {
		case 0, 1, 2:
			h.funds = 700 // a payment or two, and then refusals
		case 3:
			h.funds, h.limit = 100, 900
		case 4:
			h.funds, h.unlimited = 1, true
		}
		add(&b.cold, h)
	}
	for i := range aloneAccounts {
		add(&b.alone, holder{id: fmt.Sprintf("%s-alone-%d", tag, i), funds: 3_000})
	}
	return b
}

// listed begins the names of the accounts that are read together.
func (b *bank) listed() string { return b.tag + "-hot-" }

// nobody is an account that does not exist.
func (b *bank) nobody() string { return b.tag + "-nobody" }

func (b *bank) isAlone(id string) bool { return strings.HasPrefix(id, b.tag+"-alone-") }

func one(rng *rand.Rand, ids []string) string { return ids[rng.IntN(len(ids))] }

// take remembers an accepted payment for later commands.
func (b *bank) take(p *payment) {
	switch p.Status {
	case "authorized":
		b.open.put(p.ID)
	case "captured":
		b.captured.put(p.ID)
	}
}

// shelf has the payments that later commands choose from. Clients share it, and
// so may choose the same one.
type shelf struct {
	mu  sync.Mutex
	ids []string
}

const shelfSize = 256

func (s *shelf) put(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ids) == shelfSize {
		s.ids = append(s.ids[:0], s.ids[shelfSize/2:]...)
	}
	s.ids = append(s.ids, id)
}

// draw chooses a payment, at times without taking it from the others; empty if
// there is none.
func (s *shelf) draw(rng *rand.Rand) string {
	at, stays := rng.Uint64(), rng.IntN(4) == 0
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ids) == 0 {
		return ""
	}
	i := int(at % uint64(len(s.ids)))
	id := s.ids[i]
	if !stays {
		s.ids[i] = s.ids[len(s.ids)-1]
		s.ids = s.ids[:len(s.ids)-1]
	}
	return id
}
