package main

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// refusesToStart launches a server that must end by itself with one of codes,
// and say each of says. It must not serve before, unless its storage may fail.
func refusesToStart(t *testing.T, codes []int, says []string, args ...string) string {
	t.Helper()
	p := launch(t, args...)
	if got := p.exitCode(); !slices.Contains(codes, got) {
		t.Errorf("exit code %d, want one of %d", got, codes)
	}
	said := p.said()
	for _, text := range says {
		if !strings.Contains(said, text) {
			t.Errorf("standard error does not say %q:\n%s", text, said)
		}
	}
	served := strings.Contains(said, "msg=listening") && !slices.Contains(codes, exitStorage)
	if strings.Contains(said, "panic:") || strings.Contains(said, "goroutine 1 [") || served {
		t.Errorf("not an orderly refusal:\n%s", said)
	}
	return said
}

func serverArgs(dir string, flags ...string) []string {
	args := append([]string{"server", "--data-dir", dir, "--min-free-bytes=0"}, listenAnywhere...)
	return append(args, flags...) // the last value of a flag counts
}

// TestBootWrongUse covers what is refused before anything is opened: no data
// directory appears.
func TestBootWrongUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	const remedy = "--allow-unauthenticated-remote"
	for _, listener := range []string{"api", "admin", "raft"} {
		for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0"} {
			refusesToStart(t, []int{exitUsage}, []string{remedy, addr}, serverArgs(dir, "--"+listener+"-listen="+addr)...)
		}
	}
	refusesToStart(t, []int{exitUsage}, []string{"--no-such-flag"}, serverArgs(dir, "--no-such-flag")...)
	refusesToStart(t, []int{exitUsage}, []string{"127.0.0.1"}, serverArgs(dir, "--api-listen=127.0.0.1")...)

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, listener := range []string{"api", "admin"} {
		refusesToStart(t, []int{exitFailed}, []string{taken.Addr().String(), "address already in use"},
			serverArgs(dir, "--"+listener+"-listen="+taken.Addr().String())...)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the data directory: %v", err)
	}
	refusesToStart(t, []int{exitFailed}, []string{taken.Addr().String(), "address already in use"},
		serverArgs(dir, "--raft-listen="+taken.Addr().String())...)

	p := serve(t, dir, "--api-listen=0.0.0.0:0", remedy)
	p.stop()
}

// TestBootForeignDirectory covers data directories that are somebody else's.
func TestBootForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	p := serve(t, dir, "--node-id=first")
	c := dial(t, p.api)
	c.create("alice", 100)
	refusesToStart(t, []int{exitFailed}, []string{dir, "another process"}, serverArgs(dir, "--node-id=first")...)
	c.expect(201, post("/v1/payments", "still-serving", payBody("alice", "world:USD", 1)))
	c.close()
	p.stop()
	before := contents(t, dir)
	refusesToStart(t, []int{exitFailed}, []string{`"first"`, `"second"`}, serverArgs(dir, "--node-id=second")...)
	requireUntouched(t, dir, before, nothing)
	serve(t, dir, "--node-id=first").stop()
}

// TestBootDamage damages one file at a time of a server that was killed. It must
// refuse to start, say where, and leave everything for whoever repairs it.
func TestBootDamage(t *testing.T) {
	dir := t.TempDir()
	p := serve(t, dir)
	pay := func(from, to int) {
		c := dial(t, p.api)
		defer c.close()
		for i := from; i < to; i++ {
			c.expect(201, post("/v1/payments", fmt.Sprintf("p%d", i), payBody("alice", "world:USD", 1)))
		}
	}
	c := dial(t, p.api)
	c.create("alice", 1_000)
	c.close()
	pay(0, 100)
	p.snapshot()
	pay(100, 200)
	eventually(t, "the log's next segment is prepared", func() bool {
		return len(matching(t, dir, `^wal/[^/]*\.wal$`)) == 2 && len(matching(t, dir, `\.tmp$`)) == 0
	})
	p.kill()
	whole := contents(t, dir)

	t.Run("log", func(t *testing.T) {
		segment := matching(t, dir, `^wal/[^/]*\.wal$`)[0] // the others are empty
		data := read(t, dir, segment)
		used := len(bytes.TrimRight(data, "\x00"))
		at := used / 2
		said := damaged(t, dir, segment, at, []int{exitFailed}, filepath.Base(segment), "offset")
		offset := regexp.MustCompile(`offset (\d+)`).FindStringSubmatch(said)
		if offset == nil {
			t.Fatalf("no offset in:\n%s", said)
		}
		// The offset is where the frame with the damage begins, or the damage itself.
		if got, err := strconv.Atoi(offset[1]); err != nil || got > at || at-got > 4096 {
			t.Errorf("offset %s, but the damage is at %d of %d", offset[1], at, used)
		}
	})
	t.Run("snapshot meta", func(t *testing.T) {
		meta := only(t, dir, `^snapshots/[^/]+/meta.*$`)
		damaged(t, dir, meta, len(read(t, dir, meta))/2, []int{exitFailed}, filepath.Dir(meta), filepath.Base(meta))
	})
	requireUntouched(t, dir, whole, nothing)
	check := func() {
		t.Helper()
		if t.Failed() {
			t.FailNow()
		}
		p = serve(t, dir)
		pay(0, 200) // all replays
		c := dial(t, p.api)
		defer c.close()
		if a := c.account("alice"); a.Posted != 800 || a.Version != 202 {
			t.Errorf("the account is %+v", a)
		}
		p.verify()
		p.kill()
	}
	current := func() string {
		manifests := matching(t, dir, `^state/state-\d+/MANIFEST-\d+$`)
		return manifests[len(manifests)-1]
	}
	// To Pebble a manifest ends at the first record that is damaged: it opens an
	// older state. The snapshot and the log make that whole again.
	flip(t, dir, current(), len(read(t, dir, current()))/2)
	check()
	t.Run("table", func(t *testing.T) {
		tables := matching(t, dir, `^state/state-\d+/.*\.sst$`)
		if len(tables) == 0 {
			t.Fatalf("no tables among %q", slices.Sorted(maps.Keys(whole)))
		}
		for _, table := range tables {
			// Either the server finds the damage when it loads the state, or Pebble does
			// in the background, at times a moment after the server is ready.
			damaged(t, dir, table, len(read(t, dir, table))/3, []int{exitFailed, exitStorage}, filepath.Base(table))
		}
	})
	check()
	t.Run("manifest", func(t *testing.T) { // the only record of it
		damaged(t, dir, current(), len(read(t, dir, current()))/2, []int{exitFailed}, filepath.Base(current()))
	})
	check()
}
