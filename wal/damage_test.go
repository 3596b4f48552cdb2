package wal

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

const damageSegment = 1024

// damageLog is a log of several small segments with every kind of frame, blank
// sectors included, and what it holds. The next segment is prepared.
func damageLog(t testing.TB) (map[string][]byte, model) {
	t.Helper()
	fs := vfs.NewMem()
	l := mustOpen(t, fs, damageSegment)
	zeros := &raft.Log{Index: 7, Term: 2, Data: append(make([]byte, 1500), 1, 2, 3)}
	var m model
	for k, s := range []step{
		{logs: entries(1, 1, 300, 300)},
		{logs: entries(3, 1, 200, 30, 4)},
		{min: 4, max: 5},
		{logs: entries(4, 2, 20, 20)},
		{min: 1, max: 1},
		{logs: entries(6, 2, 10)},
		{logs: []*raft.Log{zeros}},
		{logs: entries(8, 2, 300)},
		{min: 1, max: 2},
		{logs: entries(9, 3, 180)},
	} {
		if err := s.run(l); err != nil {
			t.Fatalf("step %d: %v", k, err)
		}
		m = s.after(m)
	}
	l.awaitPrepared()
	mustClose(t, l)
	files := readDir(t, fs)
	if len(files) < 4 {
		t.Fatalf("only %d segments", len(files))
	}
	return files, m
}

// checkDamaged opens files after damage to the one named name: it must recover m
// exactly and be usable, or name a file and refuse. It reports whether it
// recovered.
func checkDamaged(t *testing.T, files map[string][]byte, name, what string, m model) bool {
	t.Helper()
	fs := memDir(t, files)
	l, err := Open(Options{FS: fs, Dir: "wal", SegmentBytes: damageSegment})
	if err != nil {
		var c *CorruptionError
		if !errors.As(err, &c) {
			t.Fatalf("%s: %v", what, err)
		}
		if c.File != name || c.Offset < 0 || c.Reason == "" {
			t.Fatalf("%s: blamed on %v", what, err)
		}
		return false
	}
	if d := m.differs(l); d != "" {
		t.Fatalf("%s: silently accepted: %s", what, d)
	}
	_, last := m.bounds()
	s := step{logs: entries(last+1, 9, 30, 900)}
	if err := s.run(l); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	mustClose(t, l)
	l = mustOpen(t, fs, damageSegment)
	if d := s.after(m).differs(l); d != "" {
		t.Fatalf("%s: after one more append: %s", what, d)
	}
	mustClose(t, l)
	return true
}

func TestEveryByteFlip(t *testing.T) {
	files, m := damageLog(t)
	patterns := []byte{0xff}
	for bit := range 8 {
		patterns = append(patterns, 1<<bit)
	}
	stride := 1
	if testing.Short() {
		stride = 7
	}
	refused, recovered := 0, 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for off := range files[name] {
			if off%stride != 0 {
				continue
			}
			for _, p := range patterns {
				damaged := maps.Clone(files)
				damaged[name] = slices.Clone(files[name])
				damaged[name][off] ^= p
				if checkDamaged(t, damaged, name, fmt.Sprintf("%s byte %d ^ %#x", name, off, p), m) {
					recovered++
				} else {
					refused++
				}
			}
		}
	}
	t.Logf("%d refused, %d recovered", refused, recovered)
	if refused == 0 || recovered == 0 {
		t.Fatal("the damage did not reach both outcomes")
	}
}

// TestEveryTruncation also covers what no crash leaves, as a segment has its
// full size before it has its name.
func TestEveryTruncation(t *testing.T) {
	files, m := damageLog(t)
	last := slices.Max(slices.Collect(maps.Keys(files)))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for size := range files[name] {
			damaged := maps.Clone(files)
			damaged[name] = files[name][:size]
			recovered := checkDamaged(t, damaged, name, fmt.Sprintf("%s truncated to %d", name, size), m)
			if recovered && name != last {
				t.Fatalf("%s truncated to %d went unnoticed", name, size)
			}
		}
	}
}

func TestEveryMissingFile(t *testing.T) {
	files, m := damageLog(t)
	last := slices.Max(slices.Collect(maps.Keys(files)))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		damaged := maps.Clone(files)
		delete(damaged, name)
		if checkDamaged(t, damaged, name, name+" removed", m) != (name == last) {
			t.Fatalf("%s removed: wrong outcome", name)
		}
	}
	// Without the prepared segment, a seal still tells that one must follow.
	delete(files, last)
	names := slices.Sorted(maps.Keys(files))
	active := names[len(names)-1]
	delete(files, active)
	if checkDamaged(t, files, active, "the last segment removed", m) {
		t.Fatal("the last segment's loss went unnoticed")
	}
}

// TestExchangedFiles puts valid contents in the wrong place.
func TestExchangedFiles(t *testing.T) {
	files, _ := damageLog(t)
	names := slices.Sorted(maps.Keys(files))
	for _, a := range names {
		for _, b := range names {
			if a == b {
				continue
			}
			damaged := maps.Clone(files)
			damaged[a] = files[b]
			fs := memDir(t, damaged)
			l, err := Open(Options{FS: fs, Dir: "wal", SegmentBytes: damageSegment})
			var c *CorruptionError
			if err == nil {
				mustClose(t, l)
			}
			if !errors.As(err, &c) {
				t.Fatalf("%s with the contents of %s: %v", a, b, err)
			}
		}
	}
}

// TestStaleFrame writes a frame of an earlier life of the log, whole and in its
// very place, behind the present end.
func TestStaleFrame(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, fs, 4096)
	if err := l.StoreLogs(entries(1, 1, 100)); err != nil {
		t.Fatal(err)
	}
	first := l.off
	if err := l.StoreLogs(entries(2, 1, 100)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	old := readDir(t, fs)[segmentName(1)]

	fs = vfs.NewMem()
	l = mustOpen(t, fs, 4096)
	if err := l.StoreLogs(entries(1, 2, 100)); err != nil {
		t.Fatal(err)
	}
	if l.off != first {
		t.Fatal("the frames are not in the same place")
	}
	mustClose(t, l)
	img := readDir(t, fs)[segmentName(1)]
	copy(img[first:], old[first:])
	files := map[string][]byte{segmentName(1): img}
	if checkDamaged(t, files, segmentName(1), "stale frame", nil) {
		t.Fatal("a stale frame passed")
	}
}

// TestTornFrame reverts every subset of the last frame's sectors to zeros, at
// every position of the frame within a sector. Wiping a torn frame leaves only
// such subsets too, so this also stands for a crash in the middle of a wipe.
func TestTornFrame(t *testing.T) {
	for lead := range 64 {
		fs := vfs.NewMem()
		l := mustOpen(t, fs, 8192)
		m := model(entries(1, 1, lead*8))
		if err := l.StoreLogs(m); err != nil {
			t.Fatal(err)
		}
		before := readDir(t, fs)[segmentName(1)]
		// Whole sectors of zeros, at the start of the entry's data and inside.
		data := slices.Concat(make([]byte, 600), []byte("middle"), make([]byte, 1400), []byte("end"))
		last := []*raft.Log{{Index: 2, Term: 1, Data: data}, entry(3, 1, 100)}
		if err := l.StoreLogs(last); err != nil {
			t.Fatal(err)
		}
		l.awaitPrepared()
		mustClose(t, l)
		after := readDir(t, fs)[segmentName(1)]
		var sectors []int
		for at := 0; at < len(after); at += sectorBytes {
			if !slices.Equal(before[at:at+sectorBytes], after[at:at+sectorBytes]) {
				sectors = append(sectors, at)
			}
		}
		if len(sectors) < 3 {
			t.Fatalf("lead %d: only %d sectors", lead, len(sectors))
		}
		for subset := range 1 << len(sectors) {
			img := slices.Clone(after)
			for k, at := range sectors {
				if subset>>k&1 == 1 {
					copy(img[at:at+sectorBytes], before[at:])
				}
			}
			want := m
			if subset == 0 {
				want = m.with(last)
			}
			what := fmt.Sprintf("lead %d, sectors %v, subset %b", lead, sectors, subset)
			if !checkDamaged(t, map[string][]byte{segmentName(1): img}, segmentName(1), what, want) {
				t.Fatalf("%s: refused", what)
			}
		}
	}
}

// TestTornLargeFrame does the same with random subsets of many sectors.
func TestTornLargeFrame(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	fs := vfs.NewMem()
	l := mustOpen(t, fs, 64<<10)
	m := model(entries(1, 1, 77))
	if err := l.StoreLogs(m); err != nil {
		t.Fatal(err)
	}
	start := int(l.off)
	if err := l.StoreLogs(entries(2, 1, 30000, 4000)); err != nil {
		t.Fatal(err)
	}
	end := int(l.off)
	mustClose(t, l)
	after := readDir(t, fs)[segmentName(1)]
	for range 200 {
		img := slices.Clone(after)
		wiped := 0
		for at := start / sectorBytes * sectorBytes; at < end; at += sectorBytes {
			if rng.IntN(100) < 50 {
				clear(img[max(at, start):min(at+sectorBytes, end)])
				wiped++
			}
		}
		if wiped == 0 {
			continue
		}
		if !checkDamaged(t, map[string][]byte{segmentName(1): img}, segmentName(1), "random subset", m) {
			t.Fatal("refused")
		}
	}
}

// TestTornInTheMiddle reverts a sector of a frame that another one follows.
func TestTornInTheMiddle(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, fs, 8192)
	var ends []int64
	for i := range uint64(3) {
		if err := l.StoreLogs(entries(i+1, 1, 1500)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, l.off)
	}
	mustClose(t, l)
	img := readDir(t, fs)[segmentName(1)]
	for at := ends[0] / sectorBytes * sectorBytes; at < ends[1]; at += sectorBytes {
		damaged := slices.Clone(img)
		clear(damaged[max(at, ends[0]):min(at+sectorBytes, ends[1])])
		if checkDamaged(t, map[string][]byte{segmentName(1): damaged}, segmentName(1), "middle", nil) {
			t.Fatalf("a blank sector at %d in the middle of the log passed", at)
		}
	}
}
