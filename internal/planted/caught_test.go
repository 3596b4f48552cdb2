//go:build planted

package planted

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// catch is a test that finds a fault.
type catch struct {
	fault Fault
	pkg   string // of the test, as a directory of the module
	test  string
	says  string // a part of what its assertion prints
}

// caught says which tests find which fault.
var caught = []catch{
	{AckBeforeFsync, "wal", "TestCrashAtEveryCall", "log is [0, 0]"},
	{LogTruncated, "wal", "TestTornInTheMiddle", "silently accepted"},
	{FailedAppendSurvived, "raftfsm", "TestGuardedLogFailsOnceAndForAll", "the process would live on"},
	{HungAppendTolerated, "raftfsm", "TestGuardEndsAHangingWrite", "fatal was called 0 times past the limit"},
	{VoteInTwoWrites, "raftfsm", "TestVoteSurvivesACrashBetweenTermAndCandidate", "vote of term 8 for node1, want 7, node1"},
	{VoteInTwoWrites, "raftfsm", "TestVoteCutShortIsNotGivenToAnother", "a node with an empty log got the vote"},

	{SnapshotWithoutFlush, "internal/store", "TestCrash", "is missing; the checkpoint covers"},
	{SnapshotWithoutFlush, "internal/store", "TestACopyHoldsTheCheckpointAndTheJournal", "row 1: ok false"},
	{JournalRowOverwritten, "internal/store", "TestScanBack", "back from"},
	{DigestSkipped, "internal/store", "TestDigestDependsOnEveryInput", "have the digest"},
	{DedupDropped, "raftfsm", "TestNodeSnapshotsAndRestarts", "retry of payment 1:"},
	{DamagedSnapshotSkipped, "raftfsm", "TestSnapshotMetaDamageIsNeverSkipped", "listed 1 snapshots"},
	{SnapshotTrusted, "raftfsm", "TestNodeSnapshotsAndRestarts", "after the loss of the state"},
	{TermUnchecked, "raftfsm", "TestLogBehindTheSnapshotIsDropped", "; want 10"},
	{RestoreFailureIgnored, "raftfsm", "TestFailedRestoreIsFatalAndLeavesNoState", "fatal with <nil>"},

	{CreditBeforeDebit, "shard", "TestRendezvousStress", "postings with a sum of"},
	{FrozenPageWritten, "shard", "TestCopies", "the frozen state has changed"},
	{ShardForgotten, "raftfsm", "TestVerifyHoldsSumsTogether", "ok: false"},
	{JournalUnchecked, "raftfsm", "TestVerifyHoldsSumsTogether", "ok: true"},

	{EntryAppliedTwice, "raftfsm", "TestSnapshotDuringReplayIsRefused", "was applied to a state that had it"},
	{FutureTrusted, "raftfsm", "TestReplayDoesNotSeeWhatIsToCome", "the first time"},
	{DuplicateInEntry, "raftfsm", "TestEntryRecallsAPaymentForAllItsCommands", "want {seq:4 code:0 replayed:true"},
	{ExpiryByLocalClock, "raftfsm", "TestSweepUnderAClockThatIsBehind", "0 held after entry 5"},
	{StampGoesBack, "raftfsm", "TestSweepUnderAClockThatIsBehind", "the next hold is due at"},

	{HeartbeatFastPath, "raftfsm", "TestHeartbeatsTakeTheMainLoop", "heartbeat arrived by the fast path"},
	{HeartbeatFastPath, "raftfsm", "TestDeposedLeaderWritesNothing", "which another one leads"},
	{ServedBeforeBarrier, "raftfsm", "TestNewLeaderServesOnceItHasCaughtUp", "that it has not applied"},
	{LostLeadershipRefused, "raftfsm", "TestEntryOfALostLeaderIsInDoubt", "want the outcome is unknown"},
	{DivergenceIgnored, "raftfsm", "TestAnotherDigestEndsTheService", "another digest: diverged: <nil>"},
	{WipedNodeAdmitted, "raftfsm", "TestWipedNodeIsRefused", "the wiped node was let in"},
	{NodeNotPinned, "internal/nodetls", "TestDialRefusesAnotherNode", "want ErrWrongNode"},
	{NodeNotPinned, "internal/peer", "TestRaftDialPinsTheNode", "want ErrWrongNode"},

	{ReadWithoutBarrier, "transport", "TestPurserIndex", "0 barriers, want 1"},
	{RetryWithNewKey, "transport", "TestSecondTry", "the tries differ"},
	{SentTakenForUnsent, "transport", "TestLeaderLost", "code no_leader, want 504 outcome_unknown"},
}

// root is the module's directory.
const root = "../.."

// patience is how long a test may take. Those that find their fault take seconds.
const patience = "2m"

// TestEveryFaultIsCaught runs each test of the table with the fault that it is to
// find, and without any.
func TestEveryFaultIsCaught(t *testing.T) {
	for _, f := range All() {
		if !slices.ContainsFunc(caught, func(c catch) bool { return c.fault == f }) {
			t.Errorf("no test is said to catch %s", f)
		}
	}
	tests := make(map[string][]string) // by package
	for _, c := range caught {
		if !slices.Contains(tests[c.pkg], c.test) {
			tests[c.pkg] = append(tests[c.pkg], c.test)
		}
	}
	bin := build(t, slices.Collect(maps.Keys(tests)))

	table := make([]string, len(caught))
	t.Cleanup(func() { fmt.Print(strings.Join(table, "")) })
	for i, c := range caught {
		t.Run(string(c.fault)+"/"+c.test, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			c.require(t, run(bin, c.pkg, c.fault, c.test))
			by := c.pkg + " " + c.test
			if t.Failed() {
				by = "NOT CAUGHT by " + by
			}
			table[i] = fmt.Sprintf("%-28s %-61s %5.1f s\n", c.fault, by, time.Since(began).Seconds())
		})
	}
	for pkg, names := range tests {
		t.Run("none/"+pkg, func(t *testing.T) {
			t.Parallel()
			out := run(bin, pkg, "", names...)
			for _, name := range names {
				if !strings.Contains(out, "--- PASS: "+name+" ") {
					t.Errorf("without a fault %s does not pass:\n%s", name, out)
				}
			}
		})
	}
}

// require holds out, of the test with the fault, against what the table says.
func (c catch) require(t *testing.T, out string) {
	switch {
	case strings.Contains(out, "panic: test timed out"):
		t.Errorf("%s hangs:\n%s", c.test, out)
	case !strings.Contains(out, "--- FAIL: "+c.test+" "):
		t.Errorf("%s does not fail:\n%s", c.test, out)
	case !strings.Contains(out, c.says):
		t.Errorf("%s fails, but not with %q:\n%s", c.test, c.says, out)
	}
}

// build builds the tests of packages, with the faults, into the directory that it
// returns.
func build(t *testing.T, packages []string) (dir string) {
	t.Helper()
	dir = t.TempDir() + "/"
	args := []string{"test", "-c", "-tags=" + tags(t), "-o", dir}
	for _, pkg := range packages {
		args = append(args, "./"+pkg)
	}
	goTool(t, args...)
	return dir
}

// tags are those that this test was built with.
func tags(t *testing.T) string {
	t.Helper()
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-tags" {
			return s.Value
		}
	}
	t.Fatal("built without tags")
	return ""
}

func goTool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// run runs tests of a package with a fault, or with none, and returns what they
// print. Whether they pass is in there, too.
func run(bin, pkg string, fault Fault, tests ...string) string {
	path := filepath.Join(bin, filepath.Base(pkg)+".test")
	cmd := exec.Command(path, "-test.v", "-test.short", "-test.timeout="+patience, "-test.run=^("+strings.Join(tests, "|")+")$")
	cmd.Dir = filepath.Join(root, pkg)
	cmd.Env = append(os.Environ(), Variable+"="+string(fault))
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// TestUnknownFaultIsRefused starts this test again, under a fault that is none.
func TestUnknownFaultIsRefused(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), Variable+"=ack-before-sync")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), `PURSER_PLANTED_FAULT="ack-before-sync" is none of the planted faults`) {
		t.Errorf("a misspelt fault: %v\n%s", err, out)
	}
}

// TestNothingIsLeftWithoutTheTag looks for traces of the faults in the program as
// it is built for use.
func TestNothingIsLeftWithoutTheTag(t *testing.T) {
	with := tags(t)
	without := slices.DeleteFunc(strings.Split(with, ","), func(tag string) bool { return tag == "planted" })
	for tags, want := range map[string]bool{with: true, strings.Join(without, ","): false} {
		path := filepath.Join(t.TempDir(), "purser")
		goTool(t, "build", "-trimpath", "-tags="+tags, "-o", path, "./cmd/purser")
		program, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, trace := range append(All(), Variable, "internal/planted") {
			if got := bytes.Contains(program, []byte(trace)); got != want {
				t.Errorf("built with %q it has %q: %t", tags, trace, got)
			}
		}
	}
}
