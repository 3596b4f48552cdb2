package transport

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// cutOff takes some bytes and fails.
type cutOff struct{ takes int }

var errCutOff = errors.New("the connection is cut off")

func (c cutOff) Write(p []byte) (int, error) { return min(len(p), c.takes), errCutOff }

// TestReplyIsSentOnce: each way of sending a reply sends all of it, and closing it
// gives the memory back empty, also when it was not sent to the end.
func TestReplyIsSentOnce(t *testing.T) {
	var home = newReplies()
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
}
