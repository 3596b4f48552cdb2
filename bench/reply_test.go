package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const bigField = `"x":"\"status\":201"`

var wellFormed = []struct {
	name, text string
	batch      bool
	status     int
	results    []int
	replayed   bool
	closes     bool
	example    string
}{
	{name: "payment", text: answer(201, `{"id":"pay_1","status":"captured"}`, ""), status: 201},
	{name: "replayed", text: answer(201, `{}`, "idempotent-replayed: true\r\n"), status: 201, replayed: true},
	{name: "not replayed", text: answer(201, `{}`, "Idempotent-Replayed: false\r\n"), status: 201},
	{name: "refused", text: answer(402, `{"status":402}`, ""), status: 402, example: `{"status":402}`},
	{name: "closing", text: answer(200, ``, "Connection: Close\r\n"), status: 200, closes: true},
	{name: "http 1.0", text: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", status: 200, closes: true},
	{name: "no content", text: "HTTP/1.1 204\r\n\r\n", status: 204},
	{
		name: "batch", batch: true, status: 200, results: []int{201, 402, 201},
		text: answer(200, `{"results":[{"status":201,"payment":{"id":"p","status":"captured",`+bigField+`}},`+
			`{"status":402,"error":{"type":"/problems/insufficient_funds","status":402}},{"status":201,"payment":{}}]}`, ""),
	},
	{name: "batch refused", batch: true, text: answer(413, `{"status":413}`, ""), status: 413, example: `{"status":413}`},
}

// TestReplySplit parses each reply cut in every two and three pieces, twice
// with the same parser, so that nothing of the first may be left.
func TestReplySplit(t *testing.T) {
	for _, test := range wellFormed {
		t.Run(test.name, func(t *testing.T) {
			r := reply{batch: test.batch}
			for i := 0; i <= len(test.text); i++ {
				for k := i; k <= len(test.text); k++ {
					for range 2 {
						r.reset()
						feedAll(t, &r, test.text[:i], test.text[i:k], test.text[k:])
						if r.status != test.status || r.replayed != test.replayed || r.closes != test.closes ||
							string(r.example) != test.example || !slices.Equal(r.results, test.results) {
							t.Fatalf("split at %d and %d: %+v", i, k, r)
						}
					}
				}
			}
		})
	}
}

// feedAll feeds the pieces that are not empty; only the last completes r.
func feedAll(t *testing.T, r *reply, pieces ...string) {
	t.Helper()
	left := len(strings.Join(pieces, ""))
	for _, piece := range pieces {
		if piece == "" {
			continue
		}
		left -= len(piece)
		data := []byte(piece)
		done, err := r.feed(data)
		if err != nil || done != (left == 0) {
			t.Fatalf("feed %q with %d bytes left: %v, %v", piece, left, done, err)
		}
		clear(data) // the parser must not have kept it
	}
}

func TestReplyByteByByte(t *testing.T) {
	for _, test := range wellFormed {
		r := reply{batch: test.batch}
		feedAll(t, &r, strings.Split(test.text, "")...)
		if r.status != test.status || !slices.Equal(r.results, test.results) {
			t.Errorf("%s: %+v", test.name, r)
		}
	}
}

func TestReplyMalformed(t *testing.T) {
	for _, test := range []struct {
		name, text string
		batch      bool
	}{
		{name: "not http", text: "SSH-2.0-OpenSSH_9.2\r\n\r\n"},
		{name: "short", text: "HTTP/1.1\r\n\r\n"},
		{name: "status", text: "HTTP/1.1 2x1 Created\r\nContent-Length: 0\r\n\r\n"},
		{name: "long status", text: "HTTP/1.1 2011 Created\r\nContent-Length: 0\r\n\r\n"},
		{name: "informational", text: "HTTP/1.1 100 Continue\r\n\r\n"},
		{name: "no length", text: "HTTP/1.1 201 Created\r\n\r\n{}"},
		{name: "length", text: "HTTP/1.1 201 Created\r\nContent-Length: -1\r\n\r\n"},
		{name: "huge length", text: "HTTP/1.1 201 Created\r\nContent-Length: 99999999999999999999\r\n\r\n"},
		{name: "chunked", text: "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{name: "field", text: "HTTP/1.1 201 Created\r\nnonsense\r\n\r\n"},
		{name: "more than one", text: answer(201, "{}", "") + "H"},
		{name: "endless head", text: "HTTP/1.1 201 Created\r\n" + strings.Repeat("A: b\r\n", maxHead)},
		{name: "result status", batch: true, text: answer(200, `{"results":[{"status":"captured"}]}`, "")},
		{name: "result end", batch: true, text: answer(200, `{"results":[{"status":20`, "")},
	} {
		r := reply{batch: test.batch}
		if done, err := r.feed([]byte(test.text)); err == nil {
			t.Errorf("%s: no error, done %v", test.name, done)
		}
		r = reply{batch: test.batch}
		var err error
		for i := 0; i < len(test.text) && err == nil; i++ {
			var done bool
			if done, err = r.feed([]byte(test.text[i : i+1])); done && test.name != "more than one" {
				t.Errorf("%s: complete after %d bytes", test.name, i+1)
			}
		}
		if err == nil {
			t.Errorf("%s: no error byte by byte", test.name)
		}
	}
}

// FuzzReply checks that how a reply is split into reads changes nothing.
func FuzzReply(f *testing.F) {
	for _, test := range wellFormed {
		f.Add([]byte(test.text), test.batch, uint8(7))
	}
	f.Fuzz(func(t *testing.T, text []byte, batch bool, size uint8) {
		whole := reply{batch: batch}
		done, err := whole.feed(text)
		split := reply{batch: batch}
		var splitDone bool
		var splitErr error
		for at := 0; at < len(text) && splitErr == nil; {
			if splitDone {
				return // what follows is the next reply's
			}
			n := min(int(size)+1, len(text)-at)
			splitDone, splitErr = split.feed(text[at : at+n])
			at += n
		}
		if len(text) > maxHead {
			return // the limit is checked only between reads
		}
		if (err == nil) != (splitErr == nil) || done != splitDone && err == nil {
			t.Fatalf("whole: %v, %v; split: %v, %v", done, err, splitDone, splitErr)
		}
		if err == nil && done && fmt.Sprint(whole.status, whole.replayed, whole.closes, whole.results, whole.example) !=
			fmt.Sprint(split.status, split.replayed, split.closes, split.results, split.example) {
			t.Fatalf("whole: %+v\nsplit: %+v", whole, split)
		}
	})
}
