package transport

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp/fasthttputil"
)

// notAlike is what differs between two answers to the same request: made up ids, and
// the date.
var notAlike = regexp.MustCompile(`req_[0-9a-f]+_[0-9]+|Date: [^\r]*|Content-Length: [0-9]+`)

// TestLanesAnswerAsFasthttpDoes: the same requests, on a watched connection and on one
// that fasthttp serves from the first to the last byte, get the same answers.
func TestLanesAnswerAsFasthttpDoes(t *testing.T) {
	post := func(path, key, body string, headers ...string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: %s\r\n%sContent-Length: %d\r\n\r\n%s",
			path, key, strings.Join(headers, ""), len(body), body)
	}
	put := func(id, body string) string {
		return fmt.Sprintf("PUT /v1/accounts/%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", id, len(body), body)
	}
	get := func(target string, headers ...string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(headers, "") + "\r\n"
	}
	payment := `{"source":"alice","destination":"bob","amount":"10","currency":"USD"}`
	requests := []string{
		put("alice", `{"currency":"USD","overdraft_limit":"100"}`), put("alice", `{"currency":"USD","overdraft_limit":"100"}`),
		put("alice", `{"currency":"EUR"}`), put("bob", `{"currency":"USD","metadata":{"a":"b"}}`), put("world:USD", `{"currency":"USD"}`),
		post("/v1/payments", "k1", payment), post("/v1/payments", "k1", payment), post("/v1/payments", "k1", `{"source":"alice","amount":"11","currency":"USD"}`),
		post("/v1/payments", "k2", payment, "X-Request-Id: mine\r\n"), post("/v1/payments", "k3", `{"source":"alice","amount":"1000","currency":"USD"}`),
		post("/v1/payments", "k4", payment, "X-Request-Id: mine\r\n", "Expect: 100-continue\r\n"),
		post("/v1/payments", "k5", `{"source":"alice","amount":"10","currency":"USD"`), post("/v1/payments", "", payment), post("/v1/payments?x=1", "k6", payment),
		post("/v1/payments/pay_0000000000007/refund", "k7", `{"amount":"3"}`), post("/v1/payments/pay_0000000000007/void", "k8", ``), post("/v1/payments/nothing/capture", "k9", `{}`),
		post("/v1/payments/batch", "", `{"payments":[{"idempotency_key":"b1","source":"alice","amount":"1","currency":"USD"}]}`),
		"PATCH /v1/accounts/bob HTTP/1.1\r\nHost: x\r\nIf-Match: \"1\"\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n{\"status\":\"frozen\"}",
		get("/v1/accounts/alice"), get("/v1/accounts/alice?consistency=stale"), get("/v1/accounts/nobody"), get("/v1/accounts/alice?consistency=other"),
		get("/v1/accounts/al%69ce"), get("/v1/accounts/alice?min_index=999999"), get("/v1/accounts"), get("/v1/accounts/alice/entries?order=asc&limit=2"),
		get("/nowhere"), get("/v1/accounts/alice", "X-Request-Id: mine\r\n"), get("/v1/accounts/alice", "Connection: close\r\n"), get("/v1/idempotency-keys/k1"),
		"GET /v1/accounts/alice HTTP/1.0\r\n\r\n", "HEAD /v1/accounts/alice HTTP/1.1\r\nHost: x\r\n\r\n", "DELETE /v1/accounts/alice HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/accounts/alice HTTP/1.1\r\n\r\n", "GET http://x/v1/accounts/alice HTTP/1.1\r\nHost: x\r\n\r\n", "nonsense\r\n\r\n",
		"GET /v1/accounts/alice HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", "GET /v1/accounts/alice HTTP/1.1\r\nHost: x y\r\n\r\n",
		"GET /v1/accounts/alice HTTP/1.1\r\nHost: x:y\r\n\r\n", "GET /v1/accounts/alice HTTP/1.1\r\nHost: x:80\r\n\r\n", "GET http://h:p/v1/accounts/alice HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/accounts/alice HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET /v1/accounts/alice HTTP/1.1\r\nHost: a:b:c\r\n\r\n", "GET //v1/accounts/alice HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: c\r\nTransfer-Encoding: chunked\r\n\r\n45\r\n" + payment + "\r\n0\r\n\r\n",
		"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: d\r\nContent-Length: 69\r\nTransfer-Encoding: chunked\r\n\r\n45\r\n" + payment + "\r\n0\r\n\r\n",
		post("/v1/payments", "k10", payment, "X-Long: "+strings.Repeat("x", 9<<10)+"\r\n"),
	}
	watched, apart := newSite(t), newSite(t)
	ln := fasthttputil.NewInmemoryListener()
	go apart.server.Serve(ln) // until it is shut down with its site
	for i, request := range requests {
		direct, err := ln.Dial()
		if err != nil {
			t.Fatal(err)
		}
		want := exchange(t, direct, request, len(request))
		for _, cut := range []int{len(request), 1, len(request) / 2, len(request) - 1} {
			if cut != len(request) && strings.HasPrefix(request, "P") {
				continue // it would be executed more often than there
			}
			client, err := watched.connect()
			if err != nil {
				t.Fatal(err)
			}
			if got := exchange(t, client, request, cut); got != want {
				t.Errorf("request %d, first %d bytes by themselves: %.200q\n--- on a watched connection\n%s\n--- by fasthttp\n%s", i, cut, request, got, want)
			}
		}
	}
}

// exchange sends a request, its first cut bytes by themselves, and returns the answer,
// and whether the connection goes on.
func exchange(t *testing.T, c net.Conn, request string, cut int) string {
	t.Helper()
	defer c.Close()
	io.WriteString(c, request[:cut])
	if cut < len(request) {
		for range 100 {
			runtime.Gosched()
		}
		io.WriteString(c, request[cut:])
	}
	method, _, _ := strings.Cut(request, " ")
	asked, err := http.NewRequest(method, "http://x/", nil)
	if err != nil {
		asked, _ = http.NewRequest("GET", "http://x/", nil)
	}
	var raw bytes.Buffer
	in := bufio.NewReader(io.TeeReader(c, &raw))
	for {
		resp, err := http.ReadResponse(in, asked)
		if err != nil {
			return err.Error()
		}
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 100 {
			break
		}
	}
	return notAlike.ReplaceAllString(raw.String(), "")
}

// TestLanesKeepTheOrderOfAConnection: one that is served in lanes and apart by turns,
// by a client that sends without reading.
func TestLanesKeepTheOrderOfAConnection(t *testing.T) {
	s := newSite(t)
	s.fund("alice", "100000")
	client, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const requests = 4000
	go func() {
		for i := range requests {
			target := "/v1/accounts/alice"
			if i%3 == 0 {
				target = "/v1/accounts?limit=1"
			}
			fmt.Fprintf(client, "GET %s HTTP/1.1\r\nHost: x\r\nX-Request-Id: n%d\r\n\r\n", target, i)
		}
	}()
	in := bufio.NewReader(client)
	asked, _ := http.NewRequest("GET", "http://x/", nil)
	for i := range requests {
		resp, err := http.ReadResponse(in, asked)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		a := readAnswer(t, resp)
		if got := a.header.Get("X-Request-Id"); a.status != 200 || got != fmt.Sprint("n", i) {
			t.Fatalf("answer %d is %d to %s", i, a.status, got)
		}
	}
}

// TestALaneClosesWhatFasthttpHasServed: to fasthttp the connection seemed to end when it
// rested. An answer that says so, or that cannot be sent, ends it all the same.
func TestALaneClosesWhatFasthttpHasServed(t *testing.T) {
	e := &slow{newBook(), make(chan struct{}), make(chan struct{})}
	s := newSite(t, func(o *Options) { o.Executor = e })
	client, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	in := bufio.NewReader(client)
	asked, _ := http.NewRequest("GET", "http://x/", nil)
	io.WriteString(client, "GET /v1/accounts?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n") // not for a lane
	resp, err := http.ReadResponse(in, asked)
	if err != nil {
		t.Fatal(err)
	}
	readAnswer(t, resp)
	body := `{"source":"alice","amount":"1","currency":"USD"}`
	fmt.Fprintf(client, "POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	<-e.entered
	s.server.leaving.Store(true)
	close(e.release)
	if resp, err = http.ReadResponse(in, asked); err != nil {
		t.Fatal(err)
	}
	if readAnswer(t, resp); !resp.Close {
		t.Error("the answer does not say that the connection ends")
	}
	client.SetReadDeadline(time.Now().Add(10 * time.Second))
	if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil {
		t.Errorf("behind the last answer the client read %q, %v", rest, err)
	}
}

// TestLanesAreTaken: plain requests need no goroutine of their connection.
func TestLanesAreTaken(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there are no event loops")
	}
	s := newSite(t)
	s.fund("alice", "100")
	s.server.http.ConnState = nil
	s.server.http.Handler = nil // whoever gets there panics
	payment := `{"source":"alice","amount":"1","currency":"USD"}`
	if a := s.post("/v1/payments", "k", payment); a.status != 201 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.do("GET", "/v1/accounts/alice", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
