package transport

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// site is a Server over a book, listening on loopback, where its connections are
// watched by event loops.
type site struct {
	t      *testing.T
	book   *book
	server *Server
	ln     net.Listener
	client *http.Client
}

func newSite(t *testing.T, edit ...func(*Options)) *site {
	t.Helper()
	b := newBook()
	o := Options{Executor: b, Accounts: b, Payments: b, Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)}
	for _, f := range edit {
		f(&o)
	}
	srv, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, book: b, server: srv, ln: ln}
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return s.connect() }}
	s.client = &http.Client{Transport: tr}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(s.ln) }()
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// connect opens a connection.
func (s *site) connect() (net.Conn, error) { return net.Dial("tcp", s.ln.Addr().String()) }

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   string
	fields map[string]any
}

// str returns a field of the body, or what it is instead of a string.
func (a answer) str(name string) string {
	switch v := a.fields[name].(type) {
	case string:
		return v
	default:
		out, _ := json.Marshal(v)
		return string(out)
	}
}

// do sends one request. headers are name, value pairs; a body gets the JSON
// content type unless headers say otherwise.
func (s *site) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, "http://purser"+path, in)
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Content-Type" {
			req.Header.Del("Content-Type")
		}
		if headers[i+1] != "" {
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return readAnswer(s.t, resp)
}

func readAnswer(t *testing.T, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &a.fields); err != nil {
			t.Fatalf("%s: the body is no JSON object: %v\n%s", resp.Request.URL, err, body)
		}
	}
	for _, name := range []string{"X-Request-Id", "Purser-Index"} {
		if resp.Header.Get(name) == "" {
			t.Errorf("%s %s: no header %s", resp.Request.Method, resp.Request.URL, name)
		}
	}
	return a
}

// raw sends text as it is on a connection of its own and reads one response.
func (s *site) raw(text string) (answer, net.Conn) {
	s.t.Helper()
	c, err := s.connect()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		s.t.Fatal(err)
	}
	method, _, _ := strings.Cut(text, " ")
	req, _ := http.NewRequest(method, "http://raw/", nil)
	resp, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		s.t.Fatal(err)
	}
	return readAnswer(s.t, resp), c
}

// serveTCP has serve accept connections on loopback, at addr; what it returns in
// the end is sent to served.
func serveTCP(t *testing.T, serve func(net.Listener) error) (addr string, served <-chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve(ln) }()
	return ln.Addr().String(), ended
}

// whole sends a request in one piece.
func (s *site) whole(head, body string) answer {
	s.t.Helper()
	a, _ := s.raw(fmt.Sprintf("%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body))
	return a
}

func (s *site) post(path, key, body string) answer {
	s.t.Helper()
	return s.do("POST", path, body, "Idempotency-Key", key)
}

// fund makes an account of USD with posted minor units.
func (s *site) fund(id, posted string) {
	s.t.Helper()
	if a := s.do("PUT", "/v1/accounts/"+id, `{"currency":"USD"}`); a.status != 201 {
		s.t.Fatalf("PUT %s: %d %s", id, a.status, a.body)
	}
	if posted == "0" {
		return
	}
	body := `{"source":"world:USD","destination":"` + id + `","amount":"` + posted + `","currency":"USD"}`
	if a := s.post("/v1/payments", "fund-"+id, body); a.status != 201 {
		s.t.Fatalf("fund %s: %d %s", id, a.status, a.body)
	}
}

// wantProblem fails unless a is a problem of that code and param, in the API's form.
func (s *site) wantProblem(a answer, c code, param string) {
	s.t.Helper()
	m := meanings[c]
	if a.str("code") != m.name || a.status != m.status {
		s.t.Errorf("status %d, code %s, want %d %s\n%s", a.status, a.str("code"), m.status, m.name, a.body)
		return
	}
	if got, present := a.fields["param"]; present != (param != "") || present && got != param {
		s.t.Errorf("%s: param %v, want %q, and none if that is empty\n%s", m.name, got, param, a.body)
	}
	if a.header.Get("Content-Type") != "application/problem+json" {
		s.t.Errorf("%s: content type %q", m.name, a.header.Get("Content-Type"))
	}
	if (a.header.Get("Retry-After") != "") != (m.retryAfter > 0) {
		s.t.Errorf("%s: Retry-After %q", m.name, a.header.Get("Retry-After"))
	}
	if a.str("type") != "/problems/"+m.name || a.str("title") != m.title || a.fields["status"] != float64(m.status) ||
		a.fields["retryable"] != m.retryable || a.str("detail") == "" || a.str("request_id") == "" {
		s.t.Errorf("%s: members of the problem are missing or wrong\n%s", m.name, a.body)
	}
}
