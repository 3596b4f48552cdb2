package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// adminAnswers are responses of an admin listener, with a field that no version
// of this program knows in each, and a time with microseconds.
var adminAnswers = map[string]string{
	"GET /admin/v1/status": `{"node":"n1","role":"leader","leader":"n1","term":3,"commit_index":18446744073709551615,"applied_index":17,` +
		`"digest":"ab","members":[{"id":"n1","raft_addr":"127.0.0.1:1","api_addr":"127.0.0.1:2","voter":true,"lag":0,"reachable":true,"new":1},` +
		`{"id":"n2","raft_addr":"127.0.0.1:3","api_addr":"127.0.0.1:4","voter":true,"lag":null,"reachable":null}],"shards":2,` +
		`"snapshot":{"id":"3-17","index":17,"term":3,"bytes":4096,"created_at":"2026-01-02T03:04:05.000006Z","took_ms":12},"version":"v",` +
		`"cluster":"c1","format":3,"formats":4,"forming":"nobody-leads","diverged":"other-digest"}`,
	"GET /admin/v1/snapshots":         `{"snapshots":[{"id":"3-17","index":17,"term":3,"bytes":4096,"created_at":"2026-01-02T03:04:05.000006Z","took_ms":0,"new":[]}]}`,
	"POST /admin/v1/snapshots":        `{"id":"3-17","index":17,"term":3,"bytes":4096,"created_at":"2026-01-02T03:04:05.000006Z","took_ms":12,"new":{}}`,
	"POST /admin/v1/verify":           `{"ok":true,"currencies":{"USD":{"accounts":2,"sum":"0","new":null}},"index":17,"deep":false,"rows":41}`,
	"POST /admin/v1/verify?deep=true": `{"ok":false,"currencies":{"USD":{"accounts":2,"sum":"5"}},"index":17,"deep":true,"rows":41,"faults":["USD: the sum is 5"],"fault_count":3}`,
}

func adminStub(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := adminAnswers[r.Method+" "+r.URL.RequestURI()]
		if body == "" {
			w.WriteHeader(503)
			body = `{"code":"draining","detail":"the node is shutting down"}`
		}
		_, _ = io.WriteString(w, body+"\n") // the client's test fails without it
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// purser runs a command and returns what it writes to standard output.
func purser(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := rootCommand()
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// unspaced drops the indentation; no value in adminAnswers has a space that the
// comparison needs.
func unspaced(s string) string { return strings.Join(strings.Fields(s), "") }

// TestOutputJSON: -o json drops nothing of what the server sends, and changes
// nothing but white space.
func TestOutputJSON(t *testing.T) {
	base := adminStub(t)
	for command, call := range map[string]string{
		"status":        "GET /admin/v1/status",
		"snapshot list": "GET /admin/v1/snapshots",
		"snapshot save": "POST /admin/v1/snapshots",
		"verify":        "POST /admin/v1/verify",
		"verify --deep": "POST /admin/v1/verify?deep=true",
	} {
		out, err := purser(t, append(strings.Fields(command), "-o", "json", "--admin", base)...)
		if unspaced(out) != unspaced(adminAnswers[call]) {
			t.Errorf("%s:\ngot  %s\nwant %s", command, unspaced(out), unspaced(adminAnswers[call]))
		}
		if !strings.HasPrefix(out, "{\n  \"") || !strings.HasSuffix(out, "\n}\n") {
			t.Errorf("%s is not indented:\n%s", command, out)
		}
		var exit *exitError
		if books := errors.As(err, &exit) && exit.code == exitBooks; books != (command == "verify --deep") || err != nil && !books {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// TestOutputTable: a table has what people look for, a row each.
func TestOutputTable(t *testing.T) {
	base := adminStub(t)
	for command, words := range map[string][]string{
		"status":          {"leader", "18446744073709551615", "raft=127.0.0.1:1", "api=127.0.0.1:2", "lag=0", "lag=-", "c1", "reads up to 4", "nobody-leads", "other-digest"},
		"cluster members": {"n1 leader 127.0.0.1:1 127.0.0.1:2 0 true 0", "n2 voter 127.0.0.1:3 127.0.0.1:4 - - 0"},
		"snapshot list":   {"ID", "3-17", "4096", "2026-01-02T03:04:05Z"},
		"snapshot save":   {"ID", "3-17"},
		"verify":          {"USD", "true", "index 17, 41 rows"},
		"verify --deep":   {"USD", "USD: the sum is 5", "and 2 more", "false"},
	} {
		out, _ := purser(t, append(strings.Fields(command), "--admin", base)...)
		for _, word := range words {
			if !strings.Contains(strings.Join(strings.Fields(out), " "), word) {
				t.Errorf("%s: no %q in\n%s", command, word, out)
			}
		}
	}
}

// TestAdminRefusal: a problem of the server is the command's error, and nothing
// of it goes to standard output.
func TestAdminRefusal(t *testing.T) {
	out, err := purser(t, "status", "-o", "json", "--admin", adminStub(t)+"/refused")
	if out != "" || err == nil || err.Error() != "the server answered 503 draining: the node is shutting down" {
		t.Errorf("%q, %v", out, err)
	}
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
