package eventloop

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hall is a loop with a listener whose connections it takes over.
type hall struct {
	t     *testing.T
	loop  *Loop
	ln    net.Listener
	ended atomic.Int64
}

// long is a patience that no test gets to the end of.
const long = time.Hour

func newHall(t *testing.T) *hall {
	t.Helper()
	loop, err := Start(func() {}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hall{t: t, loop: loop, ln: ln}
	t.Cleanup(func() {
		ln.Close()
		loop.CloseIdle()
		loop.Close()
	})
	return h
}

// connect returns both ends of a connection; serve says what becomes of what the client
// sends.
func (h *hall) connect(patience time.Duration, serve func(c *Conn, data []byte) Next) (client *net.TCPConn, c *Conn) {
	h.t.Helper()
	dialled, err := net.Dial("tcp", h.ln.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { dialled.Close() })
	accepted, err := h.ln.Accept()
	if err != nil {
		h.t.Fatal(err)
	}
	if c, err = h.loop.Adopt(accepted.(*net.TCPConn)); err != nil {
		h.t.Fatal(err)
	}
	err = c.Start(patience, func(data []byte) Next { return serve(c, data) }, func() { h.ended.Add(1) })
	if err != nil {
		h.t.Fatal(err)
	}
	return dialled.(*net.TCPConn), c
}

// expectEnd fails unless the client reads the end of the connection, and nothing else.
func (h *hall) expectEnd(client net.Conn, ended int64) {
	h.t.Helper()
	if rest, err := io.ReadAll(client); len(rest) > 0 || err != nil {
		h.t.Errorf("the client read %q, %v", rest, err)
	}
	for h.ended.Load() != ended {
		time.Sleep(time.Millisecond)
	}
}

func (h *hall) ask(client net.Conn, text string) string {
	h.t.Helper()
	if _, err := io.WriteString(client, text); err != nil {
		h.t.Fatal(err)
	}
	buf := make([]byte, 1024)
	n, err := client.Read(buf)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(buf[:n])
}

func echo(c *Conn, data []byte) Next {
	if n, err := c.TryWrite(data); n < len(data) || err != nil {
		panic(fmt.Sprint(n, err))
	}
	return Idle
}

func TestInput(t *testing.T) {
	h := newHall(t)
	client, _ := h.connect(long, echo)
	for _, text := range []string{"a", "bc", "d"} {
		if got := h.ask(client, text); got != text {
			t.Errorf("%q came back as %q", text, got)
		}
	}
	client.CloseWrite()
	h.expectEnd(client, 1)
}

// TestWhatComesWhileBusyIsServedAfterwards: also when Rest is called by another
// goroutine than Input, and when the client has hung up by then.
func TestWhatComesWhileBusyIsServedAfterwards(t *testing.T) {
	h := newHall(t)
	busy := make(chan struct{})
	first := true
	client, c := h.connect(long, func(c *Conn, data []byte) Next {
		if first {
			first = false
			close(busy)
			return Busy
		}
		return echo(c, data)
	})
	io.WriteString(client, "a")
	<-busy
	io.WriteString(client, "b")
	client.CloseWrite()
	c.Rest()
	if got, err := io.ReadAll(client); string(got) != "b" || err != nil {
		t.Errorf("the client read %q, %v", got, err)
	}
	h.expectEnd(client, 1)
}

// TestNothingIsLost: clients send numbers, and wait for each to come back; whoever
// serves them does so at once, later, or on a goroutine that reads and writes itself.
func TestNothingIsLost(t *testing.T) {
	const clients, rounds = 32, 400
	h := newHall(t)
	var work sync.WaitGroup
	var all sync.WaitGroup
	for i := range clients {
		random := rand.New(rand.NewPCG(1, uint64(i)))
		client, _ := h.connect(long, func(c *Conn, data []byte) Next {
			own := bytes.Clone(data)
			switch random.IntN(3) {
			case 0:
				if len(own)%8 == 0 {
					return echo(c, own)
				}
				fallthrough
			case 1:
				c.Unread(own)
				work.Go(func() {
					var number [8]byte
					if _, err := io.ReadFull(c, number[:]); err == nil {
						c.Write(number[:])
					}
					c.Rest()
				})
			default:
				work.Go(func() {
					whole := append(own, make([]byte, (8-len(own)%8)%8)...)
					if _, err := io.ReadFull(c, whole[len(own):]); err == nil {
						c.Write(whole)
					}
					c.Rest()
				})
			}
			return Busy
		})
		all.Go(func() {
			var sent, got [8]byte
			for n := range rounds {
				binary.LittleEndian.PutUint64(sent[:], uint64(n))
				cut := n * 5 % 8
				client.Write(sent[:cut])
				client.Write(sent[cut:])
				if _, err := io.ReadFull(client, got[:]); err != nil || got != sent {
					t.Errorf("client %d, round %d: %x, %v", i, n, got, err)
					break
				}
			}
			client.Close()
		})
	}
	all.Wait()
	for h.ended.Load() != clients {
		time.Sleep(time.Millisecond)
	}
	work.Wait()
}

// TestInputIsNeverCalledTwiceAtATime: whatever the client sends meanwhile.
func TestInputIsNeverCalledTwiceAtATime(t *testing.T) {
	h := newHall(t)
	var inside, read atomic.Int64
	var work sync.WaitGroup
	client, _ := h.connect(long, func(c *Conn, data []byte) Next {
		if inside.Add(1) != 1 {
			t.Error("the connection has two owners")
		}
		read.Add(int64(len(data)))
		if len(data)%2 == 0 {
			work.Go(func() {
				inside.Add(-1)
				c.Rest()
			})
			return Busy
		}
		inside.Add(-1)
		return Idle
	})
	const bytes = 20_000
	for range bytes {
		client.Write([]byte{1})
	}
	client.CloseWrite()
	h.expectEnd(client, 1)
	work.Wait()
	if got := read.Load(); got != bytes {
		t.Errorf("%d bytes of %d were read", got, bytes)
	}
}

// TestSlowReader: Write waits for a client that does not read, TryWrite does not.
func TestSlowReader(t *testing.T) {
	h := newHall(t)
	const size = 32 << 20 // several times what sockets hold
	stuck := make(chan struct{})
	client, _ := h.connect(long, func(c *Conn, data []byte) Next {
		go func() {
			all := bytes.Repeat([]byte{'x'}, size)
			n, err := c.TryWrite(all)
			close(stuck)
			if n == size || err != nil {
				t.Errorf("the socket took %d bytes at once, %v", n, err)
			}
			if _, err := c.Write(all[n:]); err != nil {
				t.Error(err)
			}
			c.Close()
			c.Rest()
		}()
		return Busy
	})
	io.WriteString(client, "a")
	<-stuck
	if n, err := io.Copy(io.Discard, client); n != size || err != nil {
		t.Errorf("the client read %d bytes, %v", n, err)
	}
	h.expectEnd(client, 1)
}

// TestDeadlines: those of calls strike while these wait, and only then.
func TestDeadlines(t *testing.T) {
	h := newHall(t)
	faults := make(chan error, 3)
	client, _ := h.connect(long, func(c *Conn, data []byte) Next {
		go func() {
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			faults <- err
			c.SetReadDeadline(time.Time{})
			_, err = c.Read(make([]byte, 1))
			faults <- err
			c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
			_, err = c.Write(make([]byte, 32<<20))
			faults <- err
			c.Close()
			c.Rest()
		}()
		return Busy
	})
	io.WriteString(client, "a")
	if err := <-faults; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read ended with %v", err)
	}
	io.WriteString(client, "b")
	if err := <-faults; err != nil {
		t.Errorf("without a deadline Read ended with %v", err)
	}
	if err := <-faults; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write ended with %v", err)
	}
	io.Copy(io.Discard, client)
	h.expectEnd(client, 1)
}

// TestPatience ends a client that is silent, however long another request took.
func TestPatience(t *testing.T) {
	h := newHall(t)
	silent, _ := h.connect(time.Millisecond, echo)
	h.expectEnd(silent, 1)

	busy := make(chan struct{})
	client, c := h.connect(long, func(c *Conn, data []byte) Next {
		close(busy)
		return Busy
	})
	io.WriteString(client, "a")
	<-busy
	c.resting.at.Store(1) // patience is over, and the timer goes off
	c.resting.wake()
	echo(c, []byte("late"))
	c.Rest()
	buf := make([]byte, 8)
	if n, err := client.Read(buf); string(buf[:n]) != "late" || err != nil {
		t.Errorf("the client read %q, %v", buf[:n], err)
	}
	if h.ended.Load() != 1 {
		t.Error("the connection was ended while it was busy")
	}
	c.resting.at.Store(1)
	c.resting.wake()
	h.expectEnd(client, 2)
}

// TestCloseEndsARead: by another goroutine than the one that waits.
func TestCloseEndsARead(t *testing.T) {
	h := newHall(t)
	fault := make(chan error)
	client, c := h.connect(long, func(c *Conn, data []byte) Next {
		go func() {
			_, err := c.Read(make([]byte, 1))
			fault <- err
			c.Rest()
		}()
		return Busy
	})
	io.WriteString(client, "a")
	for c.state.Load() != blocked {
		time.Sleep(time.Millisecond)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-fault; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read ended with %v", err)
	}
	h.expectEnd(client, 1)
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second Close returned %v", err)
	}
}

// TestCloseOfAnIdleConnection needs nobody to call Rest.
func TestCloseOfAnIdleConnection(t *testing.T) {
	h := newHall(t)
	client, c := h.connect(long, echo)
	h.ask(client, "a")
	c.Close()
	h.expectEnd(client, 1)
}

// TestCloseIdle spares those that are busy.
func TestCloseIdle(t *testing.T) {
	h := newHall(t)
	resting, _ := h.connect(long, echo)
	begun := make(chan struct{})
	client, c := h.connect(long, func(c *Conn, data []byte) Next {
		close(begun)
		return Busy
	})
	io.WriteString(client, "a")
	<-begun
	h.loop.CloseIdle()
	h.expectEnd(resting, 1)
	echo(c, []byte("b"))
	c.Rest()
	buf := make([]byte, 8)
	if n, err := client.Read(buf); string(buf[:n]) != "b" || err != nil {
		t.Errorf("the client read %q, %v", buf[:n], err)
	}
	h.loop.CloseIdle()
	h.expectEnd(client, 2)
}

// BenchmarkEcho is a round trip of 64 bytes.
func BenchmarkEcho(b *testing.B) {
	loop, err := Start(func() {}, func() {})
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	c, err := loop.Adopt(accepted.(*net.TCPConn))
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(long, func(data []byte) Next { return echo(c, data) }, func() {}); err != nil {
		b.Fatal(err)
	}
	text := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		client.Write(text)
		if _, err := io.ReadFull(client, text); err != nil {
			b.Fatal(err)
		}
	}
	client.Close()
	ln.Close()
	loop.CloseIdle()
	loop.Close()
}
