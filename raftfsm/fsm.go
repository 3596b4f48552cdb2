package raftfsm

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"purser/internal/ledger"
	"purser/internal/pace"
	"purser/internal/planted"
)

// errNoState says that the state was closed, or lost by a failed Restore, which
// ends the process: either way the node is on its way out.
var errNoState = fmt.Errorf("the state is closed: %w", ledger.ErrDraining)

// snapshotEntries is after how many entries a snapshot is due, however small they
// are: each costs a replay a few microseconds apart from its commands.
const snapshotEntries = 200_000

// FSM is the state machine as raft sees it. raft calls Apply, ApplyBatch,
// Snapshot and Restore from one goroutine, so that they never overlap.
type FSM struct {
	dirs stateDirs
	cfg  machineConfig

	// fatal ends the process; a machine that failed halfway must not be used.
	fatal func(error)

	// installed makes raft's log fit a snapshot that was restored, see follow; nil
	// without a log.
	installed func(index, term uint64) error

	// replaced guards machine against Restore and close: whoever uses the machine
	// on another goroutine than raft's holds it for reading. machine is nil when
	// there is none any more.
	replaced sync.RWMutex
	machine  *machine

	ending atomic.Bool // set by close: what takes long has to stop

	// seen is the index of the last entry that raft has handed over or, at first,
	// that its newest snapshot covers. While it is below the machine's, raft is
	// replaying what the state has already. Only raft's goroutine uses it.
	seen uint64

	// awaited counts the proposals of this node that have no answer yet. It is raised
	// before raft has the entry.
	awaited atomic.Int64

	// withheld is why the state must not be read by clients; nil while it may.
	withheld atomic.Pointer[error]

	unsaved   unsaved
	threshold int64         // bytes of entries after which a snapshot is due
	overdue   chan struct{} // capacity 1: one is due
}

// unsaved counts what was applied since the last snapshot.
type unsaved struct {
	bytes, entries atomic.Int64
}

var (
	_ raft.FSM         = (*FSM)(nil)
	_ raft.BatchingFSM = (*FSM)(nil)
)

// newFSM opens the state in dir. covered is the index of raft's newest snapshot.
func newFSM(dirs stateDirs, cfg machineConfig, covered uint64, threshold int64, fatal func(error)) (*FSM, checkpointMeta, error) {
	m, meta, err := openMachine(cfg)
	if err != nil {
		return nil, meta, err
	}
	if err := syncPath(dirs.fs, dirs.root); err != nil {
		return nil, meta, errors.Join(err, m.close())
	}
	f := &FSM{
		dirs: dirs, cfg: cfg, fatal: fatal, machine: m,
		seen: covered, threshold: threshold, overdue: make(chan struct{}, 1),
	}
	return f, meta, nil
}

// Apply executes one committed entry and returns its *ledger.Applied, or nil when
// nobody waits for it: raft keeps the results of a batch of entries until all are
// applied, which in a replay are most of the memory. An entry that the state
// already reflects, because the state was saved after it, is skipped.
//
// When the machine cannot go on it tells fatal, which ends the process, and
// panics should that return.
func (f *FSM) Apply(log *raft.Log) any {
	if log.Type != raft.LogCommand {
		return nil
	}
	f.seen = log.Index
	m := f.machine
	if log.Index <= m.pos.Index && !planted.Is(planted.EntryAppliedTwice) {
		return nil
	}
	if isMemberChange(log.Data) {
		if err := m.applyMembers(log.Index, log.Data); err != nil {
			f.fatal(err)
			panic(err)
		}
		return nil
	}
	applied, err := m.apply(log.Index, log.Term, log.Data)
	if err != nil {
		f.fatal(err)
		panic(err)
	}
	f.count(int64(len(log.Data)))
	if f.awaited.Load() == 0 {
		applied.Release()
		return nil
	}
	return applied
}

// count adds an entry to what is not saved, and says so when it is too much.
func (f *FSM) count(bytes int64) {
	f.unsaved.entries.Add(1)
	f.unsaved.bytes.Add(bytes)
	if !f.isOverdue() {
		return
	}
	select {
	case f.overdue <- struct{}{}:
	default:
	}
}

// isOverdue reports whether too much is not saved.
func (f *FSM) isOverdue() bool {
	return f.unsaved.bytes.Load() >= f.threshold || f.unsaved.entries.Load() >= snapshotEntries
}

// ApplyBatch executes committed entries one after another. How raft groups them
// differs between replicas and means nothing.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	results := make([]any, len(logs))
	for i, log := range logs {
		results[i] = f.Apply(log)
	}
	return results
}

// Snapshot freezes the state; raft then calls Persist beside further Applies.
// While raft replays entries that the state already has it fails: the snapshot
// would bear the index of one of these, and hold more than that.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	if at := f.machine.pos.Index; f.seen < at {
		return nil, fmt.Errorf("snapshot at entry %d: the state is that of entry %d", f.seen, at)
	}
	return &fsmSnapshot{
		fsm: f, frozen: f.machine.freeze(),
		bytes: f.unsaved.bytes.Load(), entries: f.unsaved.entries.Load(),
	}, nil
}

// fsmSnapshot is a frozen state that raft persists.
type fsmSnapshot struct {
	fsm    *FSM
	frozen *frozen
	done   bool

	bytes, entries int64 // of unsaved, that this snapshot saves
}

// Persist writes the frozen state into the store, and then the store, as files,
// into the snapshot. raft deletes the log behind it when it returns nil. A
// Restore waits for it, and after one it fails.
func (s *fsmSnapshot) Persist(sink raft.SnapshotSink) error {
	own, ok := sink.(*snapshotSink)
	if !ok {
		return fmt.Errorf("persist snapshot: sink is a %T", sink)
	}
	s.frozen.urgency, own.urgency = s.urgency, s.urgency
	err := s.fsm.use(func(m *machine) error {
		if m != s.frozen.machine {
			return errNoState
		}
		return s.persist(own)
	})
	if err != nil {
		return errors.Join(fmt.Errorf("persist snapshot: %w", err), own.Cancel())
	}
	if err := own.Close(); err != nil {
		return err
	}
	s.fsm.unsaved.bytes.Add(-s.bytes)
	s.fsm.unsaved.entries.Add(-s.entries)
	return nil
}

// urgency is calm until half of what makes a snapshot due has come since this one was
// frozen: a restart would have to replay that, too.
func (s *fsmSnapshot) urgency() pace.Urgency {
	if s.fsm.unsaved.bytes.Load()-s.bytes >= s.fsm.threshold/2 {
		return pace.Hurried
	}
	return pace.Calm
}

func (s *fsmSnapshot) persist(sink *snapshotSink) error {
	if err := s.frozen.write(sink.meta.Index); err != nil {
		return err
	}
	stats := s.frozen.stats()
	sink.meta.Format = s.frozen.format()
	s.frozen.accounts.Done(true)
	s.done = true
	return sink.Commit(func(dir string) (SnapshotStats, error) {
		return stats, s.frozen.machine.store.SaveTo(dir)
	})
}

// Release gives up the frozen state; pages that were not persisted are dirty
// again.
func (s *fsmSnapshot) Release() {
	if !s.done {
		s.frozen.accounts.Done(false)
	}
}

// Restore replaces the state by that of a snapshot stream. A failure ends the
// process: raft would go on with half a state.
func (f *FSM) Restore(stream io.ReadCloser) error {
	meta, err := f.restore(stream)
	if err == nil && f.installed != nil {
		err = f.installed(meta.Index, meta.Term)
	}
	if err != nil && !planted.Is(planted.RestoreFailureIgnored) {
		err = fmt.Errorf("restore snapshot: %w", err)
		f.fatal(err)
	}
	return err
}

func (f *FSM) restore(stream io.ReadCloser) (in Meta, err error) {
	dir, in, err := f.dirs.receive(stream)
	if err = errors.Join(err, stream.Close()); err != nil {
		return in, err
	}
	f.replaced.Lock()
	defer f.replaced.Unlock()
	old := f.machine
	f.machine = nil
	if err := old.close(); err != nil {
		return in, err
	}
	cfg := f.cfg
	cfg.dir = dir
	m, meta, err := openMachine(cfg)
	if err != nil {
		return in, err
	}
	f.machine = m
	f.seen = max(meta.Snapshot, meta.Position.Index)
	f.unsaved.bytes.Store(0)
	f.unsaved.entries.Store(0)
	return in, f.dirs.removeOthers(dir)
}

// use runs fn with the machine in place, for goroutines other than raft's, or
// returns errNoState.
func (f *FSM) use(fn func(m *machine) error) error {
	f.replaced.RLock()
	defer f.replaced.RUnlock()
	if f.machine == nil {
		return errNoState
	}
	return fn(f.machine)
}

// withhold refuses all further reads of clients with err.
func (f *FSM) withhold(err error) { f.withheld.Store(&err) }

// read runs fn as use does, for a client, unless the state is withheld.
func (f *FSM) read(fn func(m *machine) error) error {
	if err := f.withheld.Load(); err != nil {
		return *err
	}
	return f.use(fn)
}

// position is how far the state has come.
func (f *FSM) position() (at position) {
	_ = f.use(func(m *machine) error { // without a state it is nowhere
		at = m.position()
		return nil
	})
	return at
}

// close waits for whoever uses the machine and closes it. raft must not call any
// more.
func (f *FSM) close() error {
	f.ending.Store(true)
	f.replaced.Lock()
	defer f.replaced.Unlock()
	m := f.machine
	f.machine = nil
	if m == nil {
		return nil
	}
	return m.close()
}
