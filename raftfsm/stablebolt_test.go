package raftfsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sectorBytes = 512

// stableShapes are the ways in which bbolt lays the record out, by a further value
// in it: in the page of the root, and in pages of its own.
var stableShapes = map[string][]byte{"inline": nil, "pages": bytes.Repeat([]byte("x"), 6000)}

// stableFile is the file of a node that has voted twice, and what is in it.
func stableFile(t testing.TB, shape string) (raw []byte, values map[string][]byte) {
	t.Helper()
	s := openTestStable(t, t.TempDir())
	for _, change := range stableChanges {
		if err := change(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Set([]byte("other"), stableShapes[shape]); err != nil {
		t.Fatal(err)
	}
	closeStable(t, s)
	return mustRead(t, s.path), s.values
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// openRaw opens raw as the file of a stable store. A file that opens is changed,
// and then opens again: bbolt reads more of it when it writes. A crash of bbolt
// ends the test.
func openRaw(t testing.TB, dir string, raw []byte) (map[string][]byte, error) {
	t.Helper()
	path := filepath.Join(dir, stableName)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openStable(dir, func(err error) { t.Errorf("fatal: %v", err) })
	if err != nil {
		if !errors.Is(err, ErrStableDamaged) || !strings.Contains(err.Error(), path) {
			t.Fatalf("refused with %v", err)
		}
		if !bytes.Equal(raw, mustRead(t, path)) {
			t.Fatalf("refused with %v, and changed", err)
		}
		return nil, err
	}
	values := maps.Clone(s.values)
	vote(t, s, 77, "n7", false)
	closeStable(t, s)
	s = openTestStable(t, dir)
	requireVote(t, s, 77, "n7")
	closeStable(t, s)
	return values, nil
}

// damages counts what became of damaged files.
type damages struct{ refused, same int }

// open opens damaged bytes: they are refused, or change nothing.
func (d *damages) open(t *testing.T, dir string, raw []byte, want map[string][]byte, what string, at int) {
	t.Helper()
	switch values, err := openRaw(t, dir, raw); {
	case err != nil:
		d.refused++
	case cmp.Equal(values, want):
		d.same++
	default:
		t.Fatalf("%s %d opens with %q, want %q", what, at, values, want)
	}
}

// check is open without bbolt, which is much faster.
func (d *damages) check(t *testing.T, raw []byte, want map[string][]byte, what string, at int) {
	t.Helper()
	record, err := boltRecord(raw)
	var values map[string][]byte
	if err == nil {
		values, err = decodeStable(record)
	}
	switch {
	case errors.Is(err, ErrStableDamaged):
		d.refused++
	case err == nil && maps.EqualFunc(values, want, bytes.Equal):
		d.same++
	default:
		t.Fatalf("%s %d has %q, %v, want %q", what, at, values, err, want)
	}
}

// TestStableDamageOfBytes gives every byte of the file other values. What
// is refused is all of what bbolt reads, and only that: nothing else matters.
func TestStableDamageOfBytes(t *testing.T) {
	t.Parallel()
	const seed = 12
	rng := rand.New(rand.NewPCG(seed, seed))
	// How many values of a byte are checked, and one of how many of the bytes that
	// matter, and of all others, is opened.
	others, openLive, openDead := 255, 1, 31
	if testing.Short() {
		others, openLive, openDead = 3, 13, 509
	}
	for _, shape := range slices.Sorted(maps.Keys(stableShapes)) {
		raw, want := stableFile(t, shape)
		dir := t.TempDir()
		var checked, opened damages
		live := 0
		for at, good := range raw {
			var byByte damages
			for _, flip := range rng.Perm(255)[:others] {
				raw[at] = good ^ byte(flip+1)
				byByte.check(t, raw, want, "byte", at)
			}
			if byByte.refused != 0 && byByte.same != 0 {
				t.Fatalf("%s: byte %d is refused with %d values, and taken with %d (seed %d)", shape, at, byByte.refused, byByte.same, seed)
			}
			checked.refused += byByte.refused
			checked.same += byByte.same
			if byByte.refused != 0 {
				live++
			}
			if byByte.refused != 0 && at%openLive == 0 || at%openDead == 0 {
				opened.open(t, dir, raw, want, "byte", at)
			}
			raw[at] = good
		}
		t.Logf("%s: %d bytes, of which bbolt reads %d: checked %+v, opened %+v", shape, len(raw), live, checked, opened)
		if want := 2*boltMetaLen + boltHeaderLen + len(stableMagic); live < want {
			t.Errorf("%s: only %d bytes matter", shape, live)
		}
	}
}

// TestStableDamageOfLength cuts the file at every length, and appends to it.
func TestStableDamageOfLength(t *testing.T) {
	t.Parallel()
	for _, shape := range slices.Sorted(maps.Keys(stableShapes)) {
		raw, want := stableFile(t, shape)
		dir := t.TempDir()
		var opened damages
		for n := range len(raw) + 2*4096 + 1 {
			if testing.Short() && n%sectorBytes > 1 && n%61 != 0 {
				continue
			}
			long := append(bytes.Clone(raw), make([]byte, max(0, n-len(raw)))...)
			opened.open(t, dir, long[:n], want, "length", n)
		}
		t.Logf("%s: %+v", shape, opened)
	}
}

// TestStableDamageOfBlocks loses sectors and puts sectors and pages into the places
// of others, as a disk does that writes to the wrong address.
func TestStableDamageOfBlocks(t *testing.T) {
	t.Parallel()
	stride := 3
	if testing.Short() {
		stride = 61
	}
	for _, shape := range slices.Sorted(maps.Keys(stableShapes)) {
		raw, want := stableFile(t, shape)
		dir := t.TempDir()
		var opened damages
		try := func(what string, size, at int, block []byte) {
			bad := bytes.Clone(raw)
			copy(bad[at*size:(at+1)*size], block)
			if !bytes.Equal(bad, raw) {
				opened.open(t, dir, bad, want, what, at)
			}
		}
		for _, size := range []int{sectorBytes, os.Getpagesize()} {
			for at := range len(raw) / size {
				try("zeros over block", size, at, make([]byte, size))
				try("ones over block", size, at, bytes.Repeat([]byte{0xff}, size))
				for from := range len(raw) / size {
					if size != sectorBytes || (from+at)%stride == 0 {
						try("another block over block", size, at, raw[from*size:(from+1)*size])
					}
				}
			}
		}
		t.Logf("%s: %+v", shape, opened)
	}
}

// TestStableFileMustMakeSense gives bytes of the meta pages other values under
// checksums that hold. That is not the work of a disk, but bbolt must not crash.
func TestStableFileMustMakeSense(t *testing.T) {
	flips := []byte{1, 2, 3, 4, 7, 8, 0x80, 0xff}
	if testing.Short() {
		flips = []byte{1, 0x80}
	}
	for _, shape := range slices.Sorted(maps.Keys(stableShapes)) {
		raw, _ := stableFile(t, shape)
		dir := t.TempDir()
		page := os.Getpagesize()
		refused := 0
		for at := 16; at < 72; at++ {
			for _, flip := range flips {
				for metas := 1; metas <= 3; metas++ { // the one, the other, both
					bad := bytes.Clone(raw)
					for i := range 2 {
						if b := bad[i*page:]; metas&(i+1) != 0 {
							b[at] ^= flip
							sum := fnv.New64a()
							sum.Write(b[16:72])
							binary.NativeEndian.PutUint64(b[72:], sum.Sum64())
						}
					}
					if _, err := openRaw(t, dir, bad); err != nil {
						refused++
					}
				}
			}
		}
		t.Logf("%s: %d refused", shape, refused)
		if refused == 0 {
			t.Errorf("%s: nothing refused", shape)
		}
	}
}

// TestBoltAloneForgetsAVote is why the meta pages are checked: without the newest
// one bbolt opens with what was before the last transaction.
func TestBoltAloneForgetsAVote(t *testing.T) {
	dir := t.TempDir()
	s := openTestStable(t, dir)
	vote(t, s, 7, "node1", false)
	vote(t, s, 8, "node2", false)
	closeStable(t, s)
	raw := mustRead(t, s.path)
	newest := 0
	if tx := func(id int) uint64 { return bolt.Uint64(raw[id*os.Getpagesize()+64:]) }; tx(1) > tx(0) {
		newest = 1
	}
	raw[newest*os.Getpagesize()+40] ^= 1
	if _, err := openRaw(t, dir, raw); err == nil {
		t.Error("opened without the newest meta page")
	}
	db, err := openBolt(s.path) // the file as openRaw left it
	if err != nil {
		t.Fatal(err)
	}
	record, err := db.Get([]byte(recordKey))
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if got := mustDecode(t, record)[keyLastVoteCand]; string(got) != "node1" {
		t.Errorf("bbolt alone has the vote for %s: is the check still needed?", got)
	}
}

// TestStableCrashAnywhere cuts every change of the file into its writes: growing,
// sectors of data pages in any choice, the meta page. Those before the meta page
// leave the values before the change, all of them those after it.
func TestStableCrashAnywhere(t *testing.T) {
	const seed = 11
	rng := rand.New(rand.NewPCG(seed, seed))
	dir, crashed := t.TempDir(), t.TempDir()
	s := openTestStable(t, dir)
	var before []byte // the file, with the values prior
	var prior map[string][]byte
	crashes, choices := 0, 16
	if testing.Short() {
		choices = 4
	}
	crash := func(what string, raw []byte, want map[string][]byte) {
		t.Helper()
		crashes++
		if values, err := openRaw(t, crashed, raw); err != nil || !cmp.Equal(values, want) {
			t.Fatalf("%s: %q, %v, want %q (seed %d)", what, values, err, want, seed)
		}
	}
	step := func() {
		t.Helper()
		after := mustRead(t, s.path)
		defer func() { before, prior = after, maps.Clone(s.values) }()
		if before == nil || bytes.Equal(before, after) {
			return
		}
		meta, data := writes(t, before, after)
		grown := append(bytes.Clone(before), make([]byte, len(after)-len(before))...)
		crash("grown", grown, prior)
		for n := range choices {
			raw := bytes.Clone(grown)
			for _, at := range data {
				if n == 0 || rng.IntN(2) == 0 {
					copy(raw[at:at+sectorBytes], after[at:])
				}
			}
			crash("data pages", raw, prior)
		}
		crash("all", after, s.values)
		grown = bytes.Clone(after)
		copy(grown[meta:meta+sectorBytes], before[meta:])
		crash("all but the meta page", grown, prior)
	}
	for _, shape := range []string{"inline", "pages", "inline", "pages"} {
		for _, change := range append(slices.Clone(stableChanges), func(s *stableStore) error { return s.Set([]byte("other"), stableShapes[shape]) }) {
			if err := change(s); err != nil {
				t.Fatal(err)
			}
			step()
		}
		closeStable(t, s)
		step()
		s = openTestStable(t, dir) // a transaction, too
		step()
	}
	closeStable(t, s)
	t.Logf("%d crashes", crashes)
	if crashes < 100 {
		t.Error("too few")
	}
}

// writes returns which sectors a transaction has written: the one of a meta page,
// which is what makes it whole or not at all, and those of data pages.
func writes(t *testing.T, before, after []byte) (meta int, data []int) {
	t.Helper()
	meta = -1
	for at := 0; at < len(after); at += sectorBytes {
		if at < len(before) && bytes.Equal(before[at:at+sectorBytes], after[at:at+sectorBytes]) {
			continue
		}
		switch page := os.Getpagesize(); {
		case at >= 2*page:
			data = append(data, at)
		case meta == -1 && at%page == 0:
			meta = at
		default:
			t.Fatalf("sector at %d was written besides that at %d", at, meta)
		}
	}
	if meta == -1 {
		t.Fatal("no meta page was written")
	}
	return meta, data
}

// A crash while bbolt makes the file leaves anything under the other name, and
// nothing that counts.
func TestStableCrashWhileMade(t *testing.T) {
	raw, _ := stableFile(t, "inline")
	dir := t.TempDir()
	for n := 0; n <= len(raw); n += sectorBytes {
		half := filepath.Join(dir, stableName+tmpSuffix)
		if err := os.WriteFile(half, raw[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		s := openTestStable(t, dir)
		if len(s.values) != 0 {
			t.Fatalf("%d bytes: %q", n, s.values)
		}
		vote(t, s, 3, "n3", false)
		closeStable(t, s)
		s = openTestStable(t, dir)
		requireVote(t, s, 3, "n3")
		closeStable(t, s)
		if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s is left: %v", half, err)
		}
		if err := os.Remove(s.path); err != nil {
			t.Fatal(err)
		}
	}
}
