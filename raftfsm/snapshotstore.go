package raftfsm

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"purser/internal/ledger"
	"purser/internal/planted"
)

// ErrSnapshotSuperseded says that a snapshot was asked for in place of a newer
// one that is damaged. The log behind the older one is gone, and raft panics on
// the gap (hashicorp/raft#85): the node must be restored from a peer instead.
var ErrSnapshotSuperseded = errors.New("no fallback behind a damaged snapshot")

// ErrSnapshotUnknown says that the store has no snapshot of that id.
var ErrSnapshotUnknown = errors.New("unknown snapshot")

// tmpSuffix marks a snapshot directory that is being made or removed. Such
// directories are swept when the store is opened and are never listed.
const tmpSuffix = ".tmp"

// SnapshotConfig configures a SnapshotStore. Dir is required.
type SnapshotConfig struct {
	// Dir is the directory of the snapshots; it is created. For snapshots to cost
	// files and not bytes it must be on Pebble's file system.
	Dir string

	// FS is the file system. Default vfs.Default, the operating system's.
	FS vfs.FS

	// SameFile reports whether two paths of FS lead to one file, as hard links do.
	// Default: what the operating system says, or never on another FS.
	SameFile func(a, b string) bool

	// Retain is how many snapshots are kept. Default 2: one to serve while its
	// successor is being made.
	Retain int

	// Now is the clock for ids and CreatedAt. Default time.Now.
	Now func() time.Time

	// Fatal is told of a snapshot of another node that has a newer format: raft
	// would ask for it again for ever. Default: nobody is.
	Fatal func(error)

	newest int // format that the node reads; default ledger.NewestFormat
}

// withDefaults fills the fields that are zero.
func (c SnapshotConfig) withDefaults() SnapshotConfig {
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.SameFile == nil {
		c.SameFile = defaultSameFile(c.FS)
	}
	if c.Retain == 0 {
		c.Retain = 2
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Fatal == nil {
		c.Fatal = func(error) {}
	}
	c.newest = cmp.Or(c.newest, ledger.NewestFormat)
	return c
}

// Validate reports all faults of the configuration at once.
func (c SnapshotConfig) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("snapshots: no directory"))
	}
	if c.Retain < 0 {
		errs = append(errs, fmt.Errorf("snapshots: retain %d", c.Retain))
	}
	return errors.Join(errs...)
}

// SnapshotStore keeps raft's snapshots as directories:
//
//	<dir>/<id>/meta.json   Meta
//	<dir>/<id>/state/      a Pebble checkpoint
//
// A snapshot appears under its id by one rename, after all of it is synced, and
// disappears by one rename, before any of it is removed. So a directory with an
// id is whole or damaged by something else than a crash, and damage is an
// error: List and Open never step over a bad snapshot to an older one.
//
// Safe for concurrent use: raft makes snapshots on one goroutine, installs on
// another and streams on one per follower.
type SnapshotStore struct {
	cfg SnapshotConfig

	mu    sync.Mutex
	taken map[string]bool // ids of sinks not yet closed
	open  map[string]int  // open streams by id; such a snapshot is not removed
	bad   snapshotID      // the newest snapshot that failed to open or to stream
}

var _ raft.SnapshotStore = (*SnapshotStore)(nil)

// OpenSnapshots opens the store and removes what an unfinished snapshot or
// removal left behind. One store per directory: another's unfinished snapshots
// would be swept.
func OpenSnapshots(cfg SnapshotConfig) (*SnapshotStore, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &SnapshotStore{cfg: cfg, taken: map[string]bool{}, open: map[string]int{}}
	if err := cfg.FS.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	names, err := cfg.FS.List(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	for _, name := range names {
		if _, ok := parseID(strings.TrimSuffix(name, tmpSuffix)); !ok || !strings.HasSuffix(name, tmpSuffix) {
			continue
		}
		if err := cfg.FS.RemoveAll(s.path(name)); err != nil {
			return nil, fmt.Errorf("sweep snapshot %s: %w", name, err)
		}
	}
	if err := syncPath(cfg.FS, cfg.Dir); err != nil {
		return nil, err
	}
	return s, syncPath(cfg.FS, cfg.FS.PathDir(cfg.Dir))
}

// Create begins a snapshot of the log up to index. The sink must be closed or
// cancelled. trans is not used.
func (s *SnapshotStore) Create(version raft.SnapshotVersion, index, term uint64,
	configuration raft.Configuration, configurationIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	if version != raft.SnapshotVersionMax {
		return nil, fmt.Errorf("create snapshot: raft's snapshot version %d, want %d", version, raft.SnapshotVersionMax)
	}
	now := s.cfg.Now().UTC().Truncate(time.Millisecond)
	id, err := s.newID(snapshotID{term, index, now.UnixMilli()})
	if err != nil {
		return nil, err
	}
	tmp := s.path(id + tmpSuffix)
	if err := s.cfg.FS.MkdirAll(tmp, 0o755); err != nil {
		s.release(id)
		return nil, fmt.Errorf("create snapshot: %w", err)
	}
	return &snapshotSink{store: s, tmp: tmp, meta: Meta{
		Format: ledger.OldestFormat, // until the state says which
		ID:     id, Index: index, Term: term,
		Configuration: configuration.Clone(), ConfigurationIndex: configurationIndex,
		CreatedAt: now,
	}}, nil
}

// List returns all snapshots, newest first. One whose meta cannot be read makes
// it fail, with an error that names the file.
func (s *SnapshotStore) List() ([]*raft.SnapshotMeta, error) {
	var metas []*raft.SnapshotMeta
	err := s.each(func(m Meta, raw []byte) {
		metas = append(metas, m.raftMeta(streamSize(m, len(raw))))
	})
	return metas, err
}

// Metas is List with all that is known of each snapshot.
func (s *SnapshotStore) Metas() (metas []Meta, err error) {
	err = s.each(func(m Meta, _ []byte) { metas = append(metas, m) })
	return metas, err
}

// each calls fn with the meta of every snapshot, newest first.
func (s *SnapshotStore) each(fn func(m Meta, raw []byte)) error {
	ids, err := s.ids()
	if err != nil {
		return err
	}
	for _, id := range ids {
		m, raw, err := s.meta(id.String())
		if err != nil {
			// It may have been retired since the listing.
			if _, gone := s.cfg.FS.Stat(s.path(id.String())); gone != nil || planted.Is(planted.DamagedSnapshotSkipped) {
				continue
			}
			return err
		}
		fn(m, raw)
	}
	return nil
}

// Open returns the snapshot and its stream, of exactly Size bytes, which the
// caller closes; until then the snapshot is not removed. A missing file or one
// of the wrong size is found here, a wrong checksum by the stream. After either,
// no older snapshot opens: ErrSnapshotSuperseded.
func (s *SnapshotStore) Open(name string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	id, ok := parseID(name)
	if !ok {
		return nil, nil, fmt.Errorf("%w: %q", ErrSnapshotUnknown, name)
	}
	if err := s.acquire(id); err != nil {
		return nil, nil, err
	}
	meta, stream, err := s.stream(id)
	if err != nil {
		return nil, nil, errors.Join(err, s.closed(id, err))
	}
	return meta, stream, nil
}

// stream checks the files' sizes and opens the stream. The id is acquired.
func (s *SnapshotStore) stream(id snapshotID) (*raft.SnapshotMeta, io.ReadCloser, error) {
	fs, dir := s.cfg.FS, s.path(id.String())
	if _, err := fs.Stat(dir); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSnapshotUnknown, err)
	}
	m, raw, err := s.meta(id.String())
	if err != nil {
		return nil, nil, err
	}
	if err := checkSizes(fs, fs.PathJoin(dir, stateName), m.Files); err != nil {
		return nil, nil, fmt.Errorf("snapshot %s: %w", id, err)
	}
	stream := newTarStream(fs, dir, m, raw, func(err error) error { return s.closed(id, err) })
	return m.raftMeta(streamSize(m, len(raw))), stream, nil
}

// checkSizes requires that files are in a state directory, with their sizes.
func checkSizes(fs vfs.FS, state string, files []SnapshotFile) error {
	for _, f := range files {
		st, err := fs.Stat(fs.PathJoin(state, f.Name))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrSnapshotDamaged, err)
		}
		if st.Size() != f.Size {
			return damaged(f.Name, "%d bytes, want %d", st.Size(), f.Size)
		}
	}
	return nil
}

// meta reads the meta of the snapshot called id.
func (s *SnapshotStore) meta(id string) (Meta, []byte, error) {
	m, raw, err := readMeta(s.cfg.FS, s.path(id), s.cfg.newest)
	if err == nil && m.ID != id {
		err = fmt.Errorf("snapshot %s: %w", id, damaged(metaName, "has the id %s", m.ID))
	}
	return m, raw, err
}

// acquire keeps id from removal until closed.
func (s *SnapshotStore) acquire(id snapshotID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id.compare(s.bad) < 0 {
		return fmt.Errorf("%w: %s asked for, %s damaged", ErrSnapshotSuperseded, id, s.bad)
	}
	s.open[id.String()]++
	return nil
}

// closed ends acquire and remembers a damage that was found. What could not be
// removed while it was open is removed now.
func (s *SnapshotStore) closed(id snapshotID, err error) error {
	s.mu.Lock()
	name := id.String()
	if s.open[name]--; s.open[name] == 0 {
		delete(s.open, name)
	}
	if errors.Is(err, ErrSnapshotDamaged) && id.compare(s.bad) > 0 {
		s.bad = id
	}
	s.mu.Unlock()
	return s.reap()
}

// reap removes the oldest snapshots beyond Retain that nobody reads: it renames
// each, makes that durable and then removes it, so that a crash in the middle
// leaves no half of a snapshot under an id.
func (s *SnapshotStore) reap() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids, err := s.ids()
	if err != nil {
		return err
	}
	for _, id := range ids[min(s.cfg.Retain, len(ids)):] {
		name := id.String()
		if s.open[name] > 0 {
			continue
		}
		tmp := s.path(name + tmpSuffix)
		if err := s.cfg.FS.Rename(s.path(name), tmp); err != nil {
			return fmt.Errorf("retire snapshot %s: %w", name, err)
		}
		if err := syncPath(s.cfg.FS, s.cfg.Dir); err != nil {
			return err
		}
		if err := s.cfg.FS.RemoveAll(tmp); err != nil {
			return fmt.Errorf("remove snapshot %s: %w", name, err)
		}
	}
	return nil
}

// ids lists the snapshots' ids, newest first. Other names are not looked at.
func (s *SnapshotStore) ids() ([]snapshotID, error) {
	names, err := s.cfg.FS.List(s.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var ids []snapshotID
	for _, name := range names {
		if id, ok := parseID(name); ok {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b snapshotID) int { return b.compare(a) })
	return ids, nil
}

// newID reserves want, or the next milliseconds if it is taken.
func (s *SnapshotStore) newID(want snapshotID) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids, err := s.ids()
	if err != nil {
		return "", err
	}
	for s.taken[want.String()] || slices.Contains(ids, want) {
		want.ms++
	}
	s.taken[want.String()] = true
	return want.String(), nil
}

// release ends the reservation of newID.
func (s *SnapshotStore) release(id string) {
	s.mu.Lock()
	delete(s.taken, id)
	s.mu.Unlock()
}

func (s *SnapshotStore) path(name string) string { return s.cfg.FS.PathJoin(s.cfg.Dir, name) }

// snapshotID is an id taken apart: the order of its fields is the order of age.
type snapshotID struct {
	term, index uint64
	ms          int64 // when it was created, in milliseconds since 1970
}

func (id snapshotID) String() string { return fmt.Sprintf("%d-%d-%d", id.term, id.index, id.ms) }

// compare is negative if id is older than other.
func (id snapshotID) compare(other snapshotID) int {
	return cmp.Or(cmp.Compare(id.term, other.term), cmp.Compare(id.index, other.index), cmp.Compare(id.ms, other.ms))
}

// parseID is the inverse of String; it accepts no other spelling.
func parseID(name string) (snapshotID, bool) {
	parts := strings.Split(name, "-")
	if len(parts) != 3 {
		return snapshotID{}, false
	}
	term, err1 := strconv.ParseUint(parts[0], 10, 64)
	index, err2 := strconv.ParseUint(parts[1], 10, 64)
	ms, err3 := strconv.ParseInt(parts[2], 10, 64)
	id := snapshotID{term, index, ms}
	return id, err1 == nil && err2 == nil && err3 == nil && id.String() == name
}

// syncPath makes a file's content, or a directory's entries, durable.
func syncPath(fs vfs.FS, path string) error {
	f, err := fs.OpenDir(path)
	if err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}
