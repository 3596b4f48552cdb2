package peer

import (
	"net"
	"sync"
	"testing"
	"time"
)

// recorder is a listener whose connections remember their deadlines.
type recorder struct {
	net.Listener
	accepted chan *recorded
}

func (l *recorder) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	r := &recorded{Conn: c}
	l.accepted <- r
	return r, nil
}

type recorded struct {
	net.Conn
	mu        sync.Mutex
	deadlines []time.Time
}

func (c *recorded) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadlines = append(c.deadlines, t)
	return c.Conn.SetDeadline(t)
}

// TestDeadlineOfArrivalEnds: it bounds neither the life of a raft connection nor
// the time that a handler takes.
func TestDeadlineOfArrivalEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &recorder{listener, make(chan *recorded, 2)}
	server := start(Config{}, l)
	defer server.Close()
	server.Handle(answerer)
	server.OpenRaft()
	client := newSite(t, false).port(t, "n2", nil)

	dialRaft(t, client, server)
	if _, err := server.Raft().Accept(); err != nil {
		t.Fatal(err)
	}
	if d := (<-l.accepted).deadlines; len(d) != 2 || d[0].IsZero() || !d[1].IsZero() {
		t.Errorf("raft connection: deadlines %v, want one for the arrival, then none", d)
	}

	if err := client.Call(t.Context(), server.Addr().String(), "", "echo", 1, nil); err != nil {
		t.Fatal(err)
	}
	c := <-l.accepted
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.deadlines; len(d) != 2 || d[0].IsZero() || d[1].Before(d[0]) {
		t.Errorf("control call: deadlines %v, want one for the arrival, another for the answer", d)
	}
}
