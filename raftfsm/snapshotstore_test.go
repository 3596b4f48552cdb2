package raftfsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"purser/internal/ledger"
)

var testStats = SnapshotStats{
	Accounts: 3, LastSeq: 41, Digest: "00ff",
	Totals: []CurrencyTotal{{Currency: "EUR", Posted: "0", Held: "7", Issued: "170141183460469231731687303715884105727"}},
}

var testConfiguration = raft.Configuration{Servers: []raft.Server{
	{Suffrage: raft.Voter, ID: "n1", Address: "10.0.0.1:7001"},
	{Suffrage: raft.Nonvoter, ID: "n2", Address: "10.0.0.2:7001"},
}}

// testState has files around the block size of tar, an empty one included.
func testState() map[string][]byte {
	state := map[string][]byte{}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 511, 512, 513, 1500} {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		state[fmt.Sprintf("%06d.sst", size)] = b
	}
	return state
}

func openStore(t *testing.T, fs vfs.FS) *SnapshotStore {
	t.Helper()
	s, err := OpenSnapshots(SnapshotConfig{
		Dir: "data/snapshots", FS: fs,
		Now: func() time.Time { return time.UnixMilli(1_700_000_000_123) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// begin starts a snapshot of term 2 at index.
func begin(t *testing.T, s *SnapshotStore, index uint64) *snapshotSink {
	t.Helper()
	sink, err := s.Create(raft.SnapshotVersionMax, index, 2, testConfiguration, 5, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sink.(*snapshotSink)
}

// fill writes state the way a checkpoint does: into a directory that it makes.
func fill(fs vfs.FS, state map[string][]byte) func(string) (SnapshotStats, error) {
	return func(dir string) (SnapshotStats, error) {
		if err := fs.MkdirAll(dir, 0o755); err != nil {
			return SnapshotStats{}, err
		}
		for name, b := range state {
			f, err := fs.Create(fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
			if err != nil {
				return SnapshotStats{}, err
			}
			_, err = f.Write(bytes.Clone(b))
			if err = errors.Join(err, f.Close()); err != nil {
				return SnapshotStats{}, err
			}
		}
		return testStats, nil
	}
}

// snap makes a whole snapshot and returns its id.
func snap(t *testing.T, s *SnapshotStore, index uint64, state map[string][]byte) string {
	t.Helper()
	sink := begin(t, s, index)
	if err := sink.Commit(fill(s.cfg.FS, state)); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	return sink.ID()
}

func stream(t *testing.T, s *SnapshotStore, id string) (*raft.SnapshotMeta, []byte) {
	t.Helper()
	meta, r, err := s.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return meta, b
}

func readFile(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func listIDs(t *testing.T, s *SnapshotStore) []string {
	t.Helper()
	metas, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range metas {
		ids = append(ids, m.ID)
	}
	return ids
}

func TestSnapshotTravels(t *testing.T) {
	src, dst := openStore(t, vfs.NewMem()), openStore(t, vfs.NewMem())
	id := snap(t, src, 9, testState())
	if id != "2-9-1700000000123" {
		t.Errorf("id %s", id)
	}
	metas, err := src.List()
	if err != nil || len(metas) != 1 {
		t.Fatalf("list: %v, %v", metas, err)
	}
	opened, b := stream(t, src, id)
	if diff := cmp.Diff(metas[0], opened); diff != "" {
		t.Errorf("List and Open differ:\n%s", diff)
	}
	if int64(len(b)) != opened.Size {
		t.Errorf("the stream has %d bytes, Size says %d", len(b), opened.Size)
	}

	sink := begin(t, dst, 9)
	if n, err := io.Copy(sink, bytes.NewReader(b)); err != nil || n != opened.Size {
		t.Fatalf("copied %d of %d: %v", n, opened.Size, err)
	}
	if got := listIDs(t, dst); len(got) != 0 {
		t.Errorf("listed before Close: %v", got)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	want, err := Verify(t.Context(), src.cfg.FS, src.path(id))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Verify(t.Context(), dst.cfg.FS, dst.path(sink.ID()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the snapshot changed on its way:\n%s", diff)
	}
	if diff := cmp.Diff(testStats, got.Stats); diff != "" {
		t.Errorf("stats:\n%s", diff)
	}
	for name, b := range testState() {
		if !bytes.Equal(readFile(t, dst.cfg.FS, "data/snapshots/"+sink.ID()+"/state/"+name), b) {
			t.Errorf("%s differs", name)
		}
	}

	fs := vfs.NewMem()
	m, err := unpackTar(fs, bytes.NewReader(b), "restored", ledger.NewestFormat)
	if err != nil || !cmp.Equal(m, want) {
		t.Fatalf("unpack: %v, %v", m, err)
	}
	if names, _ := fs.List("restored"); len(names) != len(testState()) {
		t.Errorf("unpacked %v", names)
	}
	if _, err := unpackTar(fs, bytes.NewReader(b), "restored", ledger.NewestFormat); err == nil {
		t.Error("unpacked over an older state")
	}
}

// TestSnapshotOfPebble does it with a checkpoint on the real file system.
func TestSnapshotOfPebble(t *testing.T) {
	dir := t.TempDir()
	db, err := pebble.Open(dir+"/db", &pebble.Options{Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range 100 {
		if err := db.Set(fmt.Appendf(nil, "k%03d", i), bytes.Repeat([]byte{byte(i)}, 4096), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSnapshots(SnapshotConfig{Dir: dir + "/snapshots"})
	if err != nil {
		t.Fatal(err)
	}
	sink := begin(t, s, 9)
	if err := sink.Commit(func(state string) (SnapshotStats, error) { return testStats, db.Checkpoint(state) }); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	_, r, err := s.Open(sink.ID())
	if err != nil {
		t.Fatal(err)
	}
	_, err = unpackTar(vfs.Default, r, dir+"/restored", ledger.NewestFormat)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	restored, err := pebble.Open(dir+"/restored", &pebble.Options{Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	val, closer, err := restored.Get([]byte("k099"))
	if err != nil || len(val) != 4096 || val[0] != 99 {
		t.Fatalf("k099 after the restore: %d bytes, %v", len(val), err)
	}
	_ = closer.Close()
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// rewrite replaces a file's content.
func rewrite(t *testing.T, fs vfs.FS, path string, b []byte) {
	t.Helper()
	if err := writeSynced(fs, path, bytes.Clone(b)); err != nil {
		t.Fatal(err)
	}
}

func TestSnapshotDamageIsNamed(t *testing.T) {
	const file = "001500.sst"
	good := testState()[file]
	flip := func(at int) func(*testing.T, vfs.FS, string) {
		return func(t *testing.T, fs vfs.FS, path string) {
			b := bytes.Clone(good)
			b[at] ^= 1
			rewrite(t, fs, path, b)
		}
	}
	for name, damage := range map[string]func(*testing.T, vfs.FS, string){
		"first byte":  flip(0),
		"middle byte": flip(700),
		"last byte":   flip(1499),
		"cut":         func(t *testing.T, fs vfs.FS, path string) { rewrite(t, fs, path, good[:1499]) },
		"grown":       func(t *testing.T, fs vfs.FS, path string) { rewrite(t, fs, path, append(good[:1500:1500], 0)) },
		"missing": func(t *testing.T, fs vfs.FS, path string) {
			if err := fs.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := openStore(t, fs)
			older := snap(t, s, 8, testState())
			id := snap(t, s, 9, testState())
			damage(t, fs, s.path(id)+"/state/"+file)

			_, err := Verify(t.Context(), fs, s.path(id))
			if !errors.Is(err, ErrSnapshotDamaged) || !strings.Contains(err.Error(), file) {
				t.Errorf("Verify: %v, want the damage of %s", err, file)
			}
			_, r, err := s.Open(id)
			if err == nil {
				sink := begin(t, openStore(t, vfs.NewMem()), 9)
				_, err = io.Copy(sink, r)
				_ = r.Close()
				if closeErr := sink.Close(); closeErr == nil {
					t.Error("a second store took the damaged snapshot")
				}
			}
			if !errors.Is(err, ErrSnapshotDamaged) || !strings.Contains(err.Error(), file) {
				t.Errorf("Open and read: %v, want the damage of %s", err, file)
			}
			if _, _, err := s.Open(older); !errors.Is(err, ErrSnapshotSuperseded) {
				t.Errorf("fell back to the older snapshot: %v", err)
			}
			newer := snap(t, s, 10, testState())
			if _, b := stream(t, s, newer); len(b) == 0 {
				t.Error("a newer snapshot is empty")
			}
		})
	}

	fs := vfs.NewMem()
	s := openStore(t, fs)
	id := snap(t, s, 9, testState())
	rewrite(t, fs, s.path(id)+"/state/surplus", nil)
	if _, err := Verify(t.Context(), fs, s.path(id)); !errors.Is(err, ErrSnapshotDamaged) || !strings.Contains(err.Error(), "surplus") {
		t.Errorf("Verify with a surplus file: %v", err)
	}
}

func TestSnapshotMetaDamageIsNeverSkipped(t *testing.T) {
	fs := vfs.NewMem()
	s := openStore(t, fs)
	snap(t, s, 8, testState())
	id := snap(t, s, 9, testState())
	path := s.path(id) + "/" + metaName
	good := readFile(t, fs, path)
	check := func(what string, b []byte) {
		rewrite(t, fs, path, b)
		metas, err := s.List()
		if err == nil {
			t.Fatalf("%s: listed %d snapshots", what, len(metas))
		}
		if !errors.Is(err, ErrSnapshotDamaged) && !errors.Is(err, ledger.ErrFormat) {
			t.Fatalf("%s: %v", what, err)
		}
		if !strings.Contains(err.Error(), id) {
			t.Fatalf("%s: %v does not name %s", what, err, id)
		}
	}
	for i := range good {
		for _, mask := range []byte{0x01, 0x20, 0x80} {
			b := bytes.Clone(good)
			b[i] ^= mask
			check(fmt.Sprintf("byte %d flipped by %#x", i, mask), b)
		}
	}
	check("cut", good[:len(good)/2])
	check("empty", nil)
	if err := fs.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(); !errors.Is(err, ErrSnapshotDamaged) || !strings.Contains(err.Error(), metaName) {
		t.Errorf("without a meta: %v", err)
	}
	other := readFile(t, fs, s.path(listDir(t, s)[0])+"/"+metaName)
	rewrite(t, fs, path, other)
	if _, err := s.List(); !errors.Is(err, ErrSnapshotDamaged) {
		t.Errorf("with the meta of another: %v", err)
	}
}

// listDir returns the ids on disk, oldest first, whatever their state.
func listDir(t *testing.T, s *SnapshotStore) []string {
	t.Helper()
	names, err := s.cfg.FS.List(s.cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func TestSnapshotRetention(t *testing.T) {
	s := openStore(t, vfs.NewMem())
	a := snap(t, s, 8, testState())
	b := snap(t, s, 9, testState())
	same := snap(t, s, 9, testState()) // in the same millisecond
	if b == same {
		t.Fatalf("two snapshots have the id %s", b)
	}
	if got := listIDs(t, s); !slices.Equal(got, []string{same, b}) {
		t.Errorf("kept %v of %v", got, []string{same, b, a})
	}

	_, r, err := s.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	c := snap(t, s, 10, testState())
	d := snap(t, s, 11, testState())
	if got := listIDs(t, s); !slices.Equal(got, []string{d, c, b}) {
		t.Errorf("while %s is read: kept %v", b, got)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Errorf("the snapshot being read was removed: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got := listDir(t, s); !slices.Equal(got, []string{c, d}) {
		t.Errorf("after it was read: %v on disk", got)
	}
	if _, _, err := s.Open(b); !errors.Is(err, ErrSnapshotUnknown) {
		t.Errorf("open of a removed snapshot: %v", err)
	}
	if _, _, err := s.Open("../evil"); !errors.Is(err, ErrSnapshotUnknown) {
		t.Errorf("open of a path: %v", err)
	}
}
