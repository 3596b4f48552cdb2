package raftfsm

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// FSM is the state machine as raft sees it. raft calls Apply, ApplyBatch,
// Snapshot and Restore from one goroutine, so that they never overlap.
type FSM struct {
	dirs stateDirs
	cfg  machineConfig

	// fatal ends the process; a machine that failed halfway must not be used.
	fatal func(error)

	// replaced guards machine against Restore: whoever uses the machine on another
	// goroutine holds it for reading.
	replaced sync.RWMutex
	machine  *machine

	// sinceSnapshot is the size in bytes of the entries applied since the last
	// snapshot; overdue is told when it passes the threshold.
	sinceSnapshot atomic.Int64
	threshold     int64
	overdue       chan struct{} // capacity 1
}

var (
	_ raft.FSM         = (*FSM)(nil)
	_ raft.BatchingFSM = (*FSM)(nil)
)

// Apply executes one committed entry and returns its *ledger.Applied. An entry
// that the state already reflects, because the state was saved after it, is
// skipped and answered with nil: nobody waits for it any more.
func (f *FSM) Apply(log *raft.Log) any {
	m := f.machine
	if log.Type != raft.LogCommand || log.Index <= m.pos.Index {
		return nil
	}
	if f.sinceSnapshot.Add(int64(len(log.Data))) >= f.threshold {
		select {
		case f.overdue <- struct{}{}:
		default:
		}
	}
	return m.apply(log.Index, log.Term, log.Data)
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
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	f.sinceSnapshot.Store(0)
	return &fsmSnapshot{frozen: f.machine.freeze()}, nil
}

// fsmSnapshot is a frozen state that raft persists.
type fsmSnapshot struct {
	frozen *frozen
	done   bool
}

// Persist writes the frozen state into the store, and then the store, as files,
// into the snapshot. raft deletes the log behind it when it returns nil.
func (s *fsmSnapshot) Persist(sink raft.SnapshotSink) error {
	own, ok := sink.(*snapshotSink)
	if !ok {
		return fmt.Errorf("persist snapshot: sink is a %T", sink)
	}
	if err := s.frozen.write(own.meta.Index); err != nil {
		return fmt.Errorf("persist snapshot: %w", err)
	}
	stats := s.frozen.stats()
	s.frozen.accounts.Done(true)
	s.done = true
	err := own.Commit(func(dir string) (SnapshotStats, error) {
		return stats, s.frozen.machine.store.SaveTo(dir)
	})
	if err != nil {
		return errors.Join(err, own.Cancel())
	}
	return own.Close()
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
	err := f.restore(stream)
	if err != nil {
		f.fatal(fmt.Errorf("restore snapshot: %w", err))
	}
	return err
}

func (f *FSM) restore(stream io.ReadCloser) (err error) {
	defer func() { err = errors.Join(err, stream.Close()) }()
	dir, err := f.dirs.receive(stream)
	if err != nil {
		return err
	}
	f.replaced.Lock()
	defer f.replaced.Unlock()
	if err := f.machine.close(); err != nil {
		return err
	}
	cfg := f.cfg
	cfg.dir = dir
	if f.machine, _, err = openMachine(cfg); err != nil {
		return err
	}
	f.sinceSnapshot.Store(0)
	return f.dirs.removeOthers(dir)
}

// use runs fn with the machine in place, for goroutines other than raft's.
func (f *FSM) use(fn func(m *machine)) {
	f.replaced.RLock()
	defer f.replaced.RUnlock()
	fn(f.machine)
}
