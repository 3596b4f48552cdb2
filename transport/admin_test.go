package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"purser/internal/ledger"
)

// cluster stands for a node behind the admin listener.
type cluster struct {
	status   Status
	checks   []Check
	live     error
	list     []SnapshotInfo
	contents map[string]io.ReadCloser
	deep     []bool
	members  []Member
	err      error
}

func (c *cluster) Status() Status  { return c.status }
func (c *cluster) Applied() uint64 { return 9 }
func (c *cluster) Checks() []Check { return c.checks }
func (c *cluster) Live() error     { return c.live }

func (c *cluster) Take(context.Context) (SnapshotInfo, error) {
	if c.err != nil {
		return SnapshotInfo{}, c.err
	}
	info := SnapshotInfo{ID: "3-17", Index: 17, Term: 3, Bytes: 4096, CreatedAt: Time{time.UnixMicro(int64(bookEpoch))}, TookMS: 12}
	c.list = slices.Insert(c.list, 0, info)
	return info, nil
}

func (c *cluster) List() ([]SnapshotInfo, error) { return c.list, c.err }

func (c *cluster) Open(id string) (io.ReadCloser, error) {
	if r := c.contents[id]; r != nil {
		return r, nil
	}
	return nil, ErrSnapshotNotFound
}

func (c *cluster) Verify(_ context.Context, deep bool) (VerifyReport, error) {
	c.deep = append(c.deep, deep)
	return VerifyReport{OK: true, Deep: deep, Index: 17, Currencies: map[string]CurrencyTotal{"USD": {Accounts: 2, Sum: "0"}}}, c.err
}

func (c *cluster) TransferLeadership(_ context.Context, to string) (Transfer, error) {
	return Transfer{Leader: to, Term: 4, TookMS: 9}, c.err
}

func (c *cluster) AddMember(_ context.Context, m Member) error {
	if c.err == nil {
		c.members = append(c.members, m)
	}
	return c.err
}

func (c *cluster) RemoveMember(context.Context, string) error { return c.err }

func newAdminSite(t *testing.T) (*site, *cluster) {
	t.Helper()
	c := &cluster{}
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "purser_test_total", Help: "For the test."}))
	a, err := NewAdmin(AdminOptions{Node: c, Health: c, Snapshots: c, Membership: c, Verifier: c, Gatherer: reg, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(a.http.Handler)
	t.Cleanup(srv.Close)
	return &site{t: t, client: &http.Client{Transport: redirect{srv}}}, c
}

// redirect sends the requests of a site to a test server.
type redirect struct{ to *httptest.Server }

func (r redirect) RoundTrip(req *http.Request) (*http.Response, error) {
	req.URL.Host = strings.TrimPrefix(r.to.URL, "http://")
	return http.DefaultTransport.RoundTrip(req)
}

func (s *site) wantAdminProblem(a answer, m meaning) {
	s.t.Helper()
	if a.status != m.status || a.str("code") != m.name || a.str("type") != "/problems/"+m.name || a.fields["retryable"] != m.retryable ||
		a.str("detail") == "" || a.str("request_id") != a.header.Get("X-Request-Id") || a.header.Get("Content-Type") != "application/problem+json" {
		s.t.Errorf("%d %s, want %d %s", a.status, a.body, m.status, m.name)
	}
}

// text asks for what is not JSON, and returns the response with its body.
func (s *site) text(path string) (*http.Response, string) {
	s.t.Helper()
	resp, err := s.client.Get("http://purser" + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(body)
}

func TestAdminHealth(t *testing.T) {
	s, c := newAdminSite(t)
	for _, path := range []string{"/livez", "/readyz"} {
		if a := s.do("GET", path, ""); a.status != 200 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	c.checks = []Check{{Name: "leader", Err: ledger.ErrNoLeader}, {Name: "draining", Err: ledger.ErrDraining}, {Name: "fine"}}
	a := s.do("GET", "/readyz", "")
	s.wantAdminProblem(a, adminNotReady)
	if got, want := a.str("detail"), "leader: "+ledger.ErrNoLeader.Error()+"; draining: "+ledger.ErrDraining.Error(); got != want || a.header.Get("Retry-After") == "" {
		t.Errorf("detail %q, want %q", got, want)
	}
	if a := s.do("GET", "/livez", ""); a.status != 200 {
		t.Errorf("a node that is not ready needs no restart: %d", a.status)
	}
	c.live = errors.New("the disk hangs")
	s.wantAdminProblem(s.do("GET", "/livez", ""), adminNotLive)
}

// TestAdminReadyVerbose: every check has its line, whatever its outcome.
func TestAdminReadyVerbose(t *testing.T) {
	s, c := newAdminSite(t)
	two := errors.Join(errors.New("first"), errors.New("second"))
	for _, tt := range []struct {
		name   string
		checks []Check
		status int
		body   string
	}{
		{"ready", []Check{{Name: "leader"}, {Name: "storage", Minor: true}}, 200,
			"[+]leader ok\n[+]storage ok\nreadyz check passed\n"},
		{"minor", []Check{{Name: "leader"}, {Name: "storage", Minor: true, Err: two}}, 200,
			"[+]leader ok\n[-]storage: first; second\nreadyz check passed\n"},
		{"unready", []Check{{Name: "leader"}, {Name: "draining", Err: ledger.ErrDraining}}, 503,
			"[+]leader ok\n[-]draining: " + ledger.ErrDraining.Error() + "\nreadyz check failed\n"},
	} {
		c.checks = tt.checks
		resp, body := s.text("/readyz?verbose")
		if resp.StatusCode != tt.status || body != tt.body || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" ||
			(resp.Header.Get("Retry-After") != "") != (tt.status == 503) {
			t.Errorf("%s: %d %v\n%s", tt.name, resp.StatusCode, resp.Header, body)
		}
		if resp, _ := s.text("/readyz"); resp.StatusCode != tt.status {
			t.Errorf("%s: %d, but with verbose %d", tt.name, resp.StatusCode, tt.status)
		}
	}
}

// TestAdminIndex: every response says which log index it reflects.
func TestAdminIndex(t *testing.T) {
	s, c := newAdminSite(t)
	c.status = Status{AppliedIndex: 12}
	for path, want := range map[string]string{
		"GET /livez": "9", "GET /readyz": "9", "GET /readyz?verbose": "9", "GET /metrics": "9", "GET /debug/pprof/cmdline": "9",
		"GET /nothing": "9", "PUT /livez": "9", "GET //livez": "9", "GET /debug/pprof": "9", "GET /admin/v1/snapshots": "9", "GET /admin/v1/snapshots/nothing": "9",
		"GET /admin/v1/status": "12", "POST /admin/v1/verify": "17", "POST /admin/v1/snapshots": "17",
	} {
		method, path, _ := strings.Cut(path, " ")
		req, _ := http.NewRequest(method, "http://purser"+path, nil)
		resp, err := s.client.Transport.RoundTrip(req) // follows no redirect
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Purser-Index"); got != want || resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s: %d, Purser-Index %q, want %s", method, path, resp.StatusCode, got, want)
		}
	}
}

func TestAdminStatus(t *testing.T) {
	s, c := newAdminSite(t)
	c.status = Status{
		Node: "node-1", Role: "leader", Leader: "node-1", Term: 3, CommitIndex: 18, AppliedIndex: 17, Digest: "ab",
		Members: []Member{{ID: "node-1", RaftAddr: "127.0.0.1:8082", APIAddr: "127.0.0.1:8080", Voter: true, Formats: 2, Lag: new(uint64(5)), Reachable: new(true)}, {ID: "node-2"}}, Shards: 2, Version: "dev",
		Cluster: "c1", Format: 1, Formats: 2, Forming: "no leader", Diverged: "digest",
	}
	want := `{"node":"node-1","role":"leader","leader":"node-1","term":3,"commit_index":18,"applied_index":17,"digest":"ab",` +
		`"members":[{"id":"node-1","raft_addr":"127.0.0.1:8082","api_addr":"127.0.0.1:8080","voter":true,"formats":2,"lag":5,"reachable":true},` +
		`{"id":"node-2","raft_addr":"","api_addr":"","voter":false,"formats":0,"lag":null,"reachable":null}],` +
		`"shards":2,"snapshot":null,"version":"dev","cluster":"c1","format":1,"formats":2,"forming":"no leader","diverged":"digest"}` + "\n"
	if a := s.do("GET", "/admin/v1/status", ""); a.status != 200 || a.body != want {
		t.Errorf("%d\ngot  %s\nwant %s", a.status, a.body, want)
	}
	c.status = Status{}
	if a := s.do("GET", "/admin/v1/status", ""); !strings.Contains(a.body, `"members":[]`) {
		t.Errorf("no members: %s", a.body)
	}
}

func TestAdminSnapshots(t *testing.T) {
	s, c := newAdminSite(t)
	if a := s.do("GET", "/admin/v1/snapshots", ""); a.body != `{"snapshots":[]}`+"\n" {
		t.Errorf("none: %s", a.body)
	}
	want := `{"id":"3-17","index":17,"term":3,"bytes":4096,"created_at":"2026-01-02T03:04:05.000000Z","took_ms":12}`
	if a := s.do("POST", "/admin/v1/snapshots", ""); a.status != 201 || a.body != want+"\n" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.do("GET", "/admin/v1/snapshots", ""); a.body != `{"snapshots":[`+want+`]}`+"\n" {
		t.Errorf("list: %s", a.body)
	}
	s.wantAdminProblem(s.do("GET", "/admin/v1/snapshots/nothing", ""), adminSnapshotNotFound)
	c.err = ledger.ErrDraining
	s.wantAdminProblem(s.do("POST", "/admin/v1/snapshots", ""), meanings[codeDraining])
	c.err = errors.New("no space")
	s.wantAdminProblem(s.do("GET", "/admin/v1/snapshots", ""), meanings[codeInternal])
}

// content counts its closings and may fail half-way.
type content struct {
	io.Reader
	closed int
}

func (c *content) Close() error { c.closed++; return nil }

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("bad sector") }

func TestAdminSnapshotDownload(t *testing.T) {
	s, c := newAdminSite(t)
	whole := bytes.Repeat([]byte("tar"), 100_000)
	good, bad := &content{Reader: bytes.NewReader(whole)}, &content{Reader: io.MultiReader(bytes.NewReader(whole), failing{})}
	c.contents = map[string]io.ReadCloser{"good": good, "bad": bad}
	resp, err := s.client.Get("http://purser/admin/v1/snapshots/good")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !bytes.Equal(got, whole) || resp.Header.Get("Content-Type") != "application/x-tar" || good.closed != 1 {
		t.Errorf("%d bytes, %v, closed %d times", len(got), err, good.closed)
	}
	resp, err = s.client.Get("http://purser/admin/v1/snapshots/bad")
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(resp.Body)
	resp.Body.Close()
	if err == nil {
		t.Error("a download that failed half-way looks complete")
	}
}

func TestAdminVerify(t *testing.T) {
	s, c := newAdminSite(t)
	want := `{"ok":true,"currencies":{"USD":{"accounts":2,"sum":"0"}},"index":17,"deep":false,"rows":0}` + "\n"
	if a := s.do("POST", "/admin/v1/verify", ""); a.status != 200 || a.body != want {
		t.Errorf("%d %s", a.status, a.body)
	}
	s.do("POST", "/admin/v1/verify?deep=true", "")
	s.do("POST", "/admin/v1/verify?deep=false", "")
	s.wantAdminProblem(s.do("POST", "/admin/v1/verify?deep=yes", ""), meanings[codeInvalidRequest])
	if !slices.Equal(c.deep, []bool{false, true, false}) {
		t.Errorf("deep %v", c.deep)
	}
}

func TestAdminMembership(t *testing.T) {
	s, c := newAdminSite(t)
	if a := s.do("POST", "/admin/v1/leader-transfer", `{"to":"node-2"}`); a.status != 200 || a.body != `{"leader":"node-2","term":4,"took_ms":9}`+"\n" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.do("POST", "/admin/v1/leader-transfer", ""); a.status != 200 {
		t.Errorf("without a body: %d %s", a.status, a.body)
	}
	if a := s.do("POST", "/admin/v1/members", `{"id":"n2","raft_addr":"a:1","api_addr":"a:2","voter":false}`); a.status != 201 || c.members[0] != (Member{ID: "n2", RaftAddr: "a:1", APIAddr: "a:2"}) {
		t.Errorf("%d %s %+v", a.status, a.body, c.members)
	}
	if a := s.do("DELETE", "/admin/v1/members/n2", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, body := range []string{`{"to":1}`, `{"from":"x"}`, `{`, `{}{}`} {
		s.wantAdminProblem(s.do("POST", "/admin/v1/leader-transfer", body), meanings[codeInvalidJSON])
	}
	s.wantAdminProblem(s.do("POST", "/admin/v1/leader-transfer", `{}`, "Content-Type", "text/plain"), meanings[codeUnsupportedMediaType])
	s.wantAdminProblem(s.do("POST", "/admin/v1/leader-transfer", strings.Repeat(" ", maxBody+1)), meanings[codeBodyTooLarge])
	a := s.do("POST", "/admin/v1/members", `{"id":"n2","raft_addr":"a:1"}`)
	s.wantAdminProblem(a, meanings[codeInvalidRequest])
	if a.str("param") != "api_addr" {
		t.Errorf("param %s", a.str("param"))
	}
	c.err = errors.New("a cluster of one has nobody to lead instead")
	a = s.do("POST", "/admin/v1/leader-transfer", `{}`)
	s.wantAdminProblem(a, adminCannotTransfer)
	if a.str("detail") != c.err.Error() {
		t.Errorf("the reason is lost: %s", a.body)
	}
	s.wantAdminProblem(s.do("POST", "/admin/v1/members", `{"id":"n2","raft_addr":"a:1","api_addr":"a:2"}`), adminCannotChangeMembers)
	s.wantAdminProblem(s.do("DELETE", "/admin/v1/members/n2", ""), adminCannotChangeMembers)
	c.err = &NotLeaderError{Leader: "10.0.0.2:8081"}
	a = s.do("POST", "/admin/v1/leader-transfer", `{}`)
	s.wantAdminProblem(a, adminNotLeader)
	if a.str("leader") != "10.0.0.2:8081" {
		t.Errorf("leader %s", a.body)
	}
}

func TestAdminPaths(t *testing.T) {
	s, _ := newAdminSite(t)
	s.wantAdminProblem(s.do("GET", "/", ""), meanings[codeNotFound])
	s.wantAdminProblem(s.do("GET", "/admin/v1/nothing", ""), meanings[codeNotFound])
	a := s.do("PUT", "/admin/v1/snapshots", "")
	s.wantAdminProblem(a, meanings[codeMethodNotAllowed])
	if a.header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("Allow %q", a.header.Get("Allow"))
	}
	s.wantAdminProblem(s.do("POST", "/admin/v1/snapshots", "", "Sec-Fetch-Site", "cross-site"), meanings[codeForbidden])
	if a := s.do("GET", "/livez", "", "X-Request-Id", "mine"); a.header.Get("X-Request-Id") != "mine" {
		t.Errorf("X-Request-Id %q", a.header.Get("X-Request-Id"))
	}
	for path, word := range map[string]string{"/metrics": "purser_test_total 0", "/debug/pprof/": "goroutine", "/debug/pprof/cmdline": "transport.test"} {
		if resp, body := s.text(path); resp.StatusCode != 200 || !strings.Contains(body, word) {
			t.Errorf("%s: %d, %d bytes without %q", path, resp.StatusCode, len(body), word)
		}
	}
}

func TestAdminOptions(t *testing.T) {
	_, err := NewAdmin(AdminOptions{})
	for _, word := range []string{"Node", "Health", "Snapshots", "Membership", "Verifier", "Gatherer"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("NewAdmin does not mention %s: %v", word, err)
		}
	}
}

func TestAdminServe(t *testing.T) {
	c := &cluster{}
	a, err := NewAdmin(AdminOptions{Node: c, Health: c, Snapshots: c, Membership: c, Verifier: c, Gatherer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	addr, served := serveTCP(t, a.Serve)
	resp, err := http.Get("http://" + addr + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := a.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil || resp.StatusCode != 200 {
		t.Errorf("%d, Serve: %v", resp.StatusCode, err)
	}
}
