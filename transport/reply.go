package transport

import (
	"io"
	"sync"
)

// reply is the memory of a batch's response. Connections share it: the response is
// hundreds of kilobytes, and growing a buffer to that for each took a fifth of the
// server's CPU under batches, while one kept by every connection would take
// gigabytes of idle clients.
type reply struct {
	body []byte
	sent int
	home *sync.Pool // where it goes once fasthttp has sent it, or failed to
}

// maxReply is the largest reply that is kept, in bytes: four times one to a thousand
// payments.
const maxReply = 2 << 20

// newReplies returns a pool of replies.
func newReplies() *sync.Pool {
	p := new(sync.Pool)
	p.New = func() any { return &reply{home: p} }
	return p
}

// Read implements io.Reader.
func (r *reply) Read(p []byte) (int, error) {
	if r.sent == len(r.body) {
		return 0, io.EOF
	}
	n := copy(p, r.body[r.sent:])
	r.sent += n
	return n, nil
}

// WriteTo implements io.WriterTo, which spares a copy.
func (r *reply) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(r.body[r.sent:])
	r.sent += n
	return int64(n), err
}

// Close gives the memory back. fasthttp calls it once.
func (r *reply) Close() error {
	if cap(r.body) > maxReply {
		r.body = nil
	}
	r.body, r.sent = r.body[:0], 0
	r.home.Put(r)
	return nil
}
