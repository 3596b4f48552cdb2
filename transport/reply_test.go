package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// cutOff takes some bytes and fails.
type cutOff struct{ takes int }

var errCutOff = errors.New("the connection is cut off")

func (c cutOff) Write(p []byte) (int, error) { return min(len(p), c.takes), errCutOff }

// TestReplyIsSentOnce: each way of sending a reply sends all of it, and closing it
// gives the memory back empty, also when it was not sent to the end.
func TestReplyIsSentOnce(t *testing.T) {
	home := newReplies()
	for _, c := range []struct {
		how  string
		send func(*reply, *bytes.Buffer) error
		want string
	}{
		{"WriteTo", func(r *reply, to *bytes.Buffer) error { _, err := r.WriteTo(to); return err }, "0123456789"},
		{"Read", func(r *reply, to *bytes.Buffer) error {
			_, err := io.CopyBuffer(to, struct{ io.Reader }{r}, make([]byte, 3))
			return err
		}, "0123456789"},
		{"Read, WriteTo", func(r *reply, to *bytes.Buffer) error {
			if _, err := io.CopyN(to, struct{ io.Reader }{r}, 4); err != nil {
				return err
			}
			_, err := r.WriteTo(to)
			return err
		}, "0123456789"},
		{"cut off", func(r *reply, to *bytes.Buffer) error {
			n, err := r.WriteTo(cutOff{4})
			if n != 4 || err != errCutOff {
				t.Errorf("cut off: %d, %v", n, err)
			}
			_, err = r.WriteTo(to)
			return err
		}, "456789"},
	} {
		r := home.Get().(*reply)
		r.body = append(r.body, "0123456789"...)
		var sent bytes.Buffer
		if err := c.send(r, &sent); err != nil || sent.String() != c.want {
			t.Errorf("%s: %q, %v", c.how, sent.String(), err)
		}
		if err := r.Close(); err != nil || len(r.body) != 0 || cap(r.body) < 10 || r.sent != 0 {
			t.Errorf("%s: after Close %d of %d bytes, %d sent, %v", c.how, len(r.body), cap(r.body), r.sent, err)
		}
	}
	large := &reply{body: make([]byte, maxReply+1), home: home}
	if err := large.Close(); err != nil || cap(large.body) > maxReply {
		t.Errorf("a reply of %d bytes is kept, %v", cap(large.body), err)
	}
}

// TestRepliesAreNotMixed: each of many batches at once gets the response to its own
// items, also while other clients leave before they have read theirs.
func TestRepliesAreNotMixed(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "1000000")
	var all sync.WaitGroup
	for client := range 8 {
		all.Go(func() {
			for n := range 20 {
				if client%4 == 0 {
					s.leaveEarly(batchOf(client, n, 200))
					continue
				}
				a := s.do("POST", "/v1/payments/batch", batchOf(client, n, 1+n*10))
				if want := fmt.Sprintf(`"reference":"%d-%d-`, client, n); a.status != 200 || strings.Count(a.body, want) != 1+n*10 {
					t.Errorf("%d, %d of %d results are those of %s", a.status, strings.Count(a.body, want), 1+n*10, want)
				}
			}
		})
	}
	all.Wait()
}

// batchOf is a batch of payments whose references name them.
func batchOf(client, n, payments int) string {
	items := make([]string, payments)
	for i := range items {
		items[i] = fmt.Sprintf(`{"idempotency_key":"%[1]d-%[2]d-%[3]d","source":"alice","amount":"1","currency":"USD","reference":"%[1]d-%[2]d-%[3]d"}`, client, n, i)
	}
	return `{"payments":[` + strings.Join(items, ",") + `]}`
}

// leaveEarly sends a batch and closes the connection without reading the response.
func (s *site) leaveEarly(body string) {
	c, err := s.connect()
	if err != nil {
		s.t.Error(err)
		return
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /v1/payments/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}
