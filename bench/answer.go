package bench

import (
	"bytes"
	"fmt"
)

var (
	statusMember   = []byte(`{"status":`)
	seqMember      = []byte(`"seq":`)
	idMember       = []byte(`"id":"`)
	replayedMember = []byte(`"replayed":true`)
)

// answer is what became of one payment.
type answer struct {
	status   int
	replayed bool
	seq      uint64 // of the payment; 0 where it was refused
	text     []byte // the JSON of a refusal, or of a whole reply; part of the reply
}

// answers reads what a complete reply says of each of a request's items, and
// appends it to dst. It relies on each result of a batch being an object that
// starts with its status, and on no other object of the body doing so: a server
// that writes them otherwise is noticed by their number, not miscounted.
func (r *reply) answers(dst []answer, items int) ([]answer, error) {
	if items == 1 || r.status >= 300 {
		a := answer{status: r.status, replayed: r.replayed, text: r.body}
		if r.status < 300 {
			a.seq = paymentSeq(r.body)
		}
		for range items {
			dst = append(dst, a)
		}
		return dst, nil
	}
	found := 0
	for at := bytes.Index(r.body, statusMember); at >= 0; found++ {
		end := bytes.Index(r.body[at+1:], statusMember)
		text := r.body[at:]
		if end >= 0 {
			text = text[:end+1]
			end += at + 1
		}
		a, err := result(text)
		if err != nil {
			return nil, err
		}
		dst = append(dst, a)
		at = end
	}
	if found != items {
		return nil, fmt.Errorf("malformed reply: %d results for %d payments", found, items)
	}
	return dst, nil
}

// result reads one result of a batch.
func result(text []byte) (answer, error) {
	at := len(statusMember)
	status, ok := digits(text[at:min(at+3, len(text))])
	if !ok || status < 100 {
		return answer{}, fmt.Errorf("malformed reply: result %.40q", text)
	}
	a := answer{status: int(status), text: text}
	rest := text[at+3:]
	a.replayed = bytes.HasPrefix(bytes.TrimPrefix(rest, []byte(",")), replayedMember)
	if status < 300 {
		a.seq = paymentSeq(rest)
	}
	return a, nil
}

// paymentSeq returns the first member "seq" of a payment's JSON, 0 if there is
// none. In strings the quotes of such a text would be escaped.
func paymentSeq(text []byte) uint64 {
	at := bytes.Index(text, seqMember)
	if at < 0 {
		return 0
	}
	text = text[at+len(seqMember):]
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	seq, _ := digits(text[:end])
	return seq
}

// paymentID returns the first member "id" of a payment's JSON.
func paymentID(text []byte) []byte {
	_, rest, _ := bytes.Cut(text, idMember)
	id, _, _ := bytes.Cut(rest, []byte(`"`))
	return id
}
