package raftfsm

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"purser/internal/ledger"
	"purser/internal/store"
	"purser/shard"
)

// machine is the replicated state: the accounts on their shards, the journal and
// the idempotency keys in Pebble, and the few numbers that belong to neither.
// It is a pure function of the log entries applied to it.
//
// The goroutine that applies entries owns it. Others read through the methods
// that say so, or take applying first, which holds still between two entries.
type machine struct {
	store *store.Store
	keys  *store.Keys
	group *shard.Group

	// applying is held for each entry, and by whoever needs an entry boundary.
	applying sync.Mutex

	// mu guards the fields below against readers; only the applying goroutine
	// writes them: begun before it executes an entry, the others after.
	mu       sync.RWMutex
	pos      position
	begun    beginning
	worlds   map[ledger.Currency]world
	recent   *recentDigests
	advanced chan struct{} // closed with the next entry; nil while nobody waits

	members atomic.Pointer[membership] // replaced by the applying goroutine

	working map[uint64]*ledger.Payment // payments of earlier entries that this one acts on; nil: there is none
	touched map[ledger.Currency]*world // scratch: world accounts as this entry leaves them
	seqs    []uint64                   // scratch: candidates of a key lookup
	hashes  []uint64                   // scratch: of the keys of an entry
	places  []int                      // scratch: of the commands of an entry that look back
	arenas  arenas

	retention ledger.Micros
	newest    int // format that the node reads and writes
}

// position is how far the machine has come. Invariant: every number but NextDue
// follows from the log up to index alone.
type position struct {
	Index  uint64             `json:"index"` // last command entry applied
	Term   uint64             `json:"term"`  // of that entry
	Seq    uint64             `json:"seq"`   // last sequence number given
	Digest uint64             `json:"digest"`
	Stamp  ledger.Micros      `json:"stamp"` // log time of that entry
	Swept  store.ExpiryCursor `json:"swept"` // last hold looked at for expiry

	// NextDue is when the sweep has to look again, 0 for never: no open hold lapses
	// earlier. It can be that of a hold which is closed, or in a replay still to
	// come; then the sweep looks in vain and no outcome changes.
	NextDue ledger.Micros `json:"next_due"`
}

// beginning is an entry that is executed, or was the last to be. Each has a stamp of
// its own.
type beginning struct {
	index uint64
	stamp ledger.Micros
}

// world is the account of everything outside in one currency, and the journal's
// own account of the inside: what its rows say that all accounts together have.
type world struct {
	Posted   ledger.Int128
	Inside   ledger.Int128
	Last     uint64 // seq of the newest posting
	Postings uint64
}

// machineConfig says where the state is and how it is kept.
type machineConfig struct {
	fs        vfs.FS
	dir       string
	shards    int
	retention ledger.Micros
	newest    int // format that the node reads and writes; 0: that of this build
	runKeys   int // see store.KeyOptions
	store     store.Options
}

// ErrRetention says that the state was made under another idempotency retention.
// Which request is a repeat depends on it, so it is part of the state: replicas
// with different ones would come apart, and so would a replay from its first run.
var ErrRetention = errors.New("idempotency retention cannot change")

// openMachine loads the state of the last checkpoint in cfg.dir, or starts an
// empty one.
func openMachine(cfg machineConfig) (_ *machine, meta checkpointMeta, err error) {
	cfg.newest = cmp.Or(cfg.newest, ledger.NewestFormat)
	cfg.store.FS, cfg.store.Dir = cfg.fs, cfg.dir
	st, err := store.Open(cfg.store)
	if err != nil {
		return nil, meta, fmt.Errorf("open state: %w", err)
	}
	m := &machine{
		store:     st,
		worlds:    make(map[ledger.Currency]world),
		working:   make(map[uint64]*ledger.Payment),
		touched:   make(map[ledger.Currency]*world),
		recent:    &recentDigests{},
		arenas:    arenas{spoil: spoilReleased},
		retention: cfg.retention,
		newest:    cfg.newest,
	}
	m.members.Store(&membership{})
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.group, err = shard.New(shard.Options{Shards: cfg.shards}); err != nil {
		return nil, meta, err
	}
	raw, ok, err := st.LoadCheckpoint()
	if err != nil {
		return nil, meta, err
	}
	if ok {
		if meta, err = decodeCheckpointMeta(raw, cfg.newest); err != nil {
			return nil, meta, err
		}
		if meta.Retention != cfg.retention {
			return nil, meta, fmt.Errorf("%w: %d µs in the state, %d µs asked for", ErrRetention, meta.Retention, cfg.retention)
		}
		m.pos, m.worlds = meta.Position, meta.worlds()
		m.recent.put(m.pos.Index, m.pos.Digest)
		m.members.Store(&meta.Membership)
		err = st.Pages(func(k store.PageKey, page []byte) error {
			return m.group.Load(shard.Key(k), page)
		})
		if err != nil {
			return nil, meta, err
		}
	}
	keys := store.KeyOptions{Retention: cfg.retention, RunKeys: cfg.runKeys, Fatal: cfg.store.Fatal}
	m.keys, err = store.OpenKeys(st, keys, meta.Keys, m.pos.Seq+1)
	return m, meta, err
}

// close stops the shards and closes the store. What the checkpoint does not
// have, the log has.
func (m *machine) close() error {
	m.mu.Lock()
	m.wake()
	m.mu.Unlock()
	var faults []error
	if m.group != nil {
		m.group.Close()
	}
	if m.keys != nil {
		faults = append(faults, m.keys.Close())
	}
	if err := errors.Join(append(faults, m.store.Close())...); err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
}

// position returns how far the machine has come. Any goroutine may call it.
func (m *machine) position() position {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.pos
}

// lastBegun returns the entry under way, or the last one. Any goroutine may call it.
func (m *machine) lastBegun() beginning {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.begun
}

// boundary is position, but waits for the entry under way: an entry forgets keys
// before it publishes its position. Any goroutine may call it.
func (m *machine) boundary() position {
	m.applying.Lock()
	defer m.applying.Unlock()
	return m.pos
}

// world returns the account of the outside of currency c, and the index that it
// reflects. Any goroutine may call it.
func (m *machine) world(c ledger.Currency) (w world, index uint64) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.worlds[c], m.pos.Index
}

// currencies lists the currencies that ever moved, in order.
func currencies(worlds map[ledger.Currency]world) []ledger.Currency {
	return slices.SortedFunc(maps.Keys(worlds), func(a, b ledger.Currency) int {
		return slices.Compare(a[:], b[:])
	})
}
