package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// diskVariable names the file by which a test breaks the log's disk of a server
// that runs: "fail" in it fails every write there, "hang" makes it wait for ever.
const diskVariable = "PURSER_TEST_DISK"

// spoilDisk puts the disk of this process under the control of a file.
func spoilDisk(control string) {
	vfs.Default = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || filepath.Base(filepath.Dir(op.Path)) != "wal" {
			return nil
		}
		how, err := os.ReadFile(control)
		switch {
		case err != nil || len(how) == 0:
			return nil // no file, or one that is just being written: the disk is sound
		case string(how) == "hang":
			select {}
		default:
			return errors.New("input/output error")
		}
	}))
}

// TestLeaderWithABrokenDiskIsReplaced: an append that fails or hangs ends the
// leader, another node leads, and what was in doubt is resolved by its key.
func TestLeaderWithABrokenDiskIsReplaced(t *testing.T) {
	for how, says := range map[string]string{"fail": "input/output error", "hang": "a write to the log or of the vote hangs"} {
		t.Run(how, func(t *testing.T) {
			seed := seedOf(t)
			c := newTrio(t)
			k := c.setUp(rand.New(rand.NewPCG(seed, 0)))
			l := c.load(k, how, seed)
			l.await(50)
			leader := c.leader()
			p, began := c.nodes[leader], time.Now()
			if err := os.WriteFile(c.disk(leader), []byte(how), 0o600); err != nil {
				t.Fatal(err)
			}
			if code := p.exitCode(); code != exitStorage || !strings.Contains(p.said(), says) {
				t.Errorf("exit code %d, want %d; nothing of %q is said", code, exitStorage, says)
			}
			ended := time.Since(began)
			c.kill(leader) // it is no more
			l.await(100)
			_, gap := l.sum()
			t.Logf("the process ended after %s; longest time without an answer %s", ended.Round(time.Millisecond), gap.Round(time.Millisecond))
			if err := os.Remove(c.disk(leader)); err != nil {
				t.Fatal(err)
			}
			c.start(leader)
			l.await(50)
			l.end()
			k.requireSound()
			c.requireSame(k)
		})
	}
}
