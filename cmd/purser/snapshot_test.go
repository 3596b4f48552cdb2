package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"purser/raftfsm"
)

// makeBackup returns a small backup and its meta.
func makeBackup(t *testing.T) ([]byte, raftfsm.Meta) {
	t.Helper()
	s := openTestStack(t, t.TempDir(), 2)
	fund(t, s, "alice", 1250)
	meta, _, err := s.node.TakeSnapshot()
	if err != nil {
		t.Fatal(err)
	}
	stream, _, err := s.node.OpenSnapshot(meta.ID)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(stream)
	if err = errors.Join(err, stream.Close(), s.close()); err != nil {
		t.Fatal(err)
	}
	return raw, meta
}

// snapshotServer is an admin listener with one snapshot.
type snapshotServer struct {
	id    string
	sends []byte
	cut   bool // the connection behind the last byte
	taken int
}

func (s *snapshotServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "POST /admin/v1/snapshots":
		s.taken++
		fmt.Fprintf(w, `{"id":%q,"index":17,"term":3,"bytes":4096,"created_at":"2026-01-02T03:04:05.000006Z","took_ms":12}`, s.id)
	case "GET /admin/v1/snapshots/" + s.id:
		_, _ = w.Write(s.sends) // the client's test fails without it
		if s.cut {
			panic(http.ErrAbortHandler)
		}
	default:
		w.WriteHeader(404)
		_, _ = io.WriteString(w, `{"code":"not_found","detail":"no such snapshot"}`)
	}
}

func exitCodeOf(err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	}
	return exitFailed
}

// TestSaveOut: the snapshot goes into a new file under its name, and over another
// one only if told to.
func TestSaveOut(t *testing.T) {
	raw, meta := makeBackup(t)
	stub := &snapshotServer{id: meta.ID, sends: raw}
	srv := httptest.NewServer(stub)
	defer srv.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "backup.tar")
	requireOnly := func(want string) {
		t.Helper()
		if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(names) != 1 || string(mustRead(t, file)) != want {
			t.Errorf("the directory holds %q, %v", names, err)
		}
	}
	run := func(args ...string) error {
		_, err := purser(t, append(append([]string{"snapshot"}, args...), "--admin", srv.URL, "--out", file)...)
		return err
	}
	if err := run("save"); err != nil {
		t.Fatal(err)
	}
	requireOnly(string(raw))
	if err := os.WriteFile(file, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"save"}, {"download", meta.ID}} {
		if err := run(command...); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "--force") {
			t.Errorf("%s over a file that exists: %v", command, err)
		}
		requireOnly("other")
		if err := run(append(command, "--force")...); err != nil {
			t.Error(err)
		}
		requireOnly(string(raw))
		if err := os.WriteFile(file, []byte("other"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if stub.taken != 2 {
		t.Errorf("%d snapshots were taken, want 2: none for a file that is not to be written", stub.taken)
	}
	if err := os.Rename(file, file+".partial"); err != nil {
		t.Fatal(err)
	}
	if err := run("save"); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), ".partial") {
		t.Errorf("beside another download: %v", err)
	}
	if err := run("save", "--force"); err != nil {
		t.Error(err)
	}
	requireOnly(string(raw))
}

// TestDownloadFails: what is not a whole snapshot, as it was saved and asked for,
// is not kept, and does not cost the file that was there.
func TestDownloadFails(t *testing.T) {
	raw, meta := makeBackup(t)
	flipped := bytes.Clone(raw)
	flipped[len(flipped)/2] ^= 1
	for name, test := range map[string]struct {
		stub snapshotServer
		id   string
		code int
	}{
		"flipped":     {snapshotServer{meta.ID, flipped, false, 0}, meta.ID, exitStorage},
		"short":       {snapshotServer{meta.ID, raw[:len(raw)-1], false, 0}, meta.ID, exitStorage},
		"empty":       {snapshotServer{meta.ID, nil, false, 0}, meta.ID, exitStorage},
		"cut off":     {snapshotServer{meta.ID, raw[:len(raw)-1], true, 0}, meta.ID, exitFailed},
		"another one": {snapshotServer{"9-9-9", raw, false, 0}, "9-9-9", exitFailed},
		"unknown":     {snapshotServer{meta.ID, raw, false, 0}, "9-9-9", exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(&test.stub)
			defer srv.Close()
			dir := t.TempDir()
			file := filepath.Join(dir, "backup.tar")
			for _, force := range []string{"--force=false", "--force"} {
				_, err := purser(t, "snapshot", "download", test.id, "--admin", srv.URL, "--out", file, force)
				if exitCodeOf(err) != test.code {
					t.Errorf("exit code %d, want %d: %v", exitCodeOf(err), test.code, err)
				}
				want := 0
				if force == "--force" {
					want = 1
				}
				if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != want {
					t.Errorf("left %q", names)
				}
				if err := os.WriteFile(file, []byte("other"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := string(mustRead(t, file)); got != "other" {
				t.Errorf("the file that was there holds %d bytes now", len(got))
			}
		})
	}
}

// TestInspectAndVerify: both read a backup without a server. Inspect needs no more
// than its beginning; verify names the file that is damaged.
func TestInspectAndVerify(t *testing.T) {
	raw, meta := makeBackup(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "backup.tar")
	write := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	words := func(args []string, want ...string) {
		t.Helper()
		out, err := purser(t, args...)
		if err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		for _, word := range want {
			if !strings.Contains(out, word) {
				t.Errorf("%s: no %q in\n%s", args, word, out)
			}
		}
	}
	var options string // one of the last files, and the last one with content
	for _, f := range meta.Files {
		if strings.HasPrefix(f.Name, "OPTIONS") {
			options = f.Name
		}
	}
	inspect := []string{"snapshot", "inspect", file}
	write(raw)
	words(inspect, meta.ID, meta.Stats.Digest, "USD", "issued=1250", "n1", "voter=true", options)
	words([]string{"snapshot", "verify", file}, meta.ID, fmt.Sprint(len(meta.Files)))
	words([]string{"snapshot", "verify", "--deep", "--temp-dir", dir, file}, "USD", "ok", "true")
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
		t.Errorf("verify --deep left %q", names)
	}
	out, err := purser(t, append(inspect, "-o", "json")...)
	if err != nil {
		t.Fatal(err)
	}
	var v backupView
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.ID != meta.ID || v.LastSeq != meta.Stats.LastSeq || len(v.Files) != len(meta.Files) {
		t.Errorf("%+v, %v, of %s", v, err, out)
	}

	write(raw[:len(raw)-3000])
	words(inspect, meta.ID)
	for _, args := range [][]string{{"verify", file}, {"verify", "--deep", "--temp-dir", dir, file}, {"restore", file, "--data-dir", dir + "/data", "--node-id", "n2"}} {
		_, err := purser(t, append([]string{"snapshot"}, args...)...)
		if exitCodeOf(err) != exitStorage || !strings.Contains(err.Error(), options) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s of a truncated backup: exit code %d, %v", args, exitCodeOf(err), err)
		}
		if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 1 {
			t.Errorf("%s left %q", args, names)
		}
	}
	write(raw[:100])
	if _, err := purser(t, inspect...); exitCodeOf(err) != exitStorage || !strings.Contains(err.Error(), "meta.json") {
		t.Errorf("inspect of 100 bytes: %v", err)
	}
}

// TestRestoreCommand: what is wrong with the flags is told before the backup is
// read, and a restored directory is one of the node that was named.
func TestRestoreCommand(t *testing.T) {
	raw, meta := makeBackup(t)
	dir := t.TempDir()
	file, data := filepath.Join(dir, "backup.tar"), filepath.Join(dir, "data")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	restore := func(flags ...string) (string, error) {
		return purser(t, append([]string{"snapshot", "restore", file}, flags...)...)
	}
	for _, flags := range [][]string{
		{"--data-dir", data},
		{"--node-id", "n2"},
		{"--data-dir", data, "--node-id", "n2", "-o", "yaml"},
		{"--data-dir", data, "--node-id", "n2", "--raft-listen", "0.0.0.0:8082"},
		{"--data-dir", data, "--node-id", "n2", "--raft-advertise", "nowhere"},
	} {
		if _, err := restore(flags...); exitCodeOf(err) != exitUsage {
			t.Errorf("%s: exit code %d, %v", flags, exitCodeOf(err), err)
		}
	}
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the data directory: %v", err)
	}
	out, err := restore("--data-dir", data, "--node-id", "n2", "--raft-listen", "0.0.0.0:8082", "--raft-advertise", "10.0.0.2:8082", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var v restoredView
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Digest != meta.Stats.Digest || v.RaftAddr != "10.0.0.2:8082" ||
		v.NodeID != "n2" || v.Retention != "24h0m0s" || len(v.Members) != 1 || v.Members[0].ID != "n2" {
		t.Errorf("%+v, %v, of %s", v, err, out)
	}
	if _, err := restore("--data-dir", data, "--node-id", "n2"); exitCodeOf(err) != exitFailed || !errors.Is(err, raftfsm.ErrNotEmpty) {
		t.Errorf("a second time: %v", err)
	}
}
