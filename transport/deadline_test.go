package transport

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// armCounter counts how often the connection underneath is told of a deadline.
type armCounter struct {
	net.Conn
	reads, writes []time.Time
}

func (c *armCounter) SetReadDeadline(t time.Time) error  { c.reads = append(c.reads, t); return nil }
func (c *armCounter) SetWriteDeadline(t time.Time) error { c.writes = append(c.writes, t); return nil }
func (c *armCounter) Read(p []byte) (int, error)         { return len(p), nil }
func (c *armCounter) Write(p []byte) (int, error)        { return len(p), nil }

// serveOne does to c what fasthttp does for one request that is there whole, at
// the time now.
func serveOne(t *testing.T, c *conn, now time.Time) {
	t.Helper()
	idle, read, write := now.Add(time.Minute), now.Add(5*time.Second), now.Add(10*time.Second)
	steps := []func() error{
		func() error { return c.SetReadDeadline(idle) },
		func() error { _, err := c.Read(make([]byte, 1)); return err },
		func() error { return c.SetReadDeadline(read) },
		func() error { return c.SetWriteDeadline(write) },
		func() error { _, err := c.Write(make([]byte, 1)); return err },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeadlinesMoveOnceASecond(t *testing.T) {
	under := &armCounter{}
	c := &conn{Conn: under, limits: &limits{grain: coarse}}
	start := time.Now()
	for i := range 1000 {
		serveOne(t, c, start.Add(time.Duration(i)*time.Millisecond/2)) // half a second in all
	}
	if len(under.reads) != 1 || len(under.writes) != 1 {
		t.Fatalf("armed %d read and %d write deadlines in half a second, want 1 and 1", len(under.reads), len(under.writes))
	}
	serveOne(t, c, start.Add(1500*time.Millisecond))
	if len(under.reads) != 2 || len(under.writes) != 2 {
		t.Fatalf("armed %d read and %d write deadlines after a second, want 2 and 2", len(under.reads), len(under.writes))
	}
}

// A request that comes in parts is read under the shorter deadline.
func TestShorterReadDeadlineIsArmed(t *testing.T) {
	under := &armCounter{}
	c := &conn{Conn: under, limits: &limits{grain: coarse}}
	now := time.Now()
	serveOne(t, c, now)
	if err := c.SetReadDeadline(now.Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	last := under.reads[len(under.reads)-1]
	if !last.Equal(now.Add(5 * time.Second).Round(0)) {
		t.Fatalf("read under deadline %v, want %v", last, now.Add(5*time.Second))
	}
}

// A deadline is armed when it can end something: before the next call.
func TestDeadlineEndsTheNextCall(t *testing.T) {
	client, server := net.Pipe()
	defer func() { _ = client.Close() }()
	c := &conn{Conn: server, limits: &limits{grain: coarse}}
	if err := c.SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read ended with %v, want %v", err, os.ErrDeadlineExceeded)
	}
	if _, err := c.Write(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write ended with %v, want %v", err, os.ErrDeadlineExceeded)
	}
}

func TestLiftedDeadlineIsArmed(t *testing.T) {
	under := &armCounter{}
	c := &conn{Conn: under, limits: &limits{grain: coarse}}
	serveOne(t, c, time.Now())
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if last := under.reads[len(under.reads)-1]; !last.IsZero() {
		t.Fatalf("armed %v, want none", last)
	}
}

// No deadline strikes before half of its time is over, however short it is.
func TestGrain(t *testing.T) {
	o := Options{ReadTimeout: time.Hour, WriteTimeout: time.Minute, IdleTimeout: time.Minute}
	if got := grainOf(o); got != coarse {
		t.Errorf("grain %s for long timeouts, want %s", got, coarse)
	}
	o.WriteTimeout = 10 * time.Millisecond
	grain := grainOf(o)
	if grain != 5*time.Millisecond {
		t.Errorf("grain %s for a timeout of 10 ms, want 5 ms", grain)
	}
	under := &armCounter{}
	c := &conn{Conn: under, limits: &limits{grain: grain}}
	start := time.Now()
	for i := range 100 {
		now := start.Add(time.Duration(i) * time.Millisecond)
		if err := c.SetWriteDeadline(now.Add(o.WriteTimeout)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(nil); err != nil {
			t.Fatal(err)
		}
		if armed := under.writes[len(under.writes)-1]; armed.Sub(now) < grain {
			t.Fatalf("%s before the deadline that is armed, want at least %s", armed.Sub(now), grain)
		}
	}
}
