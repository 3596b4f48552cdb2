package site

import (
	"context"
	"net"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// inside returns a socket in the namespace of a machine, on its own address.
func inside(t *testing.T, n *network, machine int) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	enter(t, "/run/netns/"+n.namespace(machine), func() {
		var err error
		conn, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(n.ip(machine)), Port: 7})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { conn.Close() })
	return conn
}

// enter calls f in the network namespace at path.
func enter(t *testing.T, path string, f func()) {
	t.Helper()
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	other, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	set := func(f *os.File) {
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Fatal(err) // the thread stays locked, and ends with the goroutine
		}
	}
	set(other)
	f()
	set(own)
	runtime.UnlockOSThread()
}

// TestPartitions cuts every direction by itself, and sends through all of them. A
// packet that comes although its way is cut comes before the one that is sent after
// the heal: none is waited for that is not to come.
func TestPartitions(t *testing.T) {
	s := open(t, Config{})
	if !s.CanCut() {
		t.Skip(s.Missing)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var conns [Size]*net.UDPConn
	for i, m := range s.Machines {
		conns[i] = inside(t, s.network, m.number)
	}
	send := func(from, to int, text string) {
		t.Helper()
		if _, err := conns[from].WriteTo([]byte(text), conns[to].LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(at int, want string) {
		t.Helper()
		var buf [64]byte
		deadline, _ := ctx.Deadline()
		if err := conns[at].SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		n, err := conns[at].Read(buf[:])
		if err != nil {
			t.Fatalf("waiting for %q: %v", want, err)
		}
		if got := string(buf[:n]); got != want {
			t.Errorf("machine %d received %q, want %q", at+1, got, want)
		}
	}
	for cutFrom := range conns {
		for cutTo := range conns {
			if cutFrom == cutTo {
				continue
			}
			if err := s.Cut(ctx, s.Machines[cutFrom], s.Machines[cutTo]); err != nil {
				t.Fatal(err)
			}
			send(cutFrom, cutTo, "lost")
			for from := range conns {
				for to := range conns {
					if from != to && (from != cutFrom || to != cutTo) {
						send(from, to, "other way")
						receive(to, "other way")
					}
				}
			}
			if err := s.Heal(ctx); err != nil {
				t.Fatal(err)
			}
			send(cutFrom, cutTo, "healed")
			receive(cutTo, "healed")
		}
	}
}
