package peer

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

// TestGoldenBytes: what is on the wire between nodes of different releases.
func TestGoldenBytes(t *testing.T) {
	if kindRaft != "purser/r" || kindControl != "purser/c" || len(kindControl) != kindLen {
		t.Errorf("kinds %q, %q", kindRaft, kindControl)
	}
	for _, c := range []struct {
		header, json string
		v            any
	}{
		{"\x01\x00\x00\x00\x36", `{"method":"join","timeout_ms":1500,"body":{"id":"n2"}}`, request{"join", 1500, json.RawMessage(`{"id":"n2"}`)}},
		{"\x01\x00\x00\x00\x10", `{"body":{"n":1}}`, response{Body: json.RawMessage(`{"n":1}`)}},
		{"\x01\x00\x00\x00\x2d", `{"error":{"code":"full","message":"no room"}}`, response{Error: &RemoteError{"full", "no room"}}},
	} {
		golden := c.header + c.json
		got, err := appendFrame(nil, c.v)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != golden {
			t.Errorf("got  %q\nwant %q", got, golden)
		}
		back := reflect.New(reflect.TypeOf(c.v))
		if err := readFrame(strings.NewReader(golden), back.Interface()); err != nil {
			t.Error(err)
		}
		if !reflect.DeepEqual(back.Elem().Interface(), c.v) {
			t.Errorf("read %+v, want %+v", back.Elem(), c.v)
		}
	}
}

func TestFrameBound(t *testing.T) {
	text := strings.Repeat("x", maxFrame-len(`""`))
	frame, err := appendFrame(nil, text)
	if err != nil {
		t.Fatal(err)
	}
	var back string
	if err := readFrame(bytes.NewReader(frame), &back); err != nil || back != text {
		t.Errorf("a frame of 1 MiB: %v", err)
	}
	if _, err := appendFrame(nil, text+"x"); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a byte more: %v", err)
	}
	if err := readFrame(strings.NewReader("\x01\x00\x10\x00\x01"), &back); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a header that says a byte more: %v", err)
	}
}

func TestFrameVersions(t *testing.T) {
	var v any
	rest := strings.NewReader("\x02\x00\x00\x00\x03new\x01\x00\x00\x00\x04null")
	if err := readFrame(rest, &v); !errors.Is(err, ErrNewerVersion) || !strings.Contains(err.Error(), "2, this program understands 1") {
		t.Errorf("version 2: %v", err)
	}
	if err := readFrame(rest, &v); err != nil {
		t.Errorf("after a newer frame: %v", err)
	}
	if err := readFrame(strings.NewReader("\x00\x00\x00\x00\x04null"), &v); !errors.Is(err, errVersionZero) {
		t.Errorf("version 0: %v", err)
	}
}

// FuzzReadFrame: any bytes are decoded or refused, without taking more memory
// than a frame has; what is decoded is encoded and decoded to the same.
func FuzzReadFrame(f *testing.F) {
	for _, v := range []any{request{"join", 1, json.RawMessage("null")}, response{Error: &RemoteError{"c", "m"}}, response{}} {
		frame, err := appendFrame(nil, v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
		f.Add(frame[:len(frame)-1])
	}
	f.Add([]byte("\x01\x00\x00\x00\x04"))
	f.Add([]byte("\x02\x00\x00\x00\x00"))
	f.Add([]byte("\x01\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		from := bytes.NewReader(data)
		var call request
		err := readFrame(from, &call)
		switch {
		case errors.Is(err, ErrTooLarge):
			if from.Len() != len(data)-headerLen {
				t.Fatalf("read %d bytes of a frame that is refused", len(data)-from.Len())
			}
		case errors.Is(err, io.EOF) != (len(data) == 0), err == nil && len(data) < headerLen:
			t.Fatalf("%d bytes: %v", len(data), err)
		}
		if err != nil {
			return
		}
		again, err := appendFrame(nil, call)
		if errors.Is(err, ErrTooLarge) {
			return // escapes made it longer
		}
		if err != nil {
			t.Fatalf("decoded, but not encodable: %v", err)
		}
		var back request
		if err := readFrame(bytes.NewReader(again), &back); err != nil {
			t.Fatal(err)
		}
		if back.Method != call.Method || back.TimeoutMS != call.TimeoutMS {
			t.Fatalf("%+v became %+v", call, back)
		}
	})
}
