package clients

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// answer is the response to a request, or the result of an item of a batch.
type answer struct {
	status   int
	body     string
	index    uint64 // Purser-Index
	replayed bool   // Idempotent-Replayed

	// What the body says, by what was asked for; nil for what it is not.
	payment  *payment
	problem  *problem
	account  *account
	accounts []account
	next     string    // cursor of what follows accounts
	results  []*answer // of a batch, or the one that a key remembers
}

// state is the money of an account at a version of it.
type state struct {
	Posted  int64 `json:",string"`
	Held    int64 `json:",string"`
	Version int64
}

// account is what reads of an account answer.
type account struct {
	ID string
	state
}

// payment is what commands on a payment answer.
type payment struct {
	ID                         string
	Seq                        uint64
	Status                     string
	Source, Destination        string
	Amount, Captured, Refunded int64     `json:",string"`
	CreatedAt                  time.Time `json:"created_at"`
	ExpiresAt                  time.Time `json:"expires_at"` // zero: it never held anything
	SourceBalance              *state    `json:"source_balance"`
	DestinationBalance         *state    `json:"destination_balance"`
}

func (p *payment) String() string {
	text, _ := json.Marshal(p) // strings and numbers
	return string(text)
}

// problem is what errors answer.
type problem struct {
	Code      string
	Account   string
	Available int64  `json:",string"`
	Required  int64  `json:",string"`
	RequestID string `json:"request_id"`
}

// parse fills in what the body of an answer to a request of kind k says.
func (a *answer) parse(k kind) error {
	if a.status >= 400 {
		a.problem = &problem{}
		return json.Unmarshal([]byte(a.body), a.problem)
	}
	switch k {
	case raw:
		return nil
	case batch:
		return a.parseBatch()
	case recall:
		return a.parseRecall()
	case list:
		var page struct {
			Accounts []account
			Next     string `json:"next_cursor"`
		}
		err := json.Unmarshal([]byte(a.body), &page)
		a.accounts, a.next = page.Accounts, page.Next
		return err
	case read, stale, follow, create:
		a.account = &account{}
		return json.Unmarshal([]byte(a.body), a.account)
	}
	a.payment = &payment{}
	return json.Unmarshal([]byte(a.body), a.payment)
}

func (a *answer) parseBatch() error {
	page := struct {
		Results []struct {
			Status         int
			Replayed       bool
			Payment, Error json.RawMessage
		}
	}{}
	if err := json.Unmarshal([]byte(a.body), &page); err != nil {
		return err
	}
	for _, r := range page.Results {
		item := &answer{status: r.Status, index: a.index, replayed: r.Replayed, body: string(r.Payment) + string(r.Error)}
		if err := item.parse(pay); err != nil {
			return err
		}
		a.results = append(a.results, item)
	}
	return nil
}

// parseRecall makes what a key remembers the only result.
func (a *answer) parseRecall() error {
	var r struct {
		Status int
		Body   json.RawMessage
	}
	if err := json.Unmarshal([]byte(a.body), &r); err != nil {
		return err
	}
	first := &answer{status: r.Status, body: string(r.Body)}
	a.results = []*answer{first}
	return first.parse(pay)
}

// code is the error code of a, empty for none.
func (a *answer) code() string {
	if a.problem == nil {
		return ""
	}
	return a.problem.Code
}

// verdict says what an answer means for the command that it answers.
type verdict int

const (
	decided    verdict = iota // it is the outcome
	notApplied                // this try was certainly not applied
	inDoubt                   // nobody knows
	unexpected                // an answer that these clients should never get
)

func (a *answer) verdict() verdict {
	switch a.status {
	case 200, 201, 402, 404, 412, 422:
		return decided
	case 409:
		if a.code() == "idempotency_in_progress" {
			return inDoubt
		}
		return decided
	case 429, 503:
		return notApplied
	case 504:
		return inDoubt
	}
	return unexpected
}

// sameAs reports whether a client cannot tell the two outcomes apart.
func (a *answer) sameAs(b *answer) bool { return a.status == b.status && a.body == b.body }

func (a *answer) String() string {
	if a == nil {
		return "no answer"
	}
	return fmt.Sprintf("%d %s", a.status, a.body)
}

// crockford are the digits of the numbers in ids.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// refusalSeq is the place of a committed refusal in the ledger's order: its
// request id is made from it.
func (p *problem) refusalSeq() (seq uint64, ok bool) {
	digits, ok := strings.CutPrefix(p.RequestID, "req_")
	if !ok || len(digits) != 13 {
		return 0, false
	}
	for _, d := range []byte(digits) {
		value := strings.IndexByte(crockford, d)
		if value < 0 {
			return 0, false
		}
		seq = seq<<5 | uint64(value)
	}
	return seq, seq > 0
}
