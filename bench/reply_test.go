package bench

import (
	"fmt"
	"strings"
	"testing"
)

var wellFormed = []struct {
	name, text string
	items      int
	status     int
	answers    string
	closes     bool
}{
	{name: "payment", text: httpReply(201, `{"id":"pay_1","seq":912,"status":"captured"}`, ""), status: 201, answers: "201 912"},
	{name: "replayed", text: httpReply(201, `{}`, "idempotent-replayed: true\r\n"), status: 201, answers: "201 0 replayed"},
	{name: "not replayed", text: httpReply(201, `{}`, "Idempotent-Replayed: false\r\n"), status: 201, answers: "201 0"},
	{name: "refused", text: httpReply(402, `{"status":402,"seq":4}`, ""), status: 402, answers: `402 0 {"status":402,"seq":4}`},
	{name: "closing", text: httpReply(200, ``, "Connection: Close\r\n"), status: 200, answers: "200 0", closes: true},
	{name: "http 1.0", text: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", status: 200, answers: "200 0", closes: true},
	{name: "no content", text: "HTTP/1.1 204\r\n\r\n", status: 204, answers: "204 0"},
	{
		name: "batch", items: 3, status: 200, answers: `201 7; 402 0 {"status":402,"error":{"type":"t","status":402}},; 201 8 replayed`,
		text: httpReply(200, `{"results":[{"status":201,"payment":{"id":"p","seq":7,"x":"\"status\":201 \"seq\":1"}},`+
			`{"status":402,"error":{"type":"t","status":402}},{"status":201,"replayed":true,"payment":{"seq":8}}]}`, ""),
	},
	{name: "batch refused", items: 2, text: httpReply(413, `{"status":413}`, ""), status: 413, answers: `413 0 {"status":413}; 413 0 {"status":413}`},
}

// show tells everything about a complete reply but the bytes of a success.
func show(t *testing.T, r *reply, items int) string {
	t.Helper()
	answers, err := r.answers(nil, max(1, items))
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, a := range answers {
		part := fmt.Sprint(a.status, " ", a.seq)
		if a.replayed {
			part += " replayed"
		}
		if a.status >= 300 {
			part += " " + string(a.text)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

// TestReplySplit parses each reply cut in every two and three pieces, twice
// with the same parser, so that nothing of the first may be left.
func TestReplySplit(t *testing.T) {
	for _, test := range wellFormed {
		t.Run(test.name, func(t *testing.T) {
			var r reply
			for i := 0; i <= len(test.text); i++ {
				for k := i; k <= len(test.text); k++ {
					for range 2 {
						r.reset()
						got := feedAll(t, &r, test.items, test.text[:i], test.text[i:k], test.text[k:])
						if r.status != test.status || r.closes != test.closes || got != test.answers {
							t.Fatalf("split at %d and %d: %+v: %s", i, k, r, got)
						}
					}
				}
			}
		})
	}
}

// feedAll feeds the pieces that are not empty, of which only the last completes
// r, and returns what r says then.
func feedAll(t *testing.T, r *reply, items int, pieces ...string) (shown string) {
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
		if done {
			shown = show(t, r, items)
		}
		clear(data) // the next read overwrites it
	}
	return shown
}

func TestReplyByteByByte(t *testing.T) {
	for _, test := range wellFormed {
		var r reply
		if got := feedAll(t, &r, test.items, strings.Split(test.text, "")...); r.status != test.status || got != test.answers {
			t.Errorf("%s: %+v: %s", test.name, r, got)
		}
	}
}

func TestReplyMalformed(t *testing.T) {
	for name, text := range map[string]string{
		"not http":      "SSH-2.0-OpenSSH_9.2\r\n\r\n",
		"short":         "HTTP/1.1\r\n\r\n",
		"status":        "HTTP/1.1 2x1 Created\r\nContent-Length: 0\r\n\r\n",
		"long status":   "HTTP/1.1 2011 Created\r\nContent-Length: 0\r\n\r\n",
		"informational": "HTTP/1.1 100 Continue\r\n\r\n",
		"no length":     "HTTP/1.1 201 Created\r\n\r\n{}",
		"length":        "HTTP/1.1 201 Created\r\nContent-Length: -1\r\n\r\n",
		"huge length":   "HTTP/1.1 201 Created\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"large length":  "HTTP/1.1 201 Created\r\nContent-Length: 9999999999\r\n\r\n",
		"chunked":       "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"field":         "HTTP/1.1 201 Created\r\nnonsense\r\n\r\n",
		"more than one": httpReply(201, "{}", "") + "H",
		"endless head":  "HTTP/1.1 201 Created\r\n" + strings.Repeat("A: b\r\n", maxHead),
	} {
		var r reply
		if done, err := r.feed([]byte(text)); err == nil {
			t.Errorf("%s: no error, done %v", name, done)
		}
		r = reply{}
		var err error
		for i := 0; i < len(text) && err == nil; i++ {
			var done bool
			if done, err = r.feed([]byte(text[i : i+1])); done && name != "more than one" {
				t.Errorf("%s: complete after %d bytes", name, i+1)
			}
		}
		if err == nil {
			t.Errorf("%s: no error byte by byte", name)
		}
	}
}

func TestAnswersMalformed(t *testing.T) {
	for name, body := range map[string]string{
		"result status": `{"results":[{"status":"captured"},{"status":201}]}`,
		"result end":    `{"results":[{"status":201},{"status":20`,
		"one too few":   `{"results":[{"status":201}]}`,
		"one too many":  `{"results":[{"status":201},{"status":201},{"status":201}]}`,
		"nothing":       ``,
	} {
		r := reply{status: 200, body: []byte(body)}
		if got, err := r.answers(nil, 2); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// FuzzReply checks that how a reply is split into reads changes nothing.
func FuzzReply(f *testing.F) {
	for _, test := range wellFormed {
		f.Add([]byte(test.text), uint8(test.items), uint8(7))
	}
	f.Fuzz(func(t *testing.T, text []byte, items, size uint8) {
		var whole, split reply
		done, err := whole.feed(text)
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
		if err != nil || !done {
			return
		}
		a, err := whole.answers(nil, int(items)+1)
		b, splitErr := split.answers(nil, int(items)+1)
		if fmt.Sprint(whole.status, whole.closes, a, err) != fmt.Sprint(split.status, split.closes, b, splitErr) {
			t.Fatalf("whole: %+v %v %v\nsplit: %+v %v %v", whole, a, err, split, b, splitErr)
		}
	})
}
