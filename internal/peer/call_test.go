package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"purser/internal/nodetls"
)

// answerer is the handler of most tests.
func answerer(ctx context.Context, caller Caller, method string, body json.RawMessage) (any, error) {
	switch method {
	case "echo":
		return body, nil
	case "who":
		return caller, nil
	case "nothing":
		return nil, nil
	case "refuse":
		return nil, fmt.Errorf("join: %w", &RemoteError{"full", "no room"})
	case "fail":
		return nil, errors.New("disk on fire")
	case "large":
		return strings.Repeat("x", maxFrame), nil
	case "unencodable":
		return func() {}, nil
	}
	return nil, UnknownMethod(method)
}

func TestCallsAreAnswered(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		server, client := s.port(t, "n1", nil), s.port(t, "n2", nil)
		server.Handle(answerer)
		addr := server.Addr().String()
		for _, expected := range []string{"n1", ""} {
			in, out := map[string]string{"a": "<b>"}, map[string]string{}
			if err := client.Call(t.Context(), addr, expected, "echo", in, &out); err != nil {
				t.Fatal(err)
			}
			if out["a"] != "<b>" || len(out) != 1 {
				t.Errorf("echo of %v: %v", in, out)
			}
		}
		var who Caller
		if err := client.Call(t.Context(), addr, "n1", "who", nil, &who); err != nil {
			t.Fatal(err)
		}
		want := ""
		if s.authority != nil {
			want = "n2"
		}
		if host, _, _ := net.SplitHostPort(who.RemoteAddr); who.NodeID != want || host != "127.0.0.1" {
			t.Errorf("caller %+v, want node %q", who, want)
		}
		for _, method := range []string{"nothing", "echo"} { // no answer, and no wish for one
			if err := client.Call(t.Context(), addr, "n1", method, 1, nil); err != nil {
				t.Errorf("%s: %v", method, err)
			}
		}
	})
}

func TestCallErrorsComeBack(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		server, client := s.port(t, "n1", nil), s.port(t, "n2", nil)
		call := func(method string, in any) error {
			var out string
			return client.Call(t.Context(), server.Addr().String(), "n1", method, in, &out)
		}
		wantRemote := func(method, code, message string) {
			t.Helper()
			err := call(method, nil)
			remote, ok := errors.AsType[*RemoteError](err)
			if !ok || remote.Code != code || !strings.Contains(remote.Message, message) {
				t.Errorf("%s: %v, want code %s and %q", method, err, code, message)
			}
			for _, name := range []string{method, `"n1"`, server.Addr().String()} {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%v does not name %s", err, name)
				}
			}
		}
		wantRemote("echo", CodeNotReady, "not answer")
		server.Handle(answerer)
		wantRemote("refuse", "full", "no room")
		wantRemote("fail", CodeInternal, "disk on fire")
		wantRemote("fly", CodeUnknownMethod, `"fly"`)
		wantRemote("large", CodeTooLarge, "1 MiB")
		wantRemote("unencodable", CodeInternal, "unsupported type")

		if err := call("echo", strings.Repeat("x", maxFrame)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("large request: %v, want ErrTooLarge", err)
		}
		if err := call("echo", 5); err == nil || !strings.Contains(err.Error(), "answer") {
			t.Errorf("an answer of another type: %v", err)
		}
		if err := call("echo", func() {}); err == nil {
			t.Error("an argument that is no JSON was sent")
		}
	})
}

func TestCallPinsTheNode(t *testing.T) {
	s := newSite(t, true)
	server, client := s.port(t, "n1", nil), s.port(t, "n2", nil)
	server.Handle(answerer)
	err := client.Call(t.Context(), server.Addr().String(), "n3", "echo", 1, nil)
	if !errors.Is(err, nodetls.ErrWrongNode) {
		t.Errorf("%v, want ErrWrongNode", err)
	}
	stranger := newSite(t, true).port(t, "n2", nil)
	if err := stranger.Call(t.Context(), server.Addr().String(), "n1", "echo", 1, nil); err == nil {
		t.Error("a node of another authority was answered")
	}
}

// TestPlainAndTLSDoNotMix: neither side takes the other for a node.
func TestPlainAndTLSDoNotMix(t *testing.T) {
	plain, secure := newSite(t, false).port(t, "n1", nil), newSite(t, true).port(t, "n1", nil)
	plain.Handle(answerer)
	secure.Handle(answerer)
	if err := plain.Call(t.Context(), secure.Addr().String(), "n1", "echo", 1, nil); err == nil {
		t.Error("TLS port answered a plain call")
	}
	wantRefused(t, secure, reasonHandshake, 1)
	if err := secure.Call(t.Context(), plain.Addr().String(), "n1", "echo", 1, nil); err == nil {
		t.Error("plain port answered a call over TLS")
	}
	wantRefused(t, plain, reasonKind, 1)
}

func TestCallEndsWithItsContext(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		server, client := s.port(t, "n1", nil), s.port(t, "n2", nil)
		ctx, cancel := context.WithCancel(t.Context())
		server.Handle(func(ctx context.Context, _ Caller, _ string, _ json.RawMessage) (any, error) {
			cancel() // the caller gives up
			<-ctx.Done()
			return nil, ctx.Err()
		})
		if err := client.Call(ctx, server.Addr().String(), "n1", "wait", nil, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// TestHandlerHasTheCallersTime: the time that the caller waits, and no more than
// the limit.
func TestHandlerHasTheCallersTime(t *testing.T) {
	s := newSite(t, false)
	server, client := s.port(t, "n1", nil), s.port(t, "n2", nil)
	server.Handle(func(ctx context.Context, _ Caller, _ string, _ json.RawMessage) (any, error) {
		deadline, _ := ctx.Deadline()
		return time.Until(deadline), nil
	})
	for _, most := range []time.Duration{callLimit / 2, callLimit, 2 * callLimit} {
		ctx, cancel := context.WithTimeout(t.Context(), most)
		defer cancel()
		var left time.Duration
		if err := client.Call(ctx, server.Addr().String(), "", "left", nil, &left); err != nil {
			t.Fatal(err)
		}
		if left <= 0 || left > min(most, callLimit) {
			t.Errorf("caller has %v, handler has %v", most, left)
		}
	}

	server.Handle(func(ctx context.Context, _ Caller, _ string, _ json.RawMessage) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	for _, ms := range []int64{1, 0, -1, math.MinInt64} {
		if answer := server.answer(request{TimeoutMS: ms}, Caller{}); answer.Error == nil || answer.Error.Code != CodeTimeout {
			t.Errorf("after %d ms: %+v, want code %s", ms, answer, CodeTimeout)
		}
	}
}

// TestCallOfASilentNode: the deadline holds in every phase.
func TestCallOfASilentNode(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		client := s.port(t, "n2", nil)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := client.Call(ctx, silent.Addr().String(), "n1", "echo", 1, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("call of a node that says nothing: %v", err)
		}
		if _, err := client.Raft().Dial("127.0.0.1:1", time.Nanosecond); err == nil {
			t.Error("dialled in no time")
		}
	})
}

func TestNewerCallerIsToldSo(t *testing.T) {
	both(t, func(t *testing.T, s *site) {
		server := s.port(t, "n1", nil)
		server.Handle(answerer)
		c := s.dial(t, server, "n2", kindControl+"\x07\x00\x00\x00\x03new")
		var answer response
		if err := readFrame(c, &answer); err != nil {
			t.Fatal(err)
		}
		if answer.Error == nil || answer.Error.Code != CodeNewerVersion || !strings.Contains(answer.Error.Message, "7") {
			t.Errorf("%+v, want the code %s and the version", answer.Error, CodeNewerVersion)
		}
	})
}

func TestNewerAnswerIsNamed(t *testing.T) {
	newer, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer newer.Close()
	go func() {
		c, err := newer.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "\x02\x00\x00\x00\x03new")
		_, _ = io.Copy(io.Discard, c)
	}()
	client := newSite(t, false).port(t, "n2", nil)
	if err := client.Call(t.Context(), newer.Addr().String(), "", "echo", 1, nil); !errors.Is(err, ErrNewerVersion) {
		t.Errorf("%v, want ErrNewerVersion", err)
	}
}

func TestCallsAreBounded(t *testing.T) {
	s := newSite(t, false)
	server, client := s.port(t, "n1", nil), s.port(t, "n2", nil)
	entered, leave := make(chan struct{}), make(chan struct{})
	server.Handle(func(ctx context.Context, _ Caller, method string, _ json.RawMessage) (any, error) {
		entered <- struct{}{}
		<-leave
		return method, nil
	})
	errs := make(chan error, maxControl)
	call := func() error { return client.Call(t.Context(), server.Addr().String(), "", "wait", nil, nil) }
	for range maxControl {
		go func() { errs <- call() }()
	}
	for range maxControl {
		<-entered
	}
	if n := server.arriving.size(); n != 0 {
		t.Errorf("%d calls under way still count as arriving", n)
	}
	if err := call(); err == nil {
		t.Error("one call too many was answered")
	}
	wantRefused(t, server, reasonTooMany, 1)
	close(leave)
	for range maxControl {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	go func() { <-entered }()
	if err := call(); err != nil {
		t.Errorf("after the others: %v", err)
	}
}
